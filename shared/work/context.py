"""What a running step can see and say."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from shared.blobs import locations
from shared.blobs.store import Blobs
from shared.contracts.records import Artifact, Job, StepOutput, StepStatus
from shared.errors import NotFound
from shared.faults import through
from shared.ids import derived_id
from shared.store.records import Change
from shared.store.redis import StoreUnavailable
from shared.telemetry.traces import current_trace
from shared.tenancy import TenantId, tenant_id
from shared.work.checkpoint import Checkpoint
from shared.work.ledger import Claim, Ledger, NewJob
from shared.work.priority import Boost
from shared.work.results import Place, Recipe
from shared.work.step import StepFailed

PROGRESS_EVERY = 0.25
"""Seconds between two progress events of one job; what comes faster is left out."""


class StepContext:
    """One attempt of one step, from the inside.

    ``outputs`` are those of the job's earlier steps.
    ``heard`` is when the step last said anything, by the monotonic clock. ``parts`` are jobs that
    the next step waits for; the step puts them there. ``recipe`` is what its result follows from,
    and ``place`` where it belongs, if anybody may take it.
    """

    def __init__(
        self,
        *,
        claim: Claim,
        step: str,
        outputs: Mapping[str, StepOutput],
        ledger: Ledger,
        blobs: Blobs,
        folder: Path,
    ) -> None:
        self.claim = claim
        self.step = step
        self.outputs = outputs
        self.blobs = blobs
        self._folder = folder
        self._ledger = ledger
        self.parts: list[NewJob] = []
        self.heard = time.monotonic()
        self._kept: dict[str, Artifact] = {}
        self._told = 0.0
        self.recipe: Recipe | None = None
        self.place: Place | None = None

    @property
    def folder(self) -> Path:
        """A local folder of this attempt; it is there once somebody asks for it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        return self.claim.job

    @property
    def tenant(self) -> TenantId:
        """Whose job it is."""
        return tenant_id(self.claim.job.tenant)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the job that matter to this step."""
        given = self.job.params
        wanted = given if self.recipe is None else self.recipe.params
        return {name: given[name] for name in wanted if name in given}

    @property
    def inputs(self) -> dict[str, StepOutput]:
        """The outputs that this step needs."""
        wanted = self.outputs if self.recipe is None else self.recipe.needs
        return {name: self.outputs[name] for name in wanted if name in self.outputs}

    def change(self) -> Change:
        """A change that is refused once this attempt has lost the job."""
        trace = current_trace() or self.claim.trace
        change = Change(self.tenant, correlation=self.claim.correlation, trace=trace)
        return change.fenced(self.claim.key, self.claim.fence)

    def part(self, item: str, flow: str, steps: Sequence[StepStatus], **fields: Any) -> NewJob:
        """A part of this job, called ``item``: the same subject, law and tenant, and no lock. It is
        the same job whenever this step of this epoch asks for it again.
        """
        job = self.job
        plain: dict[str, Any] = {
            "id": derived_id(f"part:{job.id}:{job.epoch}:{self.step}:{item}"),
            "subject": job.subject,
            "base": job.base,
            "boost": Boost.parse(job.boost),
            "tier": job.tier,
            "lock": "",
            "correlation": self.claim.correlation,
            "trace": current_trace() or self.claim.trace,
        }
        return NewJob(tenant=self.tenant, flow=flow, steps=tuple(steps), **plain | fields)

    async def progress(self, fraction: float, message: str = "") -> None:
        """Say how far this step is, 0 to 1."""
        self.heard = now = time.monotonic()
        if now - self._told < PROGRESS_EVERY and fraction < 1:
            return
        self._told = now
        overall = overall_progress(self.job, self.step, fraction)
        with suppress(StoreUnavailable):  # the next one will tell; the heartbeat minds the store
            await self._ledger.progress(self.claim, overall, message)

    async def resume(self) -> Checkpoint | None:
        """The newest checkpoint of this step whose files are all still there and whole."""
        for checkpoint in self.claim.checkpoints:
            if checkpoint.step == self.step and await self._intact(checkpoint.artifacts):
                self._kept = {artifact.name: artifact for artifact in checkpoint.artifacts}
                return checkpoint
        return None

    async def checkpoint(self, state: dict[str, Any], paths: Sequence[Path] = ()) -> None:
        """Leave a place to go on from. The files are stored before it counts."""
        self.heard = time.monotonic()
        await through("step:checkpoint", lambda: self._checkpoint(state, paths))

    async def _checkpoint(self, state: dict[str, Any], paths: Sequence[Path]) -> None:
        artifacts = tuple([await self._keep(path) for path in paths])
        await self._ledger.checkpoint(
            self.claim, Checkpoint(step=self.step, state=state, artifacts=artifacts)
        )

    async def keep(self, paths: Sequence[Path]) -> tuple[Artifact, ...]:
        """Store local files for later steps, where their result belongs."""
        return tuple([await self._keep_result(path) for path in paths])

    async def _keep_result(self, path: Path) -> Artifact:
        """What a checkpoint has stored already is copied there, inside the store."""
        if self.place is None:
            return await self._keep(path)
        made = locations.Made(self.place.key, self.job.id, self.claim.fence)
        key = locations.result(self.tenant, self.place.source, made, path.name)
        known = self._kept.get(path.name)
        with suppress(NotFound):  # the work area of a video that is being deleted
            if known is not None:
                await self.blobs.copy(known.key, key)
                return msgspec.structs.replace(known, key=key)
        return await self._stored(key, path)

    async def _keep(self, path: Path) -> Artifact:
        """Store a file in the job's work area; one that was stored before is not stored again."""
        if path.name not in self._kept:
            key = locations.work(self.tenant, self.job.id, self.claim.fence, path.name)
            self._kept[path.name] = await self._stored(key, path)
        return self._kept[path.name]

    async def _stored(self, key: str, path: Path) -> Artifact:
        digest = await self.blobs.put_file(key, path)
        size = path.stat().st_size
        return Artifact(name=path.name, key=key, size=size, sha256=digest)

    async def _intact(self, artifacts: Sequence[Artifact]) -> bool:
        for artifact in artifacts:
            try:
                info = await self.blobs.head(artifact.key)
            except NotFound:
                return False
            if info.size != artifact.size:
                return False
        return True


StepFunction = Callable[[StepContext], Awaitable[StepOutput]]
"""One step. It raises :class:`shared.work.step.StepFailed` to fail with a known error; any other
exception is a bug of ours.
"""


@contextmanager
def made_earlier(name: str) -> Iterator[None]:
    """Around reading a file that an earlier step has made: when it is gone, that is no defect. The
    video is being deleted, or the job has waited for very long.
    """
    try:
        yield
    except NotFound as error:
        raise StepFailed(
            "result_gone",
            f"{name}, which an earlier step has made, is no longer here",
            error_class="transient",
            hint="retry the job: it begins where something is missing",
        ) from error


def overall_progress(job: Job, step: str, fraction: float) -> float:
    """How far the whole job is, 0 to 1, when ``step`` is at ``fraction``."""
    total = sum(each.weight for each in job.steps) or 1.0
    done = 0.0
    for each in job.steps:
        if each.name == step:
            return (done + each.weight * max(0.0, min(1.0, fraction))) / total
        done += each.weight
    return 0.0
