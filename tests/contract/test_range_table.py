"""Content with ranges from every keeper of blobs: one table, the same answers."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from services.gateway.door import BlobContent
from shared.blobs.store import Blobs, open_blobs
from shared.http.responder import respond
from shared.http.routes import Route, register
from shared.http.server import edge_app, listening
from tests.support import range_table
from tests.support.range_table import Case, Target

CONTENTS = {"some": random.Random(3).randbytes(3_000_000), "one": b"x", "empty": b""}


@pytest.fixture(params=["file", "memory", "s3"])
async def port(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[int]:
    """A door that serves each content under its name, from one keeper."""
    urls = {"file": (tmp_path / "blobs").as_uri(), "memory": "memory:"}
    blobs = open_blobs(urls.get(request.param) or request.getfixturevalue("s3_url"))
    for name, content in CONTENTS.items():
        await blobs.put(f"t/{name}", pieces(content))

    async def media(asked: web.Request) -> web.StreamResponse:
        return await respond(asked, content_of(blobs, asked.match_info["name"]))

    app = edge_app(lambda *_: None)
    register(app, [Route(method="GET", path="/{name}", handler=media, summary="")])
    async with listening(app, "127.0.0.1", 0) as bound:
        yield bound
    await blobs.delete_prefix("t/")


def content_of(blobs: Blobs, name: str) -> BlobContent:
    content = CONTENTS[name]
    return BlobContent(
        blobs=blobs,
        key=f"t/{name}",
        size=len(content),
        etag=f'"{hashlib.sha256(content).hexdigest()}"',
        modified=784111777.9,
        media_type="video/mp4",
    )


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def all_hold(port: int, name: str, cases: tuple[Case, ...]) -> None:
    """Fail with the name of every case that does not hold."""
    target = Target(port, f"/{name}", CONTENTS[name])
    gate = asyncio.Semaphore(8)

    async def look(case: Case) -> str:
        async with gate:
            try:
                await case.holds(target)
            except AssertionError as error:
                return f"{case}: {error}"[:300]
            return ""

    failures = await asyncio.gather(*map(look, cases))
    assert not any(failures), "\n".join(filter(None, failures))


@pytest.mark.parametrize(
    ("name", "cases"),
    [("some", range_table.CASES), ("one", range_table.SINGLE), ("empty", range_table.EMPTY)],
    ids=["some", "one", "empty"],
)
async def test_every_case_of_the_table_holds(port: int, name: str, cases: tuple[Case, ...]) -> None:
    await all_hold(port, name, cases)


def test_the_table_has_every_case_once() -> None:
    cases = (*range_table.CASES, *range_table.SINGLE, *range_table.EMPTY)
    assert len({case.name for case in cases}) == len(cases) > 150


async def test_a_case_that_does_not_hold_is_told(port: int) -> None:
    target = Target(port, "/some", CONTENTS["one"] * 3_000_000)
    with pytest.raises(AssertionError):
        await Case("other bytes", (("Range", "bytes=0-9"),), 206, ((0, 9),)).holds(target)
