"""A caption's text from its still picture."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.jobs.media.captions.extents import Extent
from services.jobs.media.captions.lines import joined, lines_by_overlap, widened
from services.jobs.media.captions.similar import texts_agree
from services.jobs.media.geometry import Rect
from services.jobs.media.picture import Bgr
from services.jobs.media.reader import Reader, Reading

_GHOST = 0.6
_MARGIN = 0.2


class ReadLine(msgspec.Struct, frozen=True):
    """One line of a caption and how sure the recogniser is, 0 to 1."""

    text: str
    confidence: float


class ReadCaption(msgspec.Struct, frozen=True, kw_only=True):
    """A caption: samples (both ends inclusive), its lines and how sure the least sure one is."""

    start_frame: int
    end_frame: int
    text: str
    lines: tuple[ReadLine, ...]
    confidence: float


def read_still(reader: Reader, picture: Bgr, extent: Extent) -> ReadCaption:
    """Read the caption of a still; lines from top to bottom, empty ones left out."""
    boxes = lines_by_overlap([Rect(*box) for box in extent.boxes])
    readings = [
        joined(reader.recognise(picture, widened(line, _MARGIN * line[0].height))) for line in boxes
    ]
    return _caption(extent.start_frame, extent.end_frame, [r for r in readings if r.text])


def _caption(start: int, end: int, lines: Sequence[Reading]) -> ReadCaption:
    return ReadCaption(
        start_frame=start,
        end_frame=end,
        text="\n".join(line.text for line in lines),
        lines=tuple(ReadLine(line.text, line.confidence) for line in lines),
        confidence=min((line.confidence for line in lines), default=0.0),
    )


def merged(captions: Sequence[ReadCaption]) -> list[ReadCaption]:
    """Without ghosts, and with neighbours joined that touch and say the same."""
    kept: list[ReadCaption] = []
    for caption in captions:
        if not caption.text or caption.confidence < _GHOST:
            continue
        if kept and _continues(kept[-1], caption):
            kept[-1] = _joined(kept[-1], caption)
        else:
            kept.append(caption)
    return kept


def _continues(before: ReadCaption, caption: ReadCaption) -> bool:
    touching = caption.start_frame == before.end_frame + 1
    return touching and texts_agree(before.text, caption.text)


def _joined(before: ReadCaption, caption: ReadCaption) -> ReadCaption:
    surer = max(before, caption, key=lambda one: one.confidence)
    return msgspec.structs.replace(
        surer, start_frame=before.start_frame, end_frame=caption.end_frame
    )
