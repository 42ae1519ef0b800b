from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from shared.store.redis import Store
from tests.integration.work.bench import Bench, any_redis, clean_store


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with any_redis() as url:
        yield url


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    async with clean_store(redis_url) as opened:
        yield opened


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)
