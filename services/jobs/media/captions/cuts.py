"""Where the caption may change: comparing the strokes before and after each sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from services.jobs.media.captions.strokes import MIN_STROKES, Strokes, count, letter_change

REACH = 4
"""How many samples before and after one its comparison looks at."""

_CHANGED = 0.12
_LETTER = 0.3
_FADE = 2
_LASTING = 3
_LONG_RUN = 4
_AROUND = 12
_UNUSUAL = 1.8
# Below 1, as false cuts cost little: what they cut apart is seen to be the same and joined.
_LEAST = 0.6


class Change(msgspec.Struct, frozen=True, array_like=True):
    """How much changes between a sample and the one before, in units of what matters (1 is a
    cut): at once, over a fade, and in the worst single letter.
    """

    hard: float
    soft: float
    letter: float


class Segment(NamedTuple):
    """Samples between two cuts, both ends inclusive."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many samples."""
        return self.last - self.first + 1


def change(at: int, strokes: Callable[[int], Strokes | None]) -> Change:
    """Compare the samples around ``at``; ``strokes`` gives None outside the video."""
    near = _lasting(strokes, at - 1, -1), _lasting(strokes, at, +1)
    far = _lasting(strokes, at - _FADE, -1), _lasting(strokes, at + _FADE, +1)
    return Change(round(_moved(*near), 3), round(_moved(*far), 3), round(_letter(*near), 3))


def _lasting(
    strokes: Callable[[int], Strokes | None], at: int, away: Literal[-1, 1]
) -> Strokes | None:
    """The strokes of a sample, sure only where the next ones away from the cut have them too:
    text stands still, what moves behind it does not.
    """
    found = strokes(at)
    for step in range(1, _LASTING):
        other = strokes(at + step * away)
        if found is not None and other is not None:
            found = Strokes(found.high & other.low, found.low)
    return found


def _moved(before: Strokes | None, after: Strokes | None) -> float:
    if before is None or after is None:
        return 0.0
    vanished = count(before.high & ~after.low)
    appeared = count(after.high & ~before.low)
    smaller = min(count(before.high), count(after.high))
    return max(vanished, appeared) / max(MIN_STROKES, _CHANGED * smaller)


def _letter(before: Strokes | None, after: Strokes | None) -> float:
    if before is None or after is None:
        return 0.0
    return letter_change(before, after) / _LETTER


def segments(changes: Sequence[Change]) -> list[Segment]:
    """The samples between cuts. Short runs of cuts are one transition, whose samples belong to
    no segment: boundaries are placed within it later.
    """
    starts = [0, *_cuts(changes), len(changes)]
    pieces = [Segment(a, b - 1) for a, b in pairwise(starts) if b > a]
    return _without_transitions(pieces)


def _cuts(changes: Sequence[Change]) -> list[int]:
    table = np.array([(change.hard, change.soft, change.letter) for change in changes])
    hard, soft, letter = (_stand_out(column) for column in table.reshape(-1, 3).T)
    at_once = [at for at in range(1, len(changes)) if hard[at] or letter[at]]
    near = {at + step for at in at_once for step in range(-REACH, REACH + 1)}
    fades = [
        at for at in range(1, len(changes)) if soft[at] and at not in near and _is_peak(changes, at)
    ]
    return sorted(at_once + fades)


def _stand_out(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which values are cuts: those above a least value, and well above what is usual around
    them where a background full of strokes moves all the time.
    """
    padded = np.pad(values, _AROUND, mode="reflect" if values.size > _AROUND else "edge")
    usual = np.median(sliding_window_view(padded, 2 * _AROUND + 1), axis=1)
    return np.asarray(values > np.maximum(_LEAST, _UNUSUAL * usual))


def _is_peak(changes: Sequence[Change], at: int) -> bool:
    around = range(max(0, at - _FADE), min(len(changes), at + _FADE + 1))
    return all((changes[at].soft, -at) >= (changes[other].soft, -other) for other in around)


def _portions(first: int, last: int) -> list[Segment]:
    """Where everything moves, short segments of equal length are looked at one by one."""
    return [Segment(at, min(at + _LONG_RUN - 1, last)) for at in range(first, last + 1, _LONG_RUN)]


def _without_transitions(pieces: Sequence[Segment]) -> list[Segment]:
    kept: list[Segment] = []
    run: list[Segment] = []
    for piece in [*pieces, None]:
        if piece is not None and piece.length == 1:
            run.append(piece)
            continue
        if len(run) >= _LONG_RUN:
            kept += _portions(run[0].first, run[-1].last)
        run = []
        if piece is not None:
            kept.append(piece)
    return kept
