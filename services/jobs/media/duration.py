"""Where a video really ends, as headers may lie and files may be cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import av

from services.jobs.media.video import Video

_TAIL_SECONDS = 2.0
_FALSE_SECONDS = 1.0
_FALSE_SHARE = 0.05


class Ending(NamedTuple):
    """Seconds from the first frame to the end of the last, and whether the file ends early."""

    seconds: float
    damaged: bool


def find_end(video: Video, alive: Callable[[], None] = lambda: None) -> Ending:
    """Decode the last frames there are and compare with what the header promises. ``alive`` is
    called again and again meanwhile: large files take their time.
    """
    promised, certain = _promised(video)
    if promised is None:
        return Ending(_end_from(video, _last_packet(video, alive), alive), damaged=False)
    near = promised - _TAIL_SECONDS
    if near <= 0 or video.key_frame(near) is not None:
        end = _end_from(video, max(0.0, near), alive)
        allowed = max(_FALSE_SECONDS, _FALSE_SHARE * promised)
        return Ending(end, damaged=certain and promised - end > allowed)
    return Ending(_end_from(video, _last_decodable(video, near, alive), alive), damaged=True)


def _promised(video: Video) -> tuple[float | None, bool]:
    """The header's duration in seconds, and whether it speaks of the pictures themselves."""
    stream = video.stream
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base), True
    if video.container.duration:
        return video.container.duration / av.time_base, False
    return None, False


def _last_decodable(video: Video, end: float, alive: Callable[[], None]) -> float:
    """The latest time at which decoding still gives a frame, to within a second."""
    good, bad = 0.0, end
    while bad - good > _FALSE_SECONDS:
        alive()
        middle = (good + bad) / 2
        if video.key_frame(middle) is None:
            bad = middle
        else:
            good = middle
    return good


def _last_packet(video: Video, alive: Callable[[], None]) -> float:
    """The latest time any packet speaks of, a little before; nothing is decoded for it."""
    latest = 0.0
    for packet in video.packets():
        alive()
        if packet.pts is not None and packet.time_base is not None:
            latest = max(latest, float(packet.pts * packet.time_base) - video.origin)
    return max(0.0, latest - _TAIL_SECONDS)


def _end_from(video: Video, start: float, alive: Callable[[], None]) -> float:
    end = 0.0
    for time, frame in video.frames(start):
        alive()
        length = frame.duration * frame.time_base if frame.duration and frame.time_base else 0
        end = time + (float(length) or 1 / (video.fps or 25.0))
    return end
