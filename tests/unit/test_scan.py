"""Looking for what matches in a long list: nothing twice, nothing missed, never for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from shared.store.scan import Found, scan


@dataclass(frozen=True)
class Entry:
    id: str


@dataclass
class Shelf:
    """A list, newest first, and what was read of it."""

    size: int
    reads: list[int] = field(default_factory=list)

    async def read(self, after: str, limit: int) -> Sequence[Entry]:
        self.reads.append(limit)
        first = int(after) - 1 if after else self.size
        return [Entry(f"{number:05}") for number in range(first, max(0, first - limit), -1)]


def is_tenth(entry: Entry) -> bool:
    return entry.id.endswith("0")


async def everything(shelf: Shelf, limit: int, most: int) -> tuple[list[str], int]:
    """All that matches, in however many goes that takes."""
    ids: list[str] = []
    after, goes = "", 0
    while True:
        found: Found[Entry] = await scan(shelf.read, after, limit, is_tenth, most=most)
        ids += [entry.id for entry in found.items]
        assert len(found.items) <= limit
        goes += 1
        if found.next is None:
            return ids, goes
        after = found.next


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
@pytest.mark.parametrize("most", [1, 9, 10, 200, 1000])
async def test_page_after_page_gives_each_match_once_in_order(limit: int, most: int) -> None:
    ids, _ = await everything(Shelf(1234), limit, most)
    assert ids == [f"{number:05}" for number in range(1230, 0, -10)]


async def test_no_more_than_that_many_are_looked_at_in_one_go() -> None:
    shelf = Shelf(10_000)
    found = await scan(shelf.read, "", 50, lambda _: False, most=1000)
    assert (found.items, found.next) == ((), "09001")
    assert sum(shelf.reads) <= 1001


async def test_without_a_filter_only_the_page_is_read() -> None:
    shelf = Shelf(100)
    found = await scan(shelf.read, "", 10)
    assert (len(found.items), found.next) == (10, "00091")
    assert shelf.reads == [11]


@pytest.mark.parametrize("size", [0, 9, 10])
async def test_the_last_page_says_that_it_is_the_last(size: int) -> None:
    assert (await scan(Shelf(size).read, "", 10)).next is None
    assert (await scan(Shelf(size).read, "", 10, lambda _: True)).next is None
