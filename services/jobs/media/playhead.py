"""Frames at chosen times, with as little decoding as the file's key frames allow."""

from __future__ import annotations

from collections.abc import Iterator

from services.jobs.media.video import Shown, Video

_NEAR_SECONDS = 2.5
_EPSILON = 0.001


class Playhead:
    """A position in a video that moves to the times it is asked for, best in rising order."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._rest: Iterator[Shown] = iter(())
        self._current: Shown | None = None
        self._next: Shown | None = None
        # Files with hardly any key frames would be decoded from the beginning again and again.
        self._seeking_is_vain = False

    def at(self, time: float) -> Shown | None:
        """The frame on show at ``time`` seconds, the last one after the end."""
        if not self._can_go_on_to(time):
            self._jump(time)
        while self._next is not None and self._next.time <= time + _EPSILON:
            self._current, self._next = self._next, next(self._rest, None)
        return self._current

    def near(self, time: float, tolerance: float) -> Shown | None:
        """A key frame within ``tolerance`` seconds where there is one, else the exact frame."""
        if self._seeking_is_vain or self._can_go_on_to(time):
            return self.at(time)
        key = self._video.key_frame(time)
        self._current = None
        if key is not None and abs(key.time - time) <= tolerance:
            return key
        return self.at(time)

    def _can_go_on_to(self, time: float) -> bool:
        if self._current is None or time < self._current.time:
            return False
        return self._seeking_is_vain or time - self._current.time < _NEAR_SECONDS

    def _jump(self, time: float) -> None:
        left = self._current
        self._rest = self._video.frames(time)
        self._current, self._next = next(self._rest, None), next(self._rest, None)
        if left is not None and left.time < time and self._video.landed <= left.time:
            self._seeking_is_vain = True
