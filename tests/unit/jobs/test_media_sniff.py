from __future__ import annotations

import pytest

from services.jobs.media.sniff import is_playlist


@pytest.mark.parametrize(
    "head",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\n",
        b"\xef\xbb\xbf#EXTM3U\n",
        b"\n\n  #extm3u\n",
        "#EXTM3U\n".encode("utf-16"),
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"# my list\nfile 'a.mp4'\n",
        b"<?xml version='1.0'?><MPD></MPD>",
        b"<SmoothStreamingMedia MajorVersion='2'>",
        b"[playlist]\nFile1=a.mp4\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    ],
)
def test_lists_of_other_files_are_playlists(head: bytes) -> None:
    assert is_playlist(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
        b"\x1aE\xdf\xa3\x01\0\0 <mpd within binary data",
        b"Only words, nothing that names a file.",
    ],
)
def test_other_beginnings_are_no_playlists(head: bytes) -> None:
    assert not is_playlist(head)
