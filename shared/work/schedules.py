"""Recurring jobs, as the ledger keeps them.

A schedule is a hash; all that recur stand in one sorted set by their next time. Nobody leads: any
number of processes look for what is due, compute the time after, and call one script that makes
the job and moves the schedule on if nobody else has. So each time is used once, whoever dies when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from shared.contracts.schedules import Schedule
from shared.errors import Conflict
from shared.ids import derived_id_at
from shared.store.records import REFUSALS
from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId, record_key, tenant_id
from shared.work.jobs import job_key
from shared.work.ledger import NewJob

MOST_SCHEDULES = 100
"""How many schedules a tenant may have."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def _full(detail: str) -> Conflict:
    return Conflict(detail, code="too_many_schedules", hint="delete one that is not needed")


def is_schedule_name(text: str) -> bool:
    """Whether it can name a schedule: 1 to 63 lower case letters, digits, inner ``-`` and ``_``."""
    return _NAME.fullmatch(text) is not None


def job_id_of(schedule: Schedule) -> str:
    """The id of the job that a schedule makes at its next time, whoever makes it."""
    at = schedule.next_at
    return derived_id_at(at, "schedule", schedule.tenant, schedule.name, str(at))


class Schedules:
    """Keeps schedules, and makes their jobs."""

    def __init__(self, store: Store) -> None:
        self._redis = store.commands
        self._scripts = Scripts(store, "shared.work", "lua", {**REFUSALS, "FULL": _full})

    async def now(self) -> int:
        """The time that decides, in milliseconds since the epoch."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def put(self, schedule: Schedule, most: int = MOST_SCHEDULES) -> Schedule:
        """Make a schedule, or change the one of that name; answers it as it is then. ``next_at`` is
        taken where its times are new. :class:`Conflict` when the tenant has ``most`` already.
        """
        tenant = tenant_id(schedule.tenant)
        times = f"{schedule.every} {schedule.timezone} {schedule.cron}"
        fields = {
            "name": schedule.name,
            "tenant": tenant,
            "flow": schedule.flow,
            "subject": schedule.subject,
            "params": msgspec.json.encode(schedule.params).decode(),
            "every": str(schedule.every),
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "overlap": schedule.overlap,
        }
        flat = [part for pair in fields.items() for part in pair]
        rules: list[str | int] = [most, schedule.next_at, times, int(schedule.enabled)]
        keys = _keys(tenant, schedule.name)
        reply = await self._scripts.call("schedule_put", keys, [*rules, *flat])
        return _schedule(_paired(reply))

    async def delete(self, tenant: TenantId, name: str) -> bool:
        """Remove a schedule; False when there was none."""
        return bool(await self._scripts.call("schedule_delete", _keys(tenant, name), [name]))

    async def get(self, tenant: TenantId, name: str) -> Schedule | None:
        """One schedule, if there is one."""
        if not is_schedule_name(name):
            return None
        found = await self._redis.hgetall(_keys(tenant, name)[0])
        fields = cast("dict[bytes, bytes]", found)
        return _schedule(fields) if fields else None

    async def all(self, tenant: TenantId) -> list[Schedule]:
        """Every schedule of a tenant, by name."""
        names = await self._redis.zrange(record_key(tenant, "schedules"), 0, -1)
        pipeline = self._redis.pipeline(transaction=False)
        for name in cast("list[bytes]", names):
            pipeline.hgetall(_keys(tenant, name.decode())[0])
        return [_schedule(fields) for fields in await pipeline.execute() if fields]

    async def due(self, limit: int = 100) -> tuple[int, list[Schedule]]:
        """The time, and the schedules whose time has come, the longest due first."""
        now, found = await self._scripts.call("schedules_due", (), [limit])
        return int(now), [_schedule(_paired(fields)) for fields in found]

    async def fire(self, schedule: Schedule, upcoming: int, new: NewJob, most: int) -> str:
        """Make the job of a time that has come and go on to ``upcoming`` (0: never again). Answers
        ``fired``; ``overlap`` when the job before has not ended, ``queue_full`` when ``most`` jobs
        of the tenant wait already; ``gone`` when somebody else was quicker.
        """
        rules = (most, new.running, new.weight)
        return await self._go_on(schedule, upcoming, "", *rules, *new.fields())

    async def skip(self, schedule: Schedule, upcoming: int, reason: str) -> str:
        """Let a time that has come pass without a job and go on to ``upcoming``; with 0 the
        schedule is switched off. Answers the reason, or ``gone``.
        """
        return await self._go_on(schedule, upcoming, reason, 0)

    async def _go_on(self, schedule: Schedule, upcoming: int, reason: str, *args: str | int) -> str:
        tenant = tenant_id(schedule.tenant)
        keys = (_keys(tenant, schedule.name)[0], job_key(tenant, job_id_of(schedule)))
        given = (schedule.next_at, upcoming, reason, *args)
        reply: bytes = await self._scripts.call("fire", keys, given)
        return reply.decode()


def _keys(tenant: TenantId, name: str) -> tuple[str, str]:
    return record_key(tenant, "schedule", name), record_key(tenant, "schedules")


def _paired(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _schedule(fields: Mapping[bytes, bytes]) -> Schedule:
    plain: dict[str, object] = {name.decode(): value.decode() for name, value in fields.items()}
    plain["params"] = msgspec.json.decode(fields[b"params"])
    return msgspec.convert(plain, Schedule, strict=False)
