"""The caption region at ten pictures a second: small grey videos of a minute each.

Sample ``n`` stands for the tenth of a second that begins ``n / 10`` seconds after the first
frame, and shows what the viewer saw in its middle.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import msgspec
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from services.jobs.media.captions.layout import Layout
from services.jobs.media.geometry import Rect
from services.jobs.media.picture import Gray, stored_luma
from services.jobs.media.seconds import RATE
from services.jobs.media.video import Shown

CHUNK = 60 * RATE
LINE = 40
"""The height of a line of text in the crops, in pixels; all later sizes derive from it."""

_MAX_WIDTH = 1600
_MAX_ENLARGED = 2.5
_MIDDLE = 0.5
_KEPT_CHUNKS = 2

Grays = npt.NDArray[np.uint8]
"""Grey pictures, (count, height, width)."""


class CropIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What ``crop.json`` says: how many samples there are, their size in pixels, the height of a
    line in them, the layout they were cut by, the chunk files in order and how many samples each
    but the last has.
    """

    frames: int
    rate: int = RATE
    height: int
    width: int
    line: float
    layout: Layout
    chunks: tuple[str, ...]
    chunk: int
    damaged_packets: int = 0
    origin: str


def crop_size(layout: Layout, size: tuple[int, int]) -> tuple[int, int, float]:
    """Width and height of the crops and their line height, in pixels, for a picture of ``size``
    (width, height). Both sides are even, as encoders want them.
    """
    width = (layout.region[2] - layout.region[0]) * size[0]
    height = (layout.region[3] - layout.region[1]) * size[1]
    line = layout.line_height * size[1]
    scale = min(LINE / line, _MAX_ENLARGED, _MAX_WIDTH / width)
    return _even(width * scale), _even(height * scale), line * scale


def _even(length: float) -> int:
    return max(16, 2 * round(length / 2))


def sampled(frames: Iterable[Shown], first: int) -> Iterator[VideoFrame]:
    """The frame shown in the middle of each sample from ``first`` on; the last one for ever."""
    number = first
    held: VideoFrame | None = None
    for shown in frames:
        while held is not None and _middle(number) < shown.time:
            yield held
            number += 1
        held = shown.frame
    while held is not None:
        yield held


def _middle(number: int) -> float:
    return (number + _MIDDLE) / RATE - 1e-6


class ChunkWriter:
    """Writes one chunk of crops as an H.264 video of luma only, or without loss where H.264
    cannot be encoded. The same crops give the same bytes.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._output = av.open(str(path), "w", format="nut", options={"fflags": "+bitexact"})
        h264 = "libx264" in av.codecs_available
        options = {"preset": "superfast", "crf": "14", "threads": "1"} if h264 else {}
        self._stream = self._output.add_stream(
            "libx264" if h264 else "ffv1", rate=RATE, options=options
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "gray"
        self._stream.codec_context.gop_size = CHUNK // 6
        self._count = 0

    def add(self, crop: Gray) -> None:
        """Append one crop."""
        frame = VideoFrame.from_ndarray(crop, format="gray")
        frame.pts = self._count
        self._output.mux(self._stream.encode(frame))
        self._count += 1

    def close(self) -> None:
        """Finish the file."""
        self._output.mux(self._stream.encode(None))
        self._output.close()


def read_chunk(path: Path) -> Grays:
    """All crops of a chunk file."""
    with av.open(str(path), "r", format="nut") as container:
        return np.stack([stored_luma(frame) for frame in container.decode(video=0)])


class Crops:
    """All crops of a video by number; keeps two decoded chunks in memory and no more."""

    def __init__(self, count: int, paths: Sequence[Path], chunk: int) -> None:
        self.count = count
        self._paths = paths
        self._chunk = chunk
        self._decoded: OrderedDict[int, Grays] = OrderedDict()

    def __getitem__(self, number: int) -> Gray:
        crop: Gray = self._chunk_of(number // self._chunk)[number % self._chunk]
        return crop

    def several(self, numbers: Iterable[int]) -> Grays:
        """These crops, in this order."""
        return np.stack([self[number] for number in numbers])

    def _chunk_of(self, index: int) -> Grays:
        if index not in self._decoded:
            self._decoded[index] = read_chunk(self._paths[index])
            while len(self._decoded) > _KEPT_CHUNKS:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(index)
        return self._decoded[index]


def region_of(layout: Layout) -> Rect:
    """The region as a rectangle."""
    return Rect(*layout.region)
