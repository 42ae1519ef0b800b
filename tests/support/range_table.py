"""RFC 9110 sections 13 to 15 as one table of requests and answers, for any door with content.

A test of a door is one line for each case::

    @pytest.mark.parametrize("case", range_table.CASES, ids=str)
    async def test_…(case: Case, …) -> None:
        await case.holds(Target(port, "/path", content, {"Authorization": …}))

Requests go out over a bare socket, as they stand here. In values, ``{etag}`` is the content's own
tag, ``{at}`` its date, ``{before}`` and ``{after}`` a second off, ``{size}`` its length, ``{last}``
the place of its last byte, ``{half}`` that of one in the middle.
"""

from __future__ import annotations

import asyncio
import email
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

NINES = "9" * 400


@dataclass(frozen=True)
class Target:
    """Where content is served on this machine, what it is, and what every request has to say."""

    port: int
    path: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, method: str, *lines: tuple[str, str]) -> Answer:
        """A request with these header lines, on a connection of its own."""
        own = {"Host": "localhost", "Connection": "close", **self.headers}
        head = [f"{method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in [*own.items(), *lines])]
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
                raw = await reader.read()
            finally:
                writer.close()
        return Answer.of(raw)


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: email.message.Message
    body: bytes

    @classmethod
    def of(cls, raw: bytes) -> Answer:
        """The bytes of one answer."""
        head, _, body = raw.partition(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        return cls(int(first.split()[1]), email.message_from_bytes(rest + b"\r\n\r\n"), body)


Spans = tuple[tuple[int | str, int | str], ...]


@dataclass(frozen=True)
class Case:
    """What is asked, and the answer: its status, and of each range the first and last place."""

    name: str
    lines: tuple[tuple[str, str], ...]
    status: int
    spans: Spans = ()
    method: str = "GET"

    def __str__(self) -> str:
        return self.name

    async def holds(self, target: Target) -> None:
        """Ask, and fail unless the answer is right."""
        told = await _told(target)
        answer = await target.ask(
            self.method, *((name, value.format(**told)) for name, value in self.lines)
        )
        assert answer.status == self.status, (self, answer)
        check = {
            200: _is_whole,
            206: self._is_partial,
            304: _is_not_modified,
            412: _is_refusal,
            416: _is_beyond,
        }
        check[self.status](answer, target, told)
        if self.method == "HEAD":
            assert answer.body == b""

    def _is_partial(self, answer: Answer, target: Target, told: Mapping[str, str]) -> None:
        spans = [tuple(int(str(each).format(**told)) for each in span) for span in self.spans]
        _has_validators(answer, told)
        if len(spans) > 1:
            _is_several(answer, target, spans)
            return
        ((first, last),) = spans
        assert answer.body == target.content[first : last + 1]
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{told['size']}"
        assert answer.headers["Content-Length"] == str(last - first + 1)


async def _told(target: Target) -> dict[str, str]:
    """What values of the table stand for, as the door itself says it."""
    headers = (await target.ask("HEAD")).headers
    at = parsedate_to_datetime(headers["Last-Modified"])
    size = len(target.content)
    assert headers["ETag"].startswith('"'), "the tag must be strong"
    return {
        "etag": headers["ETag"],
        "type": headers["Content-Type"],
        "at": headers["Last-Modified"],
        "before": format_datetime(at - timedelta(seconds=1), usegmt=True),
        "after": format_datetime(at + timedelta(seconds=1), usegmt=True),
        "size": str(size),
        "last": str(size - 1),
        "half": str(size // 2),
    }


def _has_validators(answer: Answer, told: Mapping[str, str]) -> None:
    assert answer.headers["ETag"] == told["etag"]
    assert answer.headers["Last-Modified"] == told["at"]
    assert "Content-Encoding" not in answer.headers


def _is_whole(answer: Answer, target: Target, told: Mapping[str, str]) -> None:
    _has_validators(answer, told)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Length"] == told["size"]
    assert answer.headers["Content-Type"] == told["type"]
    assert "Content-Range" not in answer.headers
    assert answer.body in {target.content, b""}


def _is_not_modified(answer: Answer, _: Target, told: Mapping[str, str]) -> None:
    _has_validators(answer, told)
    assert answer.body == b""
    assert "Content-Range" not in answer.headers


def _is_refusal(answer: Answer, target: Target, _: Mapping[str, str]) -> None:
    assert not target.content or target.content not in answer.body


def _is_beyond(answer: Answer, target: Target, told: Mapping[str, str]) -> None:
    _is_refusal(answer, target, told)
    assert answer.headers["Content-Range"] == f"bytes */{told['size']}"


def _is_several(answer: Answer, target: Target, spans: list[tuple[int, ...]]) -> None:
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges; boundary="), kind
    assert "Content-Range" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.body))
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    _, *parts, end = answer.body.split(boundary)
    assert end.startswith(b"--")
    found = []
    for part in parts:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found.append((email.message_from_bytes(head)["Content-Range"], body.removesuffix(b"\r\n")))
    size = len(target.content)
    assert found == [
        (f"bytes {first}-{last}/{size}", target.content[first : last + 1]) for first, last in spans
    ]


def _ranged(name: str, value: str, status: int, *spans: tuple[int | str, int | str]) -> Case:
    return Case(name, (("Range", value),), status, spans)


def _asked(name: str, status: int, *lines: tuple[str, str], span: bool = False) -> Case:
    return Case(name, lines, status, ((0, 1),) if span else ())


_R = ("Range", "bytes=0-1")
_BEYOND = ("Range", "bytes={size}-")
_MANY = ",".join(f"{at}-{at}" for at in range(0, 18, 2))
_EIGHT = ",".join(f"{at}-{at}" for at in range(0, 16, 2))

RANGES = (
    Case("no range", (), 200),
    _ranged("a first and a last byte", "bytes=2-5", 206, (2, 5)),
    _ranged("one byte", "bytes=0-0", 206, (0, 0)),
    _ranged("the last byte", "bytes={last}-{last}", 206, ("{last}", "{last}")),
    _ranged("from the first byte", "bytes=0-", 206, (0, "{last}")),
    _ranged("from one in the middle", "bytes={half}-", 206, ("{half}", "{last}")),
    _ranged("everything by its places", "bytes=0-{last}", 206, (0, "{last}")),
    _ranged("a suffix", "bytes=-1", 206, ("{last}", "{last}")),
    _ranged("a suffix as long as all", "bytes=-{size}", 206, (0, "{last}")),
    _ranged("a suffix longer than all", "bytes=-9{size}", 206, (0, "{last}")),
    _ranged("a suffix of nothing", "bytes=-0", 416),
    _ranged("an end beyond the end", "bytes={half}-{size}0", 206, ("{half}", "{last}")),
    _ranged("a start at the end", "bytes={size}-", 416),
    _ranged("a start beyond the end", "bytes={size}0-{size}1", 416),
    _ranged("a start after its end", "bytes=5-2", 200),
    _ranged("leading zeros", "bytes=0002-005", 206, (2, 5)),
    _ranged("a start of 400 digits", f"bytes={NINES}-", 416),
    _ranged("an end of 400 digits", f"bytes=0-{NINES}", 206, (0, "{last}")),
    _ranged("a suffix of 400 digits", f"bytes=-{NINES}", 206, (0, "{last}")),
    _ranged("a start just above 64 bits", "bytes=18446744073709551616-", 416),
    _ranged("two ranges", "bytes=0-1,5-6", 206, (0, 1), (5, 6)),
    _ranged("two ranges backwards", "bytes=5-6,0-1", 206, (5, 6), (0, 1)),
    _ranged("a range and a suffix", "bytes=0-0,-1", 206, (0, 0), ("{last}", "{last}")),
    _ranged("overlapping ranges", "bytes=0-5,3-8", 206, (0, 5), (3, 8)),
    _ranged("adjacent ranges", "bytes=0-1,2-3", 206, (0, 1), (2, 3)),
    _ranged("everything twice", "bytes=0-,0-", 200),
    _ranged("overlaps that are more than all", "bytes=0-,1-,2-", 200),
    _ranged("eight ranges", f"bytes={_EIGHT}", 206, *((at, at) for at in range(0, 16, 2))),
    _ranged("nine ranges", f"bytes={_MANY}", 200),
    _ranged("a thousand ranges", "bytes=" + ",".join(["0-0"] * 1000), 200),
    _ranged("one of two ranges beyond the end", "bytes=0-1,{size}-", 206, (0, 1)),
    _ranged("one of two suffixes of nothing", "bytes=-0,2-3", 206, (2, 3)),
    _ranged("all ranges beyond the end", "bytes={size}-,{size}5-{size}6", 416),
    _ranged("one of two ranges malformed", "bytes=0-1,5-2", 200),
    _ranged("spaces in the list", "bytes=0-1 , \t 5-6", 206, (0, 1), (5, 6)),
    _ranged("empty elements in the list", "bytes=,0-1,,", 206, (0, 1)),
    _ranged("spaces around", "  bytes=0-1\t ", 206, (0, 1)),
    _ranged("a space before the places", "bytes= 0-1", 206, (0, 1)),
    _ranged("a space inside the places", "bytes=0 - 1", 200),
    _ranged("an upper-case unit", "BYTES=0-1", 206, (0, 1)),
    _ranged("an unknown unit", "items=0-1", 200),
    _ranged("no unit", "0-1", 200),
    _ranged("no places", "bytes=", 200),
    _ranged("nothing", "", 200),
    _ranged("only a hyphen", "bytes=-", 200),
    _ranged("one number", "bytes=1", 200),
    _ranged("letters", "bytes=a-b", 200),
    _ranged("a negative start", "bytes=--1", 200),
    _ranged("a sign", "bytes=+0-1", 200),
    _ranged("a hexadecimal place", "bytes=0x0-0x1", 200),
    _ranged("a semicolon", "bytes=0-1;5-6", 200),
    _ranged("a colon for the equals sign", "bytes:0-1", 200),
    _ranged("bytes that are no ASCII", "bytes=\xb2-\xb3", 200),
    Case("two header lines", (_R, ("Range", "bytes=5-6")), 200),
    Case("a header line and its continuation", (_R, ("Range", "5-6")), 206, ((0, 1), (5, 6))),
    Case("an encoding that is not used", (_R, ("Accept-Encoding", "gzip, br")), 206, ((0, 1),)),
    Case("an encoding for the whole", (("Accept-Encoding", "gzip, br, *"),), 200),
)
CONDITIONS = (
    _asked("if-range: the tag", 206, _R, ("If-Range", "{etag}"), span=True),
    _asked("if-range: another tag", 200, _R, ("If-Range", '"other"')),
    _asked("if-range: the tag as a weak one", 200, _R, ("If-Range", "W/{etag}")),
    _asked("if-range: two tags", 200, _R, ("If-Range", '{etag}, "other"')),
    _asked("if-range: the date", 206, _R, ("If-Range", "{at}"), span=True),
    _asked("if-range: an earlier date", 200, _R, ("If-Range", "{before}")),
    _asked("if-range: a later date", 200, _R, ("If-Range", "{after}")),
    _asked("if-range: garbage", 200, _R, ("If-Range", "garbage")),
    _asked("if-range: a star", 200, _R, ("If-Range", "*")),
    _asked("if-range without a range", 200, ("If-Range", "{etag}")),
    _asked("if-range: another tag, beyond the end", 200, _BEYOND, ("If-Range", '"other"')),
    _asked("if-range: the tag, beyond the end", 416, _BEYOND, ("If-Range", "{etag}")),
    _asked("if-match: a star", 206, _R, ("If-Match", "*"), span=True),
    _asked("if-match: the tag", 206, _R, ("If-Match", "{etag}"), span=True),
    _asked("if-match: another tag", 412, _R, ("If-Match", '"other"')),
    _asked("if-match: the tag as a weak one", 412, _R, ("If-Match", "W/{etag}")),
    _asked("if-match: a list with it", 206, _R, ("If-Match", '"a", {etag}'), span=True),
    _asked("if-match: a list without it", 412, _R, ("If-Match", '"a", "b"')),
    _asked("if-match: lines", 200, ("If-Match", '"a"'), ("If-Match", "{etag}")),
    _asked("if-match: garbage", 412, ("If-Match", "garbage")),
    _asked(
        "if-match beats a date", 200, ("If-Match", "{etag}"), ("If-Unmodified-Since", "{before}")
    ),
    _asked("if-none-match: a star", 304, ("If-None-Match", "*")),
    _asked("if-none-match: the tag", 304, ("If-None-Match", "{etag}")),
    _asked("if-none-match: the tag as a weak one", 304, ("If-None-Match", "W/{etag}")),
    _asked("if-none-match: a list with it", 304, ("If-None-Match", '"a",{etag}')),
    _asked("if-none-match: another tag", 200, ("If-None-Match", '"other"')),
    _asked("if-none-match: another tag, a range", 206, _R, ("If-None-Match", '"a"'), span=True),
    _asked("not modified beats a range", 304, _R, ("If-None-Match", "{etag}")),
    _asked("not modified beats the end", 304, _BEYOND, ("If-None-Match", "{etag}")),
    _asked("a tag beats a date", 200, ("If-None-Match", '"a"'), ("If-Modified-Since", "{at}")),
    _asked("a failed match beats not modified", 412, ("If-Match", '"a"'), ("If-None-Match", "*")),
    _asked("if-modified-since: the date", 304, ("If-Modified-Since", "{at}")),
    _asked("if-modified-since: later", 304, ("If-Modified-Since", "{after}")),
    _asked("if-modified-since: earlier", 200, ("If-Modified-Since", "{before}")),
    _asked("if-modified-since: garbage", 200, ("If-Modified-Since", "yesterday")),
    _asked("if-modified-since, a range", 304, _R, ("If-Modified-Since", "{at}")),
    _asked("if-unmodified-since: the date", 206, _R, ("If-Unmodified-Since", "{at}"), span=True),
    _asked("if-unmodified-since: later", 200, ("If-Unmodified-Since", "{after}")),
    _asked("if-unmodified-since: earlier", 412, ("If-Unmodified-Since", "{before}")),
    _asked("if-unmodified-since: earlier, a range", 412, _R, ("If-Unmodified-Since", "{before}")),
    _asked("if-unmodified-since: garbage", 200, ("If-Unmodified-Since", "never")),
)
HEADS = tuple(
    # Section 14.2: Range is defined for GET alone; 13.2.1: conditions are, for HEAD as well.
    Case(f"head, {each.name}", each.lines, 200, method="HEAD")
    if each.status in {206, 416}
    else Case(f"head, {each.name}", each.lines, each.status, method="HEAD")
    for each in (*RANGES, *CONDITIONS)
    if each.name in {"no range", "two ranges", "a suffix", "nine ranges", "a start at the end"}
    or each in CONDITIONS
)
CASES = RANGES + CONDITIONS + HEADS
"""For content of a hundred bytes or more."""

SINGLE = (
    Case("one byte: no range", (), 200),
    _ranged("one byte: itself", "bytes=0-0", 206, (0, 0)),
    _ranged("one byte: open", "bytes=0-", 206, (0, 0)),
    _ranged("one byte: more", "bytes=0-99", 206, (0, 0)),
    _ranged("one byte: a suffix", "bytes=-5", 206, (0, 0)),
    _ranged("one byte: beyond", "bytes=1-", 416),
    _ranged("one byte: twice", "bytes=0-0,0-0", 200),
)
"""For content of one byte."""

EMPTY = (
    Case("empty: no range", (), 200),
    Case("empty: head", (), 200, method="HEAD"),
    _ranged("empty: open", "bytes=0-", 416),
    _ranged("empty: a byte", "bytes=0-0", 416),
    _ranged("empty: a suffix of nothing", "bytes=-0", 416),
    _ranged("empty: a suffix", "bytes=-5", 200),
    _ranged("empty: an unknown unit", "items=0-", 200),
    _asked("empty: not modified", 304, ("If-None-Match", "{etag}")),
)
"""For content without bytes."""
