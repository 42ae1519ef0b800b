from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import pytest

from shared.store import breaker, redis
from shared.store.redis import Store
from shared.work import attempt
from tests.integration.work.bench import Bench, any_redis, clean_store


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for seconds is no store that is away."""
    monkeypatch.setattr(redis, "_ANSWER_SECONDS", 30.0)
    monkeypatch.setattr(breaker, "_ANSWER_SECONDS", 30.0)


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats every 0.2 s under a lease of a minute: soon, although it outlives any stall."""
    monkeypatch.setattr(attempt, "random", SimpleNamespace(uniform=lambda *_: 0.01))


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
