"""A real Redis child per test, by each of the two ways to have a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from shared.store import redis
from shared.store.embedded import embedded
from shared.store.redis import Store, StoreUnavailable, open_redis
from tests.support.owners import ORIGINS

ANSWER_SECONDS = redis._ANSWER_SECONDS


@pytest.fixture(params=ORIGINS)
def server_origin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the server of this machine or the one in the wheel is used."""
    origin: str = request.param
    if origin == "wheel":
        monkeypatch.setenv("PATH", "/nonexistent")
    return origin


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the limit is not what is tested, a machine that stalls for seconds is no failure."""
    monkeypatch.setattr(redis, "_ANSWER_SECONDS", 60.0)


@pytest.fixture
async def store(server_origin: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with embedded(tmp_path / "data") as url, open_redis(url) as opened:
        yield opened


@pytest.fixture
async def hasty(
    store: Store, patient: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    """Another client of the same server, no more patient than the product."""
    monkeypatch.setattr(redis, "_ANSWER_SECONDS", ANSWER_SECONDS)
    async with AsyncExitStack() as stack:
        opened: Store | None = None
        while opened is None:
            with suppress(StoreUnavailable):  # the machine has stalled
                opened = await stack.enter_async_context(open_redis(store.url))
        yield opened
