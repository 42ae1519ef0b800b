"""From which step a job can really be run again."""

from __future__ import annotations

from shared.blobs.store import Blobs
from shared.contracts.records import Artifact, Job
from shared.errors import Invalid, NotFound


async def first_step(job: Job, wanted: str, blobs: Blobs) -> str:
    """The step to begin with so that ``wanted`` (empty: the first unfinished one) finds what it
    needs: an earlier one when files of the steps before are no longer kept. Empty when the job can
    simply go on. :class:`Invalid` when the job has no such step.
    """
    names = [step.name for step in job.steps]
    if wanted and wanted not in names:
        raise Invalid(
            f"the job has no step {wanted[:80]!r}",
            code="unknown_step",
            hint=f"its steps are {', '.join(names)}",
        )
    unfinished = (step.name for step in job.steps if step.state != "done")
    until = names.index(wanted or next(unfinished, names[0]))
    for name in names[:until]:
        output = job.outputs.get(name)
        if output is None or not await _are_kept(output.artifacts, blobs):
            return name
    return wanted


async def _are_kept(artifacts: tuple[Artifact, ...], blobs: Blobs) -> bool:
    for artifact in artifacts:
        try:
            info = await blobs.head(artifact.key)
        except NotFound:
            return False
        if info.size != artifact.size:
            return False
    return True
