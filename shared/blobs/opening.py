"""Looking at a blob store before anybody needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from shared.blobs.store import open_blobs


def check_url(url: str) -> None:
    """Raise :class:`shared.settings.SettingsError` unless this is empty or the URL of a store."""
    if url and urlsplit(url).scheme not in {"file", "memory"}:
        open_blobs(url)


@asynccontextmanager
async def reached(url: str) -> AsyncIterator[None]:
    """Entered when the store has answered; else :class:`Unavailable` says what is wrong."""
    await open_blobs(url).ping()
    yield
