"""Who is asked to stop does so, however fast its client sends, and keeps what has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from services.gateway.pieces import Arrival
from shared.blobs.store import open_blobs
from shared.errors import Unavailable
from shared.ids import new_id
from shared.store.records import Change
from shared.store.uploads import Hold, Taken, Upload

CHUNKS = 1000


class FakeHold:
    """Adds whatever comes."""

    def __init__(self) -> None:
        self.stop, self.owner, self.added = asyncio.Event(), new_id(), 0

    async def add(self, offset: int, pieces: Any, said: Change, length: int | None) -> int:
        self.added += sum(piece.size for piece in pieces)
        return offset


@pytest.mark.parametrize(("who", "error"), [("stop", Taken), ("leaving", Unavailable)])
async def test_a_client_that_never_pauses_is_stopped_too(who: str, error: type[Exception]) -> None:
    hold, leaving, sent = FakeHold(), asyncio.Event(), 0

    async def body() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        for sent in range(1, CHUNKS + 1):
            if sent == 10:
                (hold.stop if who == "stop" else leaving).set()
            yield b"x"

    async def completing() -> None:
        """Nobody asks."""

    async def expecting(_arrived: int) -> None:
        """There is room."""

    arrival = Arrival(
        upload=Upload(id="u", tenant="acme", name="a", video_id="v", job_id="j", length=CHUNKS),
        hold=cast("Hold", hold),
        blobs=open_blobs("memory:"),
        said=Change("acme"),
        leaving=leaving,
        expecting=expecting,
        completing=completing,
        length=CHUNKS,
    )
    with pytest.raises(error):
        await arrival.take(body())
    assert hold.added == sent < 20
