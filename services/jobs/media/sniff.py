"""Telling playlists dressed as videos from videos, before a demuxer may follow their references."""

from __future__ import annotations

from pathlib import Path

from shared.work.step import BadInput

_HEAD_BYTES = 4096
_BEGINNINGS = (
    b"#extm3u",
    b"ffconcat",
    b"[playlist]",
    b"[reference]",
    b"rtsptext",
    b"<asx",
    b"<smil",
    b"file '",
    b'file "',
    b"file file:",
    b"concat:",
    b"v=0\r\no=",
    b"v=0\no=",
)
_INSIDE = (
    b"<mpd",
    b"<smoothstreamingmedia",
    b"#ext-x-",
    b"\nffconcat",
    b"\nfile '",
    b"urn:mpeg:dash",
)


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins with ``head`` names other files instead of being a video."""
    text = head[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf\xff\xfe\r\n\t ").replace(b"\0", b"").lower()
    if text.startswith(_BEGINNINGS):
        return True
    # Only text may be searched further in: a video's bytes can contain anything.
    return head[:_HEAD_BYTES].isascii() and any(mark in text for mark in _INSIDE)


def refuse_playlists(path: Path) -> None:
    """Raise ``playlist_refused`` for HLS, DASH, concat and similar lists."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if is_playlist(head):
        raise BadInput(
            "playlist_refused",
            "this file is a playlist that names other files, not a video",
            hint="Upload the video itself.",
        )
