"""Every door to a video's bytes answers ranges alike, from a disk and from S3."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.store.redis import Store
from tests.integration.http.doors import Doors, doors
from tests.support import range_table
from tests.support.range_table import Target

pytestmark = pytest.mark.integration
VIDEO = random.Random(9).randbytes(3_000_000)
AT_ONCE = 8


async def shared(house: Doors, path: str, **wanted: Any) -> str:
    """The address of a new share link."""
    headers = {"Content-Type": "application/json"}
    body = msgspec.json.encode(wanted)
    answer = await house.call("POST", f"{path}/shares", headers, body)
    assert answer.status == 201, answer
    return str(msgspec.json.decode(answer.body)["url"])


async def viewed(house: Doors, path: str) -> str:
    """Where somebody streams who has said the password."""
    link = await shared(house, path, password="sesame")
    body = msgspec.json.encode({"password": "sesame"})
    headers = {"Content-Type": "application/json"}
    answer = await house.call("POST", f"{link}/views", headers, body)
    return str(msgspec.json.decode(answer.body)["stream"])


async def address(house: Doors, path: str, door: str) -> str:
    match door:
        case "signed":
            answer = await house.call("GET", f"{path}/signed-urls")
            return str(msgspec.json.decode(answer.body)["stream"])
        case "shared":
            return f"{await shared(house, path)}/stream"
        case "viewed":
            return await viewed(house, path)
    return f"{path}/{door}"


@pytest.mark.parametrize("door", ["stream", "download", "signed", "shared", "viewed"])
@pytest.mark.parametrize("keeper", ["file", "s3"])
async def test_every_case_of_the_table_holds(
    store: Store, tmp_path: Path, keeper: str, door: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("s3_url") if keeper == "s3" else ""
    async with doors(store, tmp_path, 1, url) as house:
        path = await house.video(VIDEO, "a.mp4")
        target = house.target(await address(house, path, door), VIDEO)
        if door in {"signed", "shared", "viewed"}:
            target = Target(target.port, target.path, VIDEO)  # without a key
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(case: range_table.Case) -> str:
            async with gate:
                try:
                    await case.holds(target)
                except AssertionError as error:
                    return f"{case.name}: {error}"[:300]
                return ""

        failures = await asyncio.gather(*map(look, range_table.CASES))
        await house.blobs.delete_prefix("acme/")
    assert not any(failures), "\n".join(filter(None, failures))
