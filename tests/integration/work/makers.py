"""Jobs whose steps make something, for whoever asks for the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.blobs.store import open_blobs
from shared.contracts.records import Job, StepOutput
from shared.contracts.results import Result
from shared.store.keys import source_key
from shared.tenancy import TenantId
from shared.work.context import StepContext
from shared.work.ledger import NewJob
from shared.work.observer import Observer
from shared.work.results import Place, Recipe, Results
from shared.work.reuse import Reuse
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import Shop, soon

SOURCE = "5" * 64
RECIPES = {
    "s0": Recipe(version="1", params=("x",)),
    "s1": Recipe(version="1", params=("y",), needs=("s0",)),
    "s2": Recipe(version="1", needs=("s1",)),
}


class Makers(Shop):
    """Jobs of three steps, each of which leaves a file; what was run is in ``ran``."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        super().__init__(bench, folder / "scratch")
        self.blobs = open_blobs((folder / "blobs").as_uri())
        self.results = Results(bench.store, seconds=1000)
        self.ran: list[str] = []
        self.looked: list[tuple[str, str]] = []
        self.content = b"small"

    async def step(self, context: StepContext) -> StepOutput:
        """Any step: says what it was given, and leaves a file."""
        self.ran.append(context.step)
        made = context.folder / f"{context.step}.bin"
        made.write_bytes(self.content)
        kept = await context.keep([made])
        told = {"params": context.params, "inputs": list(context.inputs)}
        return StepOutput(result=told, artifacts=kept)

    async def have_source(self, tenant: TenantId = ACME) -> None:
        """Let the tenant have a file of these bytes."""
        await self.bench.store.commands.zadd(source_key(tenant, SOURCE), {"f1": 0})

    async def run(self, tenant: TenantId = ACME, **params: Any) -> Job:
        """A job, worked through."""
        given = {"sha256": SOURCE, "x": 1, "y": 1, "name": "a", **params}
        new = await self.bench.submit("media", "media", "media", tenant=tenant, params=given)
        return await self.work(new)

    async def work(self, new: NewJob) -> Job:
        """Work until the job has succeeded."""
        reuse = Reuse(recipes=RECIPES, results=self.results)
        observer = Observer(ended=self._note, looked=lambda _, *seen: self.looked.append(seen))
        steps = dict.fromkeys(("s0", "s1", "s2"), self.step)
        done = self.ended_by(len(self.ended) + 1)
        async with self.worker(self.step, steps=steps, reuse=reuse, observer=observer).running():
            job = await self.until(new, "succeeded")
            await soon(done)  # before it leaves: the answer may still be on its way
        return job

    async def outcomes(self, job: Job) -> list[str]:
        """What the timeline says of the steps of the job's last epoch."""
        spans = await self.bench.jobs.timeline(TenantId(job.tenant), job.id)
        return [span.outcome for span in spans if span.epoch == job.epoch]

    async def record(self, job: Job, step: str) -> Result | None:
        """What is kept under the key of a job's step."""
        return await self.results.take(ACME, Place(SOURCE, job.outputs[step].key), job.id)

    def path(self, job: Job, step: str) -> Path:
        """Where the file of a job's step lies."""
        found = self.blobs.local_path(job.outputs[step].artifacts[0].key)
        assert found
        return found


def new_of(job: Job) -> NewJob:
    """A job that is there, as its submitter knew it."""
    return NewJob(
        id=job.id,
        tenant=TenantId(job.tenant),
        flow=job.flow,
        subject=job.subject,
        base=job.base,
        steps=job.steps,
    )
