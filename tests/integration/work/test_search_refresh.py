"""The search index follows the records through outages, impatience and crowds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from services.catalog.search import CaptionIndex
from shared.contracts.records import Caption, Captions
from shared.errors import Unavailable
from shared.store.changes import Changes
from shared.store.keys import CAPTION_CHANGES, TENANTS, captions_key, videos_index
from shared.store.records import Change, Records
from shared.store.redis import Store
from tests.integration.work.bench import ACME


class Shaky(Records):
    """Records that are away at the n-th look at captions from now."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, "catalog")
        self.away_at = 0
        self.slow = 0.0

    async def get(self, type_: Any, key: str) -> Any:
        self.away_at -= 1
        if self.away_at == 0:
            raise Unavailable("the store is away")
        await asyncio.sleep(self.slow)
        return await super().get(type_, key)

    async def publish(self, video_id: str, text: str) -> None:
        caption = Caption(id="c", start_frame=0, end_frame=9, text=text, confidence=1)
        captions = Captions(
            video_id=video_id, origin="x", updated_at=1, version=1, captions=(caption,)
        )
        change = Change("acme").put(captions_key(ACME, video_id), captions)
        change.index(TENANTS, "acme").index(videos_index(ACME), video_id)
        change.append(CAPTION_CHANGES, 1000, tenant="acme", video=video_id)
        await self.commit(change)

    async def remove(self, video_id: str) -> None:
        change = Change("acme").delete(captions_key(ACME, video_id))
        change.unindex(videos_index(ACME), video_id)
        change.append(CAPTION_CHANGES, 1000, tenant="acme", video=video_id)
        await self.commit(change)


@pytest.fixture
def records(store: Store) -> Shaky:
    return Shaky(store)


@pytest.fixture
def index(records: Shaky, store: Store) -> CaptionIndex:
    return CaptionIndex(records, Changes(store, CAPTION_CHANGES))


def found(index: CaptionIndex, words: str) -> set[str]:
    return {hit.video_id for hit in index.search(ACME, words, 100, 0).hits}


async def test_a_first_build_that_failed_is_done_again(records: Shaky, index: CaptionIndex) -> None:
    for number in range(3):
        await records.publish(f"v{number}", "guten morgen")
    records.away_at = 3
    with pytest.raises(Unavailable):
        await index.refresh()
    await records.remove("v2")  # had been read
    await index.refresh()
    assert found(index, "morgen") == {"v0", "v1"}
    assert index.search(ACME, "morgen", 10, 0).total == 2


async def test_a_change_that_could_not_be_read_is_not_forgotten(
    records: Shaky, index: CaptionIndex
) -> None:
    await records.publish("v0", "alt")
    await index.refresh()
    for number in range(3):
        await records.publish(f"v{number}", "neu")
    records.away_at = 2
    with pytest.raises(Unavailable):
        await index.refresh()
    await index.refresh()
    assert found(index, "neu") == {"v0", "v1", "v2"}
    assert found(index, "alt") == set()


@pytest.mark.parametrize("before", [0, 1])
async def test_changes_that_were_dropped_meanwhile_are_found_all_the_same(
    records: Shaky, index: CaptionIndex, store: Store, before: int
) -> None:
    for _ in range(before):
        await records.publish("v0", "morgen")
    await index.refresh()
    for number in range(1, 5):
        await records.publish(f"v{number}", "morgen")
    await store.commands.xtrim(CAPTION_CHANGES, maxlen=2, approximate=False)
    await index.refresh()
    assert found(index, "morgen") == {f"v{number}" for number in range(1 - before, 5)}


async def test_searches_at_once_find_the_same(records: Shaky, index: CaptionIndex) -> None:
    for number in range(20):
        await records.publish(f"v{number}", "guten morgen")

    async def search() -> int:
        await index.refresh()
        return len(found(index, "morgen"))

    assert set(await asyncio.gather(*(search() for _ in range(10)))) == {20}


async def test_a_search_that_was_given_up_does_not_harm_the_next(
    records: Shaky, index: CaptionIndex
) -> None:
    for number in range(20):
        await records.publish(f"v{number}", "guten morgen")
    records.slow = 0.002
    for delay in (0.0, 0.01, 0.03, 0.045, 0.05, 0.055):
        impatient = asyncio.create_task(index.refresh())
        await asyncio.sleep(delay)
        impatient.cancel()
        with suppress(asyncio.CancelledError):
            await impatient
        await records.publish("v0", f"wort{delay}".replace(".", ""))
    await index.refresh()
    assert found(index, "morgen") == {f"v{number}" for number in range(1, 20)}
    assert found(index, "wort0055") == {"v0"}
