"""Reading what happens to all jobs of a tenant: the stream of their states, and what has not ended.

The ledger appends to the stream in the script that changes a job; progress is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId, record_key
from shared.work.jobs import event_of, jobs_index

_SEQUENCES = "rw:jobs:sequences"

FARTHEST = 1000
"""At how many jobs a list of the unfinished looks, newest first, before it says that there may be
more."""


class TenantEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the stream of all jobs of a tenant.

    ``seq`` counts without gaps within the tenant; ``at`` is the entry's (epoch, seq) in the stream
    of the job; ``type`` is ``state`` or ``end``, ``data`` the same as in the job's stream.
    """

    seq: int
    type: str
    job: str
    flow: str
    subject: str
    at: tuple[int, int]
    data: dict[str, Any]


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that had not ended when event ``seq`` of the tenant was the latest: each is the data of
    an event with ``job``, ``video``, ``flow``, and ``epoch`` and ``seq`` of the job. ``more`` says
    that these are not all.
    """

    seq: int
    more: bool
    jobs: tuple[dict[str, Any], ...]


class TenantEvents:
    """Reads what happens to the jobs of tenants."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.work", "lua")

    async def latest(self, tenant: TenantId) -> int:
        """The number of the latest event of a tenant, also when it is no longer kept."""
        return int(await self._redis.hget(_SEQUENCES, tenant) or 0)

    async def after(self, tenant: TenantId, seq: int, limit: int) -> list[TenantEvent]:
        """Entries of a tenant's stream after number ``seq``, in order."""
        entries = await self._redis.xrange(
            record_key(tenant, "events"), f"(1-{seq}", "+", count=limit
        )
        raw = cast("list[tuple[bytes, dict[bytes, bytes]]]", entries)
        return [_event(entry_id, fields) for entry_id, fields in raw]

    async def unfinished(self, tenant: TenantId, most: int, only: Sequence[str] = ()) -> Unfinished:
        """At most so many jobs that have not ended, those in a worker's hands first, then the
        newest, together with the number of the event up to which this is true. ``only`` names the
        jobs to look at, instead of all.
        """
        args: list[str | int] = [tenant, most, FARTHEST, *only]
        seq, more, *jobs = await self._scripts.call("unfinished", [jobs_index(tenant)], args)
        shown = tuple(msgspec.json.decode(job, type=dict[str, Any]) for job in jobs)
        return Unfinished(seq=int(seq), more=bool(more), jobs=shown)


def _event(entry_id: bytes, fields: Mapping[bytes, bytes]) -> TenantEvent:
    event = event_of(fields[b"entry"])
    return TenantEvent(
        seq=int(entry_id.partition(b"-")[2]),
        type=event.type,
        job=fields[b"job"].decode(),
        flow=fields[b"flow"].decode(),
        subject=fields[b"subject"].decode(),
        at=(event.epoch, event.seq),
        data=event.data,
    )
