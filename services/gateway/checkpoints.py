"""Checkpoints of unfinished steps, looked at from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from services.gateway.work_schemas import Checkpoint, Checkpoints, KeptFile
from shared.blobs.store import Blobs
from shared.contracts.records import Artifact, Job
from shared.errors import NotFound
from shared.store.redis import Store
from shared.tenancy import TenantId
from shared.work.checkpoint import unseal
from shared.work.jobs import job_key

_FIELDS = ["checkpoint", "checkpoint_before"]


@dataclass(frozen=True, slots=True)
class CheckpointReader:
    """Reads checkpoints and looks whether what they rest on is there."""

    store: Store
    blobs: Blobs

    async def of(self, tenant: TenantId, job: Job) -> Checkpoints:
        """The last two checkpoints of a job, judged as the next attempt would."""
        fields = await self.store.commands.hmget(job_key(tenant, job.id), _FIELDS)
        raw = cast("list[bytes | None]", fields)
        latest, previous = [await self._shown(each) for each in raw]
        return Checkpoints(
            job=job.id,
            step=job.step,
            resumes_from=_resumes_from(job.step, latest, previous),
            latest=latest,
            previous=previous,
        )

    async def _shown(self, raw: bytes | None) -> Checkpoint | None:
        if not raw:
            return None
        saved = unseal(raw)
        if saved is None:
            return Checkpoint(readable=False, verified=False)
        files = tuple([await self._file(artifact) for artifact in saved.artifacts])
        return Checkpoint(
            readable=True,
            verified=all(file.present for file in files),
            step=saved.step,
            state=saved.state,
            artifacts=files,
        )

    async def _file(self, artifact: Artifact) -> KeptFile:
        try:
            is_present = (await self.blobs.head(artifact.key)).size == artifact.size
        except NotFound:
            is_present = False
        return KeptFile(
            name=artifact.name, size=artifact.size, sha256=artifact.sha256, present=is_present
        )


def _resumes_from(
    step: str, latest: Checkpoint | None, previous: Checkpoint | None
) -> Literal["latest", "previous", "start"]:
    if latest and latest.verified and latest.step == step:
        return "latest"
    return "previous" if previous and previous.verified and previous.step == step else "start"
