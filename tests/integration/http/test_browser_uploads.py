"""Clients that others wrote upload over a line that breaks every 5 MB: tus-js-client and Uppy in a
real browser, from a page of another origin, and tuspy. Two gateways stand behind the line.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Page
from tusclient.client import TusClient

from services.gateway.settings import Settings
from shared.store.redis import Store
from tests.integration.http.doors import Doors, doors
from tests.integration.work.bench import ACME
from tests.support.bus import until
from tests.support.chromium import a_browser
from tests.support.cutter import Cutter, cutting
from tests.support.pages import a_page

SIZE = 200_000_000
SMALL = 60_000_000
BETWEEN_CUTS = 5_000_000
CHUNKS = 4
CUTS = SIZE // BETWEEN_CUTS - 1
"""How often the line breaks at least: it carries heads too, and bytes that are sent again."""

PATIENCE_MS = 120_000


@dataclass
class Line:
    """A page, the line it uploads over, and the gateways behind."""

    house: Doors
    proxy: Cutter
    browser: Browser
    origin: str

    @property
    def to(self) -> dict[str, str]:
        """What a page must know to upload."""
        return {"url": self.proxy.url, "key": self.house.keys[ACME]}

    async def page(self, file: Path) -> Page:
        """The page, in a browser that knows nothing, with a file chosen."""
        page = await self.browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await self.visit(page, file)
        return page

    async def visit(self, page: Page, file: Path) -> None:
        """Open the page, with a file chosen."""
        await page.goto(self.origin)
        await page.set_input_files("#file", file)

    async def kept(self, address: str) -> str:
        """The SHA-256 of the bytes of an upload that count."""
        digest = hashlib.sha256()
        for key in await self.house.pieces.uploads.pieces(ACME, address.rpartition("/")[2]):
            digest.update((self.house.folder / key).read_bytes())
        return digest.hexdigest()

    async def is_one_video(self, address: str, file: Path) -> None:
        """The upload is what was sent, and one job has been asked for."""
        assert await self.kept(address) == digest_of(file)

        async def is_asked_for() -> bool:
            return bool(await self.house.submits())

        await until(is_asked_for)
        assert len(await self.house.submits()) == 1

    async def is_nothing(self) -> None:
        """Nothing has come of it."""
        assert self.house.files() == []
        assert await self.house.store.commands.keys("*upload:*") == []


def digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def never_down(offsets: list[int]) -> bool:
    return all(before <= after for before, after in pairwise(offsets))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """Files by their size. They go with the module, as pytest keeps folders of old runs."""
    folder, noise = tmp_path_factory.mktemp("files"), random.Random(7)
    made = {size: folder / f"{size}.mp4" for size in (SMALL, SIZE)}
    for size, path in made.items():
        path.write_bytes(noise.randbytes(size))
    yield made
    shutil.rmtree(folder)


@pytest.fixture
async def line(store: Store, tmp_path: Path) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(a_page())
        allowed = Settings(port=0, cors_origins=(origin,))
        house = await stack.enter_async_context(doors(store, tmp_path, 2, settings=allowed))
        proxy = await stack.enter_async_context(cutting(house.urls, BETWEEN_CUTS))
        browser = await stack.enter_async_context(a_browser())
        yield Line(house, proxy, browser, origin)
    shutil.rmtree(tmp_path / "blobs", ignore_errors=True)


@pytest.mark.parametrize("client", ["byTus", "byUppy"])
async def test_a_page_uploads_over_a_line_that_breaks(
    line: Line, files: dict[int, Path], client: str
) -> None:
    page = await line.page(files[SIZE])
    address = await page.evaluate(f"to => {client}(to)", line.to)
    assert line.proxy.cuts >= CUTS
    await line.is_one_video(address, files[SIZE])


@pytest.mark.parametrize("parts", [2, 4])
async def test_a_page_uploads_parts_side_by_side(
    line: Line, files: dict[int, Path], parts: int
) -> None:
    page = await line.page(files[SMALL])
    call = "([to, parallelUploads]) => byTus(to, { parallelUploads })"
    address = await page.evaluate(call, [line.to, parts])
    assert line.proxy.cuts >= SMALL // BETWEEN_CUTS - parts
    await line.is_one_video(address, files[SMALL])


async def test_tuspy_uploads_over_a_line_that_breaks(line: Line, files: dict[int, Path]) -> None:
    """It sends a chunk over a connection of its own, which breaks where the chunk is large."""
    headers = {"Authorization": f"Bearer {line.house.keys[ACME]}"}
    client = TusClient(f"{line.proxy.url}/v1/uploads/", headers=headers)
    with files[SIZE].open("rb") as stream:
        uploader = client.uploader(
            file_stream=stream,
            chunk_size=SIZE // CHUNKS,
            retries=2 * CUTS,  # it counts them anew only when a whole chunk came through
            retry_delay=0,
            metadata={"filename": "clip.mp4"},
        )
        await asyncio.to_thread(uploader.upload)
    assert line.proxy.cuts >= CUTS - CHUNKS
    assert uploader.url
    await line.is_one_video(uploader.url, files[SIZE])


async def test_a_page_that_was_left_goes_on_where_it_was(
    line: Line, files: dict[int, Path]
) -> None:
    file = files[SMALL]
    page = await line.page(file)
    address, known = await page.evaluate(f"to => byTusUntil(to, {SMALL // 3})", line.to)
    await line.visit(page, file)
    again = await page.evaluate("to => byTusAgain(to)", line.to)
    offsets = await page.evaluate("offsets")
    assert again == address
    assert known <= offsets[0] < SMALL
    assert never_down(offsets)
    await line.is_one_video(address, file)


async def test_two_pages_on_one_upload_make_one_file(line: Line, files: dict[int, Path]) -> None:
    file = files[SMALL]
    one, two = await line.page(file), await line.page(file)
    first = asyncio.ensure_future(one.evaluate("to => byTus(to)", line.to))
    address = await (await one.wait_for_function("window.upload && upload.url")).json_value()
    call = "([to, uploadUrl]) => byTus(to, { uploadUrl })"
    second = asyncio.ensure_future(two.evaluate(call, [line.to, address]))
    watched = asyncio.create_task(_offsets(line.house, address))
    assert set(await asyncio.gather(first, second)) == {address}
    seen = await watched
    assert seen[-1] == SMALL
    of_two = await two.evaluate("offsets")
    assert of_two[0] < SMALL
    for offsets in (seen, await one.evaluate("offsets"), of_two):
        assert never_down(offsets)
    await line.is_one_video(address, file)


async def _offsets(house: Doors, address: str) -> list[int]:
    """What an onlooker is told of an upload, until it is complete."""
    upload_id = address.rpartition("/")[2]
    found: list[int] = []
    while not found or found[-1] < SMALL:
        found.append((await house.uploads.get(ACME, upload_id)).offset)
        await asyncio.sleep(0.01)
    return found


async def test_a_page_with_a_wrong_key_is_told_so(line: Line, files: dict[int, Path]) -> None:
    page = await line.page(files[SMALL])
    wrong = {**line.to, "key": "rw_nobody_nothing"}
    with pytest.raises(Error, match=r"response code: 401, response text: \{.*unauthorized"):
        await page.evaluate("to => byTus(to, { retryDelays: null })", wrong)
    with pytest.raises(Error, match="401"):
        await page.evaluate("to => byUppy(to)", wrong)
    await line.is_nothing()


async def test_a_page_of_a_foreign_origin_can_do_nothing(
    line: Line, files: dict[int, Path]
) -> None:
    page = await line.browser.new_page()
    await page.goto(line.origin.replace("127.0.0.1", "localhost"))
    await page.set_input_files("#file", files[SMALL])
    with pytest.raises(Error, match="failed to create upload"):
        await page.evaluate("to => byTus(to, { retryDelays: null })", line.to)
    for ask in ("fetch(`${to.url}/v1/videos`)", "fetch(`${to.url}/readyz`)"):
        with pytest.raises(Error, match="Failed to fetch"):
            await page.evaluate(f"to => {ask}", line.to)
    await line.is_nothing()


READING = """async (to) => {
  const headers = { Authorization: `Bearer ${to.key}` };
  const answer = async (path) => {
    const reply = await fetch(to.url + path, { headers });
    return [reply.status, reply.headers.get("X-Request-Id"), await reply.json()];
  };
  return [await answer("/v1/videos"), await answer("/v1/nothing")];
}"""


async def test_a_page_reads_answers_and_refusals(line: Line, files: dict[int, Path]) -> None:
    page = await line.page(files[SMALL])
    listed: list[Any]
    refused: list[Any]
    listed, refused = await page.evaluate(READING, line.to)
    assert (listed[0], listed[2]["items"]) == (200, [])
    assert (refused[0], refused[2]["code"]) == (404, "not_found")
    assert listed[1]
    assert refused[1] == refused[2]["request_id"]
