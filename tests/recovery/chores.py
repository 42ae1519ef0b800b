"""What else happens in a day: requests, uploads, calls to what is away, recurring jobs, tidying."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.errors import Rejected, Unavailable
from shared.store.redis import Store
from tests.recovery.caller import Caller
from tests.recovery.clerk import CLOSING
from tests.recovery.librarian import Librarian
from tests.recovery.onlooker import Onlooker
from tests.recovery.provider import Provider
from tests.recovery.shipper import Shipper
from tests.recovery.timetable import Timetable

Round = Callable[[], Awaitable[None]]
_AT_ONCE = 2
"""How many of a process call and make requests at a time."""


async def do_chores(store: Store) -> None:
    """Do them all side by side, for ever; when it is closing time, only tidy up."""
    timetable = Timetable(store)
    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            for one in (Caller(store), Provider(store), Shipper(store)):
                group.create_task(_again_and_again(store, one.round, 0.1))
        group.create_task(_again_and_again(store, Onlooker(store).round, 0.3))
        group.create_task(_again_and_again(store, Librarian(store).round, 1.0))
        group.create_task(_again_and_again(store, timetable.round, 0.3, timetable.clear))


async def _nothing() -> None:
    """There is nothing to tidy up."""


async def _again_and_again(store: Store, act: Round, rest: float, tidy: Round = _nothing) -> None:
    while True:
        with suppress(Unavailable, Rejected):
            is_closing = await store.commands.exists(CLOSING)
            await (tidy() if is_closing else act())
        await asyncio.sleep(rest)
