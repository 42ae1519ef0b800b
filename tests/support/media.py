"""Odd inputs: files that are almost videos, and videos that are unlike most."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from services.jobs.media.clip import DEMO, ClipCaption, ClipStyle, ClipTiming, make_clip

SHORT_SECONDS = 10.0
SHORT: tuple[ClipCaption, ...] = DEMO[:3]
"""Captions of the small clips below."""


def short(path: Path) -> None:
    """A plain clip of ten seconds with three captions."""
    make_clip(path, SHORT, duration=SHORT_SECONDS)


def fresh(clip: Path) -> bytes:
    """The same pictures as other bytes, of which nothing has been made before: a box that every
    reader leaves out lies behind them (ISO 14496-12, 8.1.2).
    """
    return clip.read_bytes() + struct.pack(">I4s16s", 24, b"free", os.urandom(16))


def vertical(path: Path) -> None:
    """The short clip, higher than wide."""
    style = ClipStyle(height=0.056, bottom=0.8)
    make_clip(path, SHORT, duration=SHORT_SECONDS, size=(360, 640), style=style)


def uneven(path: Path) -> None:
    """The short clip with a variable frame rate and a first timestamp of five seconds."""
    timing = ClipTiming(uneven=True, first=5.0)
    make_clip(path, SHORT, duration=SHORT_SECONDS, timing=timing)


def rotated(path: Path) -> None:
    """The short clip, stored on its side with a display matrix."""
    make_clip(path, SHORT, duration=SHORT_SECONDS, timing=ClipTiming(rotation=90))


def dark(path: Path) -> None:
    """The short clip with dark letters in a bright outline."""
    style = ClipStyle(fill=(12, 12, 12), outline=(240, 240, 240))
    make_clip(path, SHORT, duration=SHORT_SECONDS, style=style)


def without_captions(path: Path) -> None:
    """A clip with a station's name in the corner and nothing else to read."""
    make_clip(path, (), duration=SHORT_SECONDS, style=ClipStyle(logo="CHANNEL 9"))


def audio_only(path: Path) -> None:
    """A second of silence, without pictures."""
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44_100)
        output.mux(stream.encode(_silence()))
        output.mux(stream.encode(None))


def ten_bit(path: Path) -> None:
    """Two seconds of ten-bit pictures, stored without loss."""
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        for number in range(50):
            gray = np.full((48, 64, 3), 4 * number, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        output.mux(stream.encode(None))


def truncated(path: Path) -> None:
    """The short clip with its index at the front and its second half missing."""
    whole = path.with_name("whole.mp4")
    short(whole)
    moved = path.with_name("moved.mp4")
    _index_first(whole, moved)
    data = moved.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def corrupt(path: Path) -> None:
    """The short clip with bytes flipped in the middle."""
    short(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for at in range(middle, middle + 4000, 7):
        data[at] ^= 0xFF
    path.write_bytes(data)


def header_only(path: Path) -> None:
    """An index that promises frames, and zeros where they should be."""
    moved = path.with_name("moved.mp4")
    whole = path.with_name("whole.mp4")
    short(whole)
    _index_first(whole, moved)
    data = moved.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))


def empty(path: Path) -> None:
    """No bytes at all."""
    path.write_bytes(b"")


def text(path: Path) -> None:
    """Words."""
    path.write_text("This is not a video, whatever its name says.\n" * 50)


def png(path: Path) -> None:
    """A still picture, one pixel in size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0\x80")), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def hls_playlist(path: Path) -> None:
    """An HLS playlist that names a local file."""
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n"
    )


def concat_list(path: Path) -> None:
    """A list for the concat demuxer."""
    path.write_text("ffconcat version 1.0\nfile '/etc/hostname'\n")


def dash_manifest(path: Path) -> None:
    """A DASH manifest."""
    path.write_text('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n')


def cover_art(path: Path) -> None:
    """A sound file whose only picture is its cover."""
    with av.open(str(path), "w", format="mp4") as output:
        sound = output.add_stream("aac", rate=44_100)
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
        output.mux(cover.encode(picture.reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
        output.mux(sound.encode(_silence()))
        output.mux(sound.encode(None))


def _silence() -> av.AudioFrame:
    """A second without a sound."""
    samples = np.zeros((1, 44_100), dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate = 44_100
    frame.time_base = Fraction(1, 44_100)
    frame.pts = 0
    return frame


def _index_first(source: Path, target: Path) -> None:
    """Copy an MP4 so that its index comes before its frames."""
    with (
        av.open(str(source)) as given,
        av.open(str(target), "w", options={"movflags": "faststart"}) as output,
    ):
        stream = output.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (empty, "not_a_video"),
    "text": (text, "not_a_video"),
    "png": (png, "not_a_video"),
    "audio": (audio_only, "no_video_stream"),
    "cover": (cover_art, "no_video_stream"),
    "header": (header_only, "no_frames"),
    "hls": (hls_playlist, "playlist_refused"),
    "concat": (concat_list, "playlist_refused"),
    "dash": (dash_manifest, "playlist_refused"),
}
"""Inputs that are no videos, with the stable code each is refused with."""
