"""Reading jobs: their records, their lists and their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from shared.contracts.records import Job
from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId, record_key

ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
"""The states in which nobody works at a job unless it is retried."""

_JSON = frozenset({"params", "steps", "error"})
_OUTPUT = "out:"

PLANS = "rw:jobs:plan:"
"""Before the name of each text of steps: one for each flow there ever was."""


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a job's events; ``type`` is ``state``, ``progress`` or ``end``."""

    epoch: int
    seq: int
    type: str
    data: dict[str, Any]


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """An entry as the scripts keep it (``emit`` in ``lua/include/prelude.lua``)."""

    epoch: int
    seq: int
    type: str
    at: int
    state: str
    step: str
    progress: float
    message: str
    attempt: int
    lost: int
    error: dict[str, Any] | None = None


_ENTRY = msgspec.json.Decoder(_Entry)
_PLACE = ("epoch", "seq", "type")


def event_of(entry: bytes) -> JobEvent:
    """The event that an entry of the ledger keeps."""
    kept = _ENTRY.decode(entry)
    data = {
        name: value for name, value in msgspec.structs.asdict(kept).items() if value is not None
    }
    place = {name: data.pop(name) for name in _PLACE}
    return JobEvent(**place, data=data)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt made of one step. ``outcome`` is ``done``, ``hit`` (an earlier result was
    taken), ``failed``, ``released``, ``snoozed``, ``lost`` or ``cancelled``; ``waited_ms`` is how
    long the job was in line before the attempt; ``bytes`` is the size of what the step made.
    """

    epoch: int
    fence: int
    step: str
    pool: str
    worker: str
    waited_ms: int
    started_at: int
    ended_at: int
    outcome: str
    error: str = ""
    bytes: int = 0


def job_key(tenant: TenantId, job_id: str) -> str:
    """The key of a job's hash."""
    return record_key(tenant, "job", job_id)


def jobs_index(tenant: TenantId) -> str:
    """The key of the index of a tenant's jobs."""
    return record_key(tenant, "jobs")


def job_from_hash(fields: Mapping[bytes, bytes]) -> Job:
    """The job that a ledger hash describes."""
    plain: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    for raw_name, value in fields.items():
        name = raw_name.decode()
        if name.startswith(_OUTPUT):
            outputs[name.removeprefix(_OUTPUT)] = msgspec.json.decode(value)
        else:
            plain[name] = msgspec.json.decode(value) if name in _JSON else value.decode()
    plain.setdefault("lock", plain["subject"])
    plain.setdefault("opened_at", plain["created_at"])
    return msgspec.convert({**plain, "outputs": outputs}, Job, strict=False)


class Jobs:
    """Reads jobs by key, for whoever asks."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.work", "lua")
        self._plans: dict[bytes, bytes] = {}

    async def get(self, tenant: TenantId, job_id: str) -> Job | None:
        """One job, if there is one."""
        return (await self.get_many(tenant, [job_id]))[0]

    async def get_many(self, tenant: TenantId, job_ids: Sequence[str]) -> list[Job | None]:
        """Jobs by id, in the order asked for."""
        if not job_ids:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hgetall(job_key(tenant, job_id))
        found = cast("list[dict[bytes, bytes]]", await pipeline.execute())
        await self._add_steps([fields for fields in found if fields and b"steps" not in fields])
        return [job_from_hash(fields) if fields else None for fields in found]

    async def _add_steps(self, jobs: Sequence[dict[bytes, bytes]]) -> None:
        """Jobs that have not begun share the text of their steps, which never changes."""
        unknown = list({fields[b"plan"] for fields in jobs} - self._plans.keys())
        if unknown:
            texts = await self._redis.mget([PLANS + plan.decode() for plan in unknown])
            self._plans.update(zip(unknown, cast("list[bytes]", texts), strict=True))
        for fields in jobs:
            fields[b"steps"] = self._plans[fields[b"plan"]]

    async def states(self, tenant: TenantId, job_ids: Sequence[str]) -> dict[str, str]:
        """The states of those among these jobs that there are."""
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in job_ids:
            pipeline.hget(job_key(tenant, job_id), "state")
        found = await pipeline.execute() if job_ids else []
        named = zip(job_ids, cast("list[bytes | None]", found), strict=True)
        return {job_id: state.decode() for job_id, state in named if state is not None}

    async def page(self, tenant: TenantId, before: str, limit: int) -> list[Job]:
        """Jobs of a tenant, newest first, from the one before the id ``before``."""
        highest = f"({before}" if before else "+"
        ids = await self._redis.zrevrangebylex(jobs_index(tenant), highest, "-", start=0, num=limit)
        found = await self.get_many(
            tenant, [job_id.decode() for job_id in cast("list[bytes]", ids)]
        )
        return [job for job in found if job is not None]

    async def dead(self, tenant: TenantId, before: str, limit: int) -> list[Job]:
        """Failed jobs that nobody has seen to, newest first, from before the id ``before``."""
        highest = f"({before}" if before else "+"
        index = record_key(tenant, "dead")
        ids = await self._redis.zrevrangebylex(index, highest, "-", start=0, num=limit)
        wanted = [job_id.decode() for job_id in cast("list[bytes]", ids)]
        return [job for job in await self.get_many(tenant, wanted) if job is not None]

    async def timeline(self, tenant: TenantId, job_id: str) -> list[Span]:
        """What attempts at a job did, step by step, oldest first; the last 200."""
        raw = await self._redis.lrange(f"{job_key(tenant, job_id)}:timeline", 0, -1)
        return [msgspec.json.decode(each, type=Span) for each in cast("list[bytes]", raw)]

    async def children(self, tenant: TenantId, job_id: str) -> list[Job]:
        """The parts of a job, in the order in which they were made."""
        raw = await self._redis.lrange(f"{job_key(tenant, job_id)}:children", 0, -1)
        wanted = [each.decode() for each in cast("list[bytes]", raw)]
        return [job for job in await self.get_many(tenant, wanted) if job is not None]

    async def events(
        self, tenant: TenantId, job_id: str, after: tuple[int, int], limit: int = 1000
    ) -> list[JobEvent]:
        """Entries of a job's events after ``(epoch, seq)``, in order."""
        found = await self._scripts.call("events", [job_key(tenant, job_id)], [after[1], limit])
        events = map(event_of, cast("list[bytes]", found))
        return [event for event in events if (event.epoch, event.seq) > after]
