"""What a file is, told from its first bytes. Names and declared types prove nothing."""

from __future__ import annotations

from typing import Literal

import msgspec

HEAD = 64 * 1024
"""How many bytes from the start are looked at."""

Family = Literal["video", "audio", "picture", "playlist", "other", "empty"]

_AUDIO_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
_PICTURE_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_STARTS: tuple[tuple[bytes, Family, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "video", "video/x-matroska"),
    (b"\x00\x00\x01\xba", "video", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video", "video/mpeg"),
    (b"FLV\x01", "video", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "video/x-ms-asf"),
    (b"OggS", "video", "video/ogg"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "video", "application/mxf"),
    (b"ID3", "audio", "audio/mpeg"),
    (b"\xff\xfb", "audio", "audio/mpeg"),
    (b"fLaC", "audio", "audio/flac"),
    (b"\x89PNG", "picture", "image/png"),
    (b"\xff\xd8\xff", "picture", "image/jpeg"),
    (b"GIF8", "picture", "image/gif"),
    (b"#EXTM3U", "playlist", "application/vnd.apple.mpegurl"),
    (b"ffconcat", "playlist", "text/plain"),
)


class Sniffed(msgspec.Struct, frozen=True):
    """What the bytes look like."""

    family: Family
    media_type: str


def sniff(head: bytes) -> Sniffed:
    """Tell the kind of a file from its first bytes (at most :data:`HEAD` are needed)."""
    if not head:
        return Sniffed("empty", "application/x-empty")
    for start, family, media_type in _STARTS:
        if head.startswith(start):
            return Sniffed(family, _webm(head) or media_type)
    if head[4:8] in _BOXES:
        return _iso_media(head)
    if head[:4] == b"RIFF":
        return _riff(head)
    if _is_transport_stream(head):
        return Sniffed("video", "video/mp2t")
    return Sniffed("other", "application/octet-stream")


def _webm(head: bytes) -> str:
    is_webm = head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64]
    return "video/webm" if is_webm else ""


def _iso_media(head: bytes) -> Sniffed:
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _AUDIO_BRANDS:
        return Sniffed("audio", "audio/mp4")
    if brand in _PICTURE_BRANDS:
        return Sniffed("picture", "image/heif")
    return Sniffed("video", "video/quicktime" if brand in (b"qt  ", b"") else "video/mp4")


def _riff(head: bytes) -> Sniffed:
    if head[8:12] == b"AVI ":
        return Sniffed("video", "video/x-msvideo")
    if head[8:12] == b"WAVE":
        return Sniffed("audio", "audio/wav")
    return Sniffed("picture" if head[8:12] == b"WEBP" else "other", "application/octet-stream")


def _is_transport_stream(head: bytes) -> bool:
    """Sync bytes at the start of three packets, of 188 or (with time codes) 192 bytes."""
    return any(
        len(head) > offset + 2 * size and all(head[offset + n * size] == 0x47 for n in range(3))
        for offset, size in ((0, 188), (4, 192))
    )


REFUSALS: dict[Family, tuple[str, str, str]] = {
    "empty": ("empty_file", "the file has no bytes", "upload a file that has content"),
    "audio": ("no_video_stream", "this is sound without a picture", "upload a video"),
    "picture": ("not_a_video", "this is a still picture", "upload a video"),
    "playlist": (
        "playlist_refused",
        "this is a playlist, which names videos but contains none",
        "upload the video itself",
    ),
    "other": (
        "not_a_video",
        "the content is no video in a known container",
        "upload MP4, MOV, MKV, WebM, AVI, MPEG, FLV, ASF, MXF or Ogg",
    ),
}
"""Why a family is not taken: code, detail, hint."""
