"""A real Redis child per test, by each of the two ways to have a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.store.embedded import embedded
from shared.store.redis import Store, open_redis
from tests.support.owners import ORIGINS


@pytest.fixture(params=ORIGINS)
def server_origin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the server of this machine or the one in the wheel is used."""
    origin: str = request.param
    if origin == "wheel":
        monkeypatch.setenv("PATH", "/nonexistent")
    return origin


@pytest.fixture
async def store(server_origin: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with embedded(tmp_path / "data") as url, open_redis(url) as opened:
        yield opened
