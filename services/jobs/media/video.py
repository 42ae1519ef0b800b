"""Decoding a video by time: seconds since its first frame, whatever its container says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from services.jobs.media.container import open_container, video_stream
from shared.work.step import BadInput

# Seeking lands this much earlier at the second try, for indexes that point a little too late.
_STEP_BACK_SECONDS = 10.0
# A file that gives this many unreadable packets in a row has ended, whatever its index says.
_DAMAGED_IN_A_ROW = 2000
_DEFAULT_FPS = 25.0
_EPSILON = 0.001


class Shown(NamedTuple):
    """A decoded frame and the time it appears, in seconds since the first frame."""

    time: float
    frame: VideoFrame


class Video:
    """An opened video file. Frames come in the order they are shown, each at a later time."""

    def __init__(self, path: Path, *, threads: int = 2) -> None:
        self.path = path
        self.landed = 0.0
        self._damaged: list[float] = []
        self._threads = threads
        self._origin: float | None = None
        self._open()
        first = next(self._decoded(), None)
        if first is None:
            self.close()
            raise BadInput(
                "no_frames",
                "the file has a video stream, but no frame of it can be decoded",
                hint="Check that the file plays and was uploaded completely.",
            )
        self._origin = first.time
        self._describe(first.frame)
        self._rewind()
        self._damaged.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def container(self) -> InputContainer:
        """The container as it is open now."""
        return self._container

    @property
    def stream(self) -> VideoStream:
        """The stream the frames come from."""
        return self._stream

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """All frames from the one that is on show at ``start`` seconds."""
        held: Shown | None = None
        for shown in self._from(start):
            if shown.time <= start + _EPSILON:
                held = shown
                continue
            if held is not None:
                yield held
                held = None
            yield shown
        if held is not None:
            yield held

    def damaged_packets(self, start: float, end: float) -> int:
        """How many packets between two times (seconds) were met that cannot be decoded."""
        return sum(start <= time < end for time in self._damaged)

    @property
    def origin(self) -> float:
        """The first frame's timestamp in seconds."""
        return self._origin or 0.0

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """All packets of the video stream from the beginning, not decoded."""
        self._rewind()
        return self._packets()

    def key_frame(self, time: float) -> Shown | None:
        """The first frame that decoding gives after seeking to ``time``: mostly the key frame at
        or before it; None where nothing can be decoded any more.
        """
        self._seek(time)
        return next(self._decoded(), None)

    def _open(self) -> None:
        self._container = open_container(self.path)
        self._stream = video_stream(self._container)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = self._threads

    def _describe(self, frame: VideoFrame) -> None:
        self.quarter_turns = round(frame.rotation / 90) % 4
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else 0.0
        ratio = self._stream.sample_aspect_ratio
        stretch = float(ratio) if ratio else 1.0
        width, height = max(1, round(frame.width * stretch)), frame.height
        turned = self.quarter_turns % 2 == 1
        self.width, self.height = (height, width) if turned else (width, height)

    def _rewind(self) -> None:
        self._container.close()
        self._open()

    def _seek(self, time: float) -> None:
        base = self._stream.time_base
        if time <= 0 or base is None:
            self._rewind()
            return
        try:
            self._container.seek(int((time + self.origin) / base), stream=self._stream)
        except av.error.FFmpegError:
            self._rewind()

    def _from(self, start: float) -> Iterator[Shown]:
        for at in (start, start - _STEP_BACK_SECONDS, 0.0):
            self._seek(at)
            frames = self._decoded()
            first = next(frames, None)
            self.landed = 0.0 if first is None else first.time
            if first is not None and (first.time <= start + _EPSILON or at <= 0):
                return chain([first], frames)
        return iter(())

    def _decoded(self) -> Iterator[Shown]:
        last: float | None = None
        for frame in self._raw_frames():
            time = self._time(frame, last)
            if last is not None and time <= last:
                continue
            last = time
            yield Shown(time, frame)

    def _time(self, frame: VideoFrame, last: float | None) -> float:
        if frame.pts is not None and frame.time_base is not None:
            return round(float(frame.pts * frame.time_base) - self.origin, 6)
        return 0.0 if last is None else last + 1 / (self.fps or _DEFAULT_FPS)

    def _raw_frames(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            try:
                for frame in packet.decode():
                    assert isinstance(frame, VideoFrame)
                    yield frame
            except av.error.FFmpegError:
                self._note_damage(packet)

    def _note_damage(self, packet: Packet[VideoStream]) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            self._damaged.append(float(stamp * packet.time_base) - self.origin)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        failures = 0
        while failures < _DAMAGED_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                failures += 1
            else:
                return
