"""Following jobs to their end, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from typing import Final

from services.gateway.cli.failures import Away, CommandFailed
from services.gateway.cli.gateway import Gateway
from services.gateway.cli.progress import following
from services.gateway.cli.screen import Screen
from services.gateway.cli.stream import Sent, StreamReader

PATIENCE_SECONDS: Final = 60.0
"""How long a gateway may be away before nobody waits for it any more."""


async def watch_one(gateway: Gateway, job_id: str, screen: Screen) -> int:
    """Show a job until its end; 0 when it succeeded."""
    state = ""
    with following(screen) as follower:
        async with aclosing(events_of(gateway, job_id)) as events:
            async for sent in events:
                follower.show(job_id, sent)
                state = sent.data["state"]
    return 0 if state == "succeeded" else 1


async def watch_all(gateway: Gateway, screen: Screen) -> int:
    """Show all jobs of the tenant until somebody interrupts it."""
    with following(screen) as follower:
        async with aclosing(events_of_all(gateway)) as events:
            async for job_id, sent in events:
                follower.show(job_id, sent)
    return 0


async def events_of(gateway: Gateway, job_id: str) -> AsyncGenerator[Sent, None]:
    """Every event of a job up to its end, each once: what breaks off is gone on with.
    :class:`Away` when the gateway stays away.
    """
    path, reader = f"/v1/jobs/{job_id}", StreamReader()

    async def connection() -> AsyncGenerator[Sent, None]:
        """The events of one connection. When it ends without the job's end, that is looked up."""
        async for sent in gateway.events(f"{path}/events", reader):
            yield sent
        job = await gateway.call("GET", path)
        if job["finished_at"]:
            yield Sent("end", reader.last_id, job)

    async with aclosing(_lasting(connection, reader)) as events:
        async for sent in events:
            yield sent
            if sent.event == "end":
                return


async def events_of_all(gateway: Gateway) -> AsyncGenerator[tuple[str, Sent], None]:
    """The events of all jobs of the tenant, with their ids, for ever: first a ``snapshot`` of each
    that has not ended. After a time away that was too long to be made up for they come again, with
    an ``end`` of each that has ended meanwhile.
    """
    reader, active = StreamReader(), set[str]()
    lasting = _lasting(lambda: gateway.events("/v1/events", reader), reader)
    async with aclosing(lasting) as events:
        async for sent in events:
            for job_id, event in await _each(gateway, sent, active):
                (active.discard if event.event == "end" else active.add)(job_id)
                yield job_id, event


async def _each(gateway: Gateway, sent: Sent, active: AbstractSet[str]) -> list[tuple[str, Sent]]:
    """What an event says of each job."""
    if sent.event not in {"snapshot", "reset"}:
        return [(sent.data["job"], sent)]
    shown = {job["job"]: Sent("snapshot", sent.id, job) for job in sent.data["jobs"]}
    missed = [await _missed(gateway, job_id) for job_id in sorted(active - shown.keys())]
    return [*(each for each in missed if each), *shown.items()]


async def _missed(gateway: Gateway, job_id: str) -> tuple[str, Sent] | None:
    """The end of a job that was not heard of for a while, if it has ended."""
    try:
        job = await gateway.call("GET", f"/v1/jobs/{job_id}")
    except CommandFailed:  # it is forgotten, or the gateway is away again
        return None
    return (job_id, Sent("end", "", job)) if job["finished_at"] else None


async def _lasting(
    connect: Callable[[], AsyncGenerator[Sent, None]], reader: StreamReader
) -> AsyncGenerator[Sent, None]:
    """The events of one connection after the other, for ever. :class:`Away` when none of them gets
    anywhere for a while.
    """
    clock = asyncio.get_running_loop().time
    away_since: float | None = None
    while True:
        reader.restart()
        try:
            async for sent in connect():
                yield sent
            away_since = None
        except Away:
            if away_since is None or reader.is_heard:
                away_since = clock()
            elif clock() - away_since > PATIENCE_SECONDS:
                raise
        await asyncio.sleep(reader.retry_seconds)
