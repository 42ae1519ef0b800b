"""Pieces become one blob, whatever happens meanwhile, and without room for a second copy."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.blobs.joining import join
from shared.blobs.store import PIECE, Blobs, open_blobs
from shared.errors import NotFound

pytestmark = pytest.mark.integration
TARGET = "acme/incoming/u"
SIZES = (70_000, 1, 131_072, 9, 2_500_000)


class Died(BaseException):
    """Stands in for a death."""


async def stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Pile:
    """Pieces in a folder, and what they are together."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.keys = [f"acme/incoming/u.d/{n}" for n in range(len(SIZES))]
        chance = random.Random(5)
        self.parts = [chance.randbytes(size) for size in SIZES]
        self.whole = b"".join(self.parts)
        self.told: list[float] = []
        self.dies_at = 0

    async def put(self) -> None:
        for key, part in zip(self.keys, self.parts, strict=True):
            await self.blobs.put(key, stream(part))

    async def join(self) -> None:
        await join(self.blobs, self.keys, TARGET, len(self.whole), self.tell)

    async def tell(self, fraction: float) -> None:
        self.told.append(fraction)
        if len(self.told) == self.dies_at:
            raise Died

    async def result(self) -> bytes:
        return await self.blobs.read_all(TARGET)


@pytest.fixture(params=["file", "memory"])
async def pile(request: pytest.FixtureRequest, tmp_path: Path) -> Pile:
    url = tmp_path.as_uri() if request.param == "file" else "memory:"
    made = Pile(open_blobs(url))
    await made.put()
    return made


@pytest.fixture
async def on_disk(tmp_path: Path) -> Pile:
    made = Pile(open_blobs(tmp_path.as_uri()))
    await made.put()
    return made


async def test_pieces_become_one_in_their_order(pile: Pile) -> None:
    await pile.join()
    assert await pile.result() == pile.whole
    assert pile.told == sorted(pile.told)


@pytest.mark.parametrize("at", range(1, len(SIZES)))
async def test_a_death_after_any_piece_costs_nothing(pile: Pile, at: int) -> None:
    pile.dies_at = at
    with pytest.raises(Died):
        await pile.join()
    pile.dies_at = 0
    await pile.join()
    assert await pile.result() == pile.whole


async def test_a_death_within_a_piece_costs_nothing(on_disk: Pile) -> None:
    first = on_disk.blobs.local_path(on_disk.keys[0])
    assert first
    with first.open("ab") as file:  # half of the next ones, and then some
        file.write(on_disk.whole[SIZES[0] : SIZES[0] + 90_000])
    await on_disk.join()
    assert await on_disk.result() == on_disk.whole


async def test_after_its_end_it_can_be_repeated(on_disk: Pile) -> None:
    for _ in range(2):
        await on_disk.join()
    assert await on_disk.result() == on_disk.whole


async def test_two_at_a_time_come_to_the_same(on_disk: Pile) -> None:
    await asyncio.gather(*(on_disk.join() for _ in range(3)))
    assert await on_disk.result() == on_disk.whole


async def test_no_room_is_needed_for_a_second_copy(on_disk: Pile, tmp_path: Path) -> None:
    most = 0

    async def look(_fraction: float) -> None:
        nonlocal most
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        most = max(most, sum(path.stat().st_size for path in files))

    await join(on_disk.blobs, on_disk.keys, TARGET, len(on_disk.whole), look)
    assert most <= len(on_disk.whole)


async def test_a_file_system_that_cannot_copy_is_copied_by_hand(
    on_disk: Pile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    await on_disk.join()
    assert await on_disk.result() == on_disk.whole
    assert max(SIZES) > PIECE  # so that more than one read was needed


async def test_pieces_that_are_missing_are_told(pile: Pile) -> None:
    for key in pile.keys:
        await pile.blobs.delete(key)
    with pytest.raises(NotFound):
        await pile.join()


async def test_what_is_too_short_is_told_and_not_given_a_name(on_disk: Pile) -> None:
    await on_disk.blobs.delete(on_disk.keys[-1])
    for key in on_disk.keys[1:-1]:
        await on_disk.blobs.delete(key)
    with pytest.raises(NotFound):
        await on_disk.join()
    assert not await on_disk.blobs.exists(TARGET)
