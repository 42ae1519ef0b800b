from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.drive.model import HEAD, REFUSALS, Family, sniff


def box(kind: bytes, brand: bytes = b"") -> bytes:
    return b"\x00\x00\x00\x18" + kind + brand + b"\x00" * 64


PACKETS_188 = (b"\x47" + b"\x00" * 187) * 4
PACKETS_192 = (b"\x00" * 4 + b"\x47" + b"\x00" * 187) * 4


@pytest.mark.parametrize(
    ("head", "family", "media_type"),
    [
        (box(b"ftyp", b"isom"), "video", "video/mp4"),
        (box(b"ftyp", b"mp42"), "video", "video/mp4"),
        (box(b"ftyp", b"qt  "), "video", "video/quicktime"),
        (box(b"moov"), "video", "video/quicktime"),
        (box(b"mdat"), "video", "video/quicktime"),
        (box(b"ftyp", b"M4A "), "audio", "audio/mp4"),
        (box(b"ftyp", b"heic"), "picture", "image/heif"),
        (box(b"ftyp", b"avif"), "picture", "image/heif"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86matroska", "video", "video/x-matroska"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x42\x82\x84webm", "video", "video/webm"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video", "video/x-msvideo"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "picture", "application/octet-stream"),
        (b"RIFF\x00\x00\x00\x00XXXX", "other", "application/octet-stream"),
        (PACKETS_188, "video", "video/mp2t"),
        (PACKETS_192, "video", "video/mp2t"),
        (b"\x00\x00\x01\xba\x44", "video", "video/mpeg"),
        (b"FLV\x01\x05", "video", "video/x-flv"),
        (b"OggS\x00", "video", "video/ogg"),
        (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "video", "application/mxf"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "video/x-ms-asf"),
        (b"ID3\x04", "audio", "audio/mpeg"),
        (b"fLaC", "audio", "audio/flac"),
        (b"\x89PNG\r\n\x1a\n", "picture", "image/png"),
        (b"\xff\xd8\xff\xe0", "picture", "image/jpeg"),
        (b"GIF89a", "picture", "image/gif"),
        (b"#EXTM3U\n#EXT-X-VERSION:3", "playlist", "application/vnd.apple.mpegurl"),
        (b"ffconcat version 1.0\nfile /etc/passwd", "playlist", "text/plain"),
        (b"", "empty", "application/x-empty"),
        (b"MZ\x90\x00", "other", "application/octet-stream"),
        (b"%PDF-1.7", "other", "application/octet-stream"),
        (b"<html>", "other", "application/octet-stream"),
        (b"\x47", "other", "application/octet-stream"),
    ],
)
def test_content_tells_what_it_is(head: bytes, family: str, media_type: str) -> None:
    found = sniff(head)
    assert (found.family, found.media_type) == (family, media_type)


def test_one_sync_byte_makes_no_transport_stream() -> None:
    assert sniff(b"\x47" + b"\x00" * 1000).family == "other"


def test_every_family_but_video_has_a_refusal_with_a_hint() -> None:
    assert set(REFUSALS) == set(get_args(Family)) - {"video"}
    for code, detail, hint in REFUSALS.values():
        assert code.isidentifier()
        assert detail
        assert hint


def test_the_bytes_that_are_looked_at_hold_every_mark() -> None:
    assert len(PACKETS_192) <= HEAD


@given(st.binary(max_size=2048))
def test_any_bytes_have_an_answer(head: bytes) -> None:
    found = sniff(head)
    assert found.family == "video" or found.family in REFUSALS
    assert "/" in found.media_type


@given(st.binary(max_size=512), st.binary(max_size=512))
def test_what_follows_the_first_bytes_does_not_change_a_container(one: bytes, two: bytes) -> None:
    head = box(b"ftyp", b"isom")
    assert sniff(head + one) == sniff(head + two)
