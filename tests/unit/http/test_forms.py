"""Forms, cut into pieces at the worst places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request

from shared.errors import Invalid, ReelwayError, TooLarge, UnsupportedMedia
from shared.http.multipart import FilePart, FormLimits, first_file

BOUNDARY = "----X"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\nContent-Type: video/mp4'


def part(head: bytes, body: bytes) -> bytes:
    return b"--" + BOUNDARY.encode() + b"\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


def field(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"'.encode(), value)


END = b"--" + BOUNDARY.encode() + b"--\r\n"


class Pieces(StreamReader):
    """A request body that arrives in given pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)
        self.total_bytes = 1

    async def readany(self) -> bytes:
        return next(self._pieces, b"")


async def opened(body: bytes, step: int = 7, content_type: str = "", **options: Any) -> FilePart:
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    kind = content_type or f"multipart/form-data; boundary={BOUNDARY}"
    request = make_mocked_request(
        "POST", "/", headers={"Content-Type": kind}, payload=Pieces(pieces)
    )
    return await first_file(request, limit=options.pop("limit", 1000), **options)


async def all_of(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 13, 64, 1000])
async def test_file_arrives_whole_however_it_was_cut(step: int) -> None:
    content = b"\r\n--\r\n----\r\n------\r\n--" + bytes(range(256)) + b"\r\n"
    body = field("title", "Tïtle".encode()) + part(FILE, content) + field("tag", b"x") + END
    form = await opened(body, step)
    assert (form.filename, form.media_type) == ("a.mp4", "video/mp4")
    assert form.fields == {"title": "Tïtle"}
    assert await all_of(form.chunks) == content
    assert form.fields == {"title": "Tïtle", "tag": "x"}


async def test_empty_file_is_a_file() -> None:
    form = await opened(part(FILE, b"") + END)
    assert await all_of(form.chunks) == b""


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (b'"C:\\Users\\me\\a.mp4"', "a.mp4"),
        (b'"../../etc/passwd"', "passwd"),
        (b'"a%22b.mp4"', 'a"b.mp4'),
        (b'"a\\"b.mp4"', 'a"b.mp4'),
        ('"日本.mp4"'.encode(), "日本.mp4"),
        (b"bare.mp4", "bare.mp4"),
        (b'".."', "download"),
    ],
)
async def test_file_name_is_only_a_name(given: bytes, name: str) -> None:
    head = b"Content-Disposition: form-data; name=file; filename=" + given
    assert (await opened(part(head, b"x") + END)).filename == name


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Invalid),
        (END, Invalid),
        (field("a", b"1") + END, Invalid),
        (field("a", b"1") + field("a", b"2") + END, Invalid),
        (part(b"X-No: disposition", b"") + END, Invalid),
        (b"x" * 5000, TooLarge),
        (field("a", b"x" * 4097) + END, TooLarge),
        (b"".join(field(f"f{n}", b"") for n in range(17)) + END, TooLarge),
        (part(b"A: " + b"a" * 5000, b""), TooLarge),
        (part(b"\r\n".join(b"A%d: 1" % n for n in range(17)), b"") + END, TooLarge),
        (b"--" + BOUNDARY.encode() + b"junk\r\n\r\n", Invalid),
        (part(b'Content-Disposition: form-data; name="f"; filename=""', b"") + END, Invalid),
    ],
)
async def test_form_that_is_none_is_refused(body: bytes, error: type[ReelwayError]) -> None:
    with pytest.raises(error):
        await opened(body)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "a" * 71,
        'multipart/form-data; boundary="a\u00e9"',
    ],
)
async def test_boundary_must_be_one(kind: str) -> None:
    with pytest.raises(Invalid):
        await opened(END, content_type=kind)


async def test_other_types_are_unsupported() -> None:
    with pytest.raises(UnsupportedMedia):
        await opened(END, content_type="application/json")


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (b"x" * 1001 + b"\r\n" + END, TooLarge),
        (b"x" * 50, Invalid),
        (b"x\r\n" + part(FILE, b"y") + END, Invalid),
        (b"x\r\n" + END + b"z" * 5000, TooLarge),
        (b"x\r\n" + END[:-4], Invalid),
    ],
)
async def test_file_that_goes_wrong_later_fails_while_it_is_read(
    rest: bytes, error: type[ReelwayError]
) -> None:
    form = await opened(part(FILE, b"")[:-2] + rest)
    with pytest.raises(error):
        await all_of(form.chunks)


async def test_limits_can_be_set() -> None:
    body = field("a", b"123") + part(FILE, b"x") + END
    with pytest.raises(TooLarge):
        await opened(body, limits=FormLimits(field_bytes=2))
