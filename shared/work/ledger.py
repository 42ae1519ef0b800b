"""The ledger of work, as its owner and its workers change it.

Every method is one Lua script (``shared/work/lua``): record, line, lease, events and outbox change
together or not at all. What a worker calls carries the fence of its claim; once the job has been
given to another attempt, the old one gets :class:`~shared.store.records.StaleFence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shared.contracts.records import Job, JobError, StepOutput, StepStatus, Tier
from shared.errors import Invalid
from shared.store.records import REFUSALS
from shared.store.redis import Store
from shared.store.scripts import Scripts
from shared.tenancy import TenantId
from shared.work.checkpoint import Checkpoint, seal, unseal
from shared.work.jobs import job_from_hash, job_key
from shared.work.priority import HIGHEST, Boost
from shared.work.resources import Capacity, amounts, as_text

LEASE_MS = 15_000
"""How long a claim holds without a heartbeat."""

MOST_PARTS = 500
"""Into how many parts one step may split a job; one script creates them all."""

NO_CAPACITY = Capacity()


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is submitted; :class:`Invalid` when no line could hold it.

    No two jobs with the same ``lock`` run at a time; by default that is the subject, and ``""`` is
    none. It is not begun before ``due_at`` nor after ``expires_at`` (milliseconds; 0: no such
    time). ``running`` is how many jobs its tenant may have running in one pool (0: no limit),
    ``weight`` how many turns the tenant gets where another gets one.
    """

    id: str
    tenant: TenantId
    flow: str
    subject: str
    base: int
    steps: tuple[StepStatus, ...]
    params: dict[str, Any] = {}
    boost: Boost = Boost()
    tier: Tier = "free"
    lock: str | None = None
    due_at: int = 0
    expires_at: int = 0
    running: int = 0
    weight: int = 1
    correlation: str = ""
    trace: str = ""

    def __post_init__(self) -> None:
        if not self.steps or not 0 <= self.base <= HIGHEST:
            raise Invalid(f"a job needs a step and a base from 0 to {HIGHEST}")
        if len({step.name for step in self.steps}) < len(self.steps):
            raise Invalid("two steps of a job have the same name")
        for step in self.steps:
            amounts(step.needs)

    def fields(self) -> list[str]:
        """The job's hash as the scripts take it: field, value, …; what says nothing is left out."""
        fields = {
            "id": self.id,
            "tenant": self.tenant,
            "flow": self.flow,
            "subject": self.subject,
            "base": str(self.base),
            "boost": str(self.boost),
            "tier": self.tier,
            "params": msgspec.json.encode(self.params).decode() if self.params else "",
            "steps": msgspec.json.encode(self.steps).decode(),
            "correlation": self.correlation,
            "trace": self.trace,
            **{name: str(at) for name in ("due_at", "expires_at") if (at := getattr(self, name))},
        }
        told = {name: value for name, value in fields.items() if value}
        if self.lock is not None:
            told["lock"] = self.lock
        return [part for pair in told.items() for part in pair]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a worker's hands, under one fence. ``crashes`` counts attempts at the present step
    that brought its process down.
    """

    key: str
    fence: int
    job: Job
    correlation: str
    trace: str
    checkpoints: tuple[Checkpoint, ...] = ()
    crashes: int = 0


class Reaped(NamedTuple):
    """How many jobs came back from a lost worker, became due, or expired."""

    lost: int
    due: int
    expired: int


class Ledger:
    """Changes jobs. See :class:`shared.work.jobs.Jobs` for reading them."""

    def __init__(self, store: Store, *, lease_ms: int = LEASE_MS) -> None:
        self._scripts = Scripts(store, "shared.work", "lua", REFUSALS)
        self._lease_ms = lease_ms

    @property
    def lease_seconds(self) -> float:
        """How long a claim holds without a heartbeat."""
        return self._lease_ms / 1000

    async def submit(self, new: NewJob) -> bool:
        """Put a job into its line; False when it was there already."""
        args: list[str | int] = [new.tenant, new.running, new.weight, *new.fields()]
        return bool(await self._scripts.call("submit", [job_key(new.tenant, new.id)], args))

    async def claim(
        self, pool: str, worker: str, request: str, capacity: Capacity = NO_CAPACITY
    ) -> Claim | None:
        """Take the best waiting job of a pool for which there is room, if there is one. The same
        ``request`` again gets the same answer for a minute.
        """
        room = as_text(capacity.free), as_text(capacity.total)
        args = (pool, worker, request, self._lease_ms, *room)
        found = await self._scripts.call("claim", (), args)
        if found is None:
            return None
        fields = dict(zip(found[1][::2], found[1][1::2], strict=True))
        job = job_from_hash(fields)
        saved = [unseal(fields.get(name)) for name in (b"checkpoint", b"checkpoint_before")]
        return Claim(
            key=found[0].decode(),
            fence=job.fence,
            job=job,
            correlation=fields.get(b"correlation", b"").decode(),
            trace=fields.get(b"trace", b"").decode(),
            checkpoints=tuple(each for each in saved if each and each.step == job.step),
            crashes=int(fields.get(b"crashes", 0)),
        )

    async def heartbeat(self, claim: Claim) -> str:
        """Keep the lease; answers the job's state, ``cancelling`` when it shall stop, ``pausing``
        when it is to rest.
        """
        return await self._fenced("heartbeat", claim, self._lease_ms)

    async def progress(self, claim: Claim, fraction: float, message: str) -> str:
        """Say how far the whole job is, 0 to 1; answers the job's state."""
        return await self._fenced("progress", claim, f"{fraction:.4f}", cut(message, 200))

    async def checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> str:
        """Keep a place to go on from, and the one before it; answers the job's state."""
        return await self._fenced("checkpoint", claim, seal(checkpoint))

    async def advance(
        self,
        claim: Claim,
        step: str,
        output: StepOutput,
        fraction: float,
        parts: Sequence[NewJob] = (),
    ) -> str:
        """A step is done. Answers ``continue`` when the next is the caller's, ``handed`` when it
        waits for another pool, other room or the job's ``parts``, ``paused`` when it rests,
        ``succeeded`` or ``cancelled`` when the job is over.
        """
        if len(parts) > MOST_PARTS:
            raise Invalid(f"a job has at most {MOST_PARTS} parts, not {len(parts)}")
        outcome = "hit" if output.taken_from else "done"
        moved = 0 if output.taken_from else sum(each.size for each in output.artifacts)
        lines = [(job_key(part.tenant, part.id), part.fields()) for part in parts]
        children = msgspec.json.encode(lines) if parts else ""
        encoded = msgspec.json.encode(output)
        args = (step, encoded, f"{fraction:.4f}", moved, children, outcome)
        return await self._fenced("advance", claim, *args)

    async def fail(
        self, claim: Claim, error: JobError, retry_in: float | None, *, crashed: bool = False
    ) -> str:
        """An attempt ended badly; it is tried again after ``retry_in`` seconds, or not at all.
        Answers ``retrying``, ``failed`` or ``cancelled``.
        """
        delay = -1 if retry_in is None else int(retry_in * 1000)
        return await self._fenced("fail", claim, msgspec.json.encode(error), delay, int(crashed))

    async def snooze(self, claim: Claim, error: JobError, seconds: float, longest: float) -> str:
        """Something outside is not to be had: wait without an attempt counted, unless the job has
        tried for ``longest`` seconds. Answers ``retrying``, ``failed`` or ``cancelled``.
        """
        args = (int(seconds * 1000), cut(error.detail, 200), msgspec.json.encode(error))
        return await self._fenced("snooze", claim, *args, int(longest * 1000))

    async def release(self, claim: Claim) -> str:
        """Give a job back because this worker leaves, or because it is to rest: same place in line,
        no attempt counted. Answers ``ready``, ``paused`` or ``cancelled``.
        """
        return await self._fenced("release", claim)

    async def stopped(self, claim: Claim) -> str:
        """The attempt of a job that is being cancelled has stopped."""
        return await self._fenced("stopped", claim)

    async def cancel(self, tenant: TenantId, job_id: str, reason: str) -> str:
        """Stop a job wherever it is, with its parts; answers ``cancelled`` or ``cancelling``."""
        return await self._change("cancel", tenant, job_id, cut(reason, 200))

    async def pause(self, tenant: TenantId, job_id: str) -> str:
        """Let a job rest; answers ``paused``, or ``pausing`` while a worker still holds it."""
        return await self._change("pause", tenant, job_id)

    async def resume(self, tenant: TenantId, job_id: str) -> str:
        """Let a paused job go on; answers its state."""
        return await self._change("resume", tenant, job_id)

    async def prioritize(
        self, tenant: TenantId, job_id: str, base: int | None = None, boost: Boost | None = None
    ) -> str:
        """Change the law of a job that has not ended; its waiting time is kept."""
        if base is not None and not 0 <= base <= HIGHEST:
            raise Invalid(f"a base is from 0 to {HIGHEST}")
        args = ("" if base is None else base, "" if boost is None else str(boost))
        return await self._change("prioritize", tenant, job_id, *args)

    async def retry(
        self, tenant: TenantId, job_id: str, step: str = "", forced: str | None = None
    ) -> str:
        """Open a new epoch of a job that has ended: from where it failed, or from ``step``, whose
        result and all later ones are forgotten. From ``forced`` on (``step``, if not told) nothing
        is taken that was made before.
        """
        return await self._change("retry", tenant, job_id, step, step if forced is None else forced)

    async def discard(self, tenant: TenantId, job_id: str) -> str:
        """Give a failed job up: what it kept for another attempt may go."""
        return await self._change("discard", tenant, job_id)

    async def reap(self, limit: int = 100) -> Reaped:
        """Bring back jobs that lost their worker and those due again, end those that expired."""
        lost, due, expired = await self._scripts.call("reap", (), [limit])
        return Reaped(int(lost), int(due), int(expired))

    async def _change(
        self, script: str, tenant: TenantId, job_id: str, *args: str | bytes | int
    ) -> str:
        return _text(await self._scripts.call(script, [job_key(tenant, job_id)], args))

    async def _fenced(self, script: str, claim: Claim, *args: str | bytes | int) -> str:
        return _text(await self._scripts.call(script, [claim.key], [claim.fence, *args]))


def cut(text: str, length: int) -> str:
    """The start of a text, with a mark for what UTF-8 cannot say (bytes of a file's name)."""
    return text[:length].encode(errors="replace").decode()


def _text(reply: bytes) -> str:
    return reply.decode()
