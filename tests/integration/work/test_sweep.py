"""What was made of a source goes with its last file, or when nobody can take it any more."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.drive.handlers import DriveHandlers
from services.drive.pieces import Pieces
from services.drive.sweep import OLD_SECONDS, Sweep, sweep_forever
from shared.blobs import locations
from shared.blobs.locations import Made
from shared.bus.router import Context
from shared.clock import now_ms
from shared.contracts.drive import DeleteFile
from shared.contracts.jobs import JobDiscarded, JobFinished, Outcome
from shared.contracts.records import Artifact, File, Job, StepOutput
from shared.errors import Unavailable
from shared.store.keys import TENANTS, deleted_key, file_key, resting_key, result_key, source_key
from shared.store.records import Change, Records
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.tenancy import TenantId
from shared.work.governor import Governor
from shared.work.ledger import NewJob
from shared.work.results import Results
from tests.integration.work.bench import ACME, BROKEN, OTHER, Bench
from tests.integration.work.makers import SOURCE, Makers, new_of
from tests.support.bus import until

CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")
RESULTS = locations.results_of(ACME, SOURCE)


class Keeper(Makers):
    """Drive, beside those who make results."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        super().__init__(bench, folder)
        self.records = Records(bench.store, "drive")
        self.handlers = DriveHandlers(
            records=self.records,
            blobs=self.blobs,
            jobs=bench.jobs,
            results=self.results,
            pieces=Pieces(Uploads(bench.store, "drive"), self.blobs, Space(bench.store), now_ms),
            space=Space(bench.store),
        )
        self.sweep = Sweep(
            records=self.records,
            blobs=self.blobs,
            jobs=bench.jobs,
            results=self.results,
            clock=now_ms,
        )

    async def file(self, file_id: str, sha256: str = SOURCE) -> None:
        file = File(
            id=file_id,
            video_id=f"video of {file_id}",
            name="a",
            size=1,
            sha256=sha256,
            media_type="video/mp4",
            location=locations.original(ACME, file_id),
            created_at=1,
        )
        change = Change(ACME).put(file_key(ACME, file_id), file)
        await self.records.commit(change.index(source_key(ACME, sha256), file_id))

    async def delete(self, file_id: str, *job_ids: str) -> None:
        gone = DeleteFile(video_id="v1", file_id=file_id, job_ids=job_ids)
        for _ in range(2):
            await self.handlers.delete_file(gone, CONTEXT)

    async def end(self, new: NewJob, outcome: Outcome) -> None:
        finished = JobFinished(job_id=new.id, flow="f", subject="v1", outcome=outcome)
        for _ in range(2):
            await self.handlers.clean_up(finished, CONTEXT)

    async def put(self, key: str) -> Path:
        made = self.folder.parent / "made"
        made.write_bytes(b"x")
        await self.blobs.put_file(key, made)
        path = self.blobs.local_path(key)
        assert path
        return path

    def left(self) -> list[str]:
        """Every blob."""
        home = self.folder.parent / "blobs"
        files = [Path(here, name) for here, _, names in os.walk(home) for name in names]
        return sorted(str(path.relative_to(home)) for path in files)

    def of(self, job: Job) -> set[str]:
        """The files that a job rests on."""
        return {each.key for output in job.outputs.values() for each in output.artifacts}

    def age(self, seconds: float = OLD_SECONDS + 60) -> None:
        """Let everything that is there be so old."""
        then = time.time() - seconds
        for key in self.left():
            os.utime(self.folder.parent / "blobs" / key, (then, then))

    async def expire(self, job: Job) -> None:
        """Let the records of a job's results have run out."""
        keys = [result_key(ACME, SOURCE, output.key) for output in job.outputs.values()]
        await self.bench.store.commands.delete(*keys)

    async def forget_all(self) -> int:
        """Forget every job that has ended."""
        return await Governor(self.bench.store).forget(await self.bench.now() + 1)

    async def work_again(self, job: Job) -> Job:
        """Work at a job that was retried."""
        return await self.work(new_of(job))

    async def swept(self) -> int:
        """Look at everything once."""
        return sum([await self.sweep.look_at(*each) async for each in self.sweep.sources()])


@pytest.fixture
async def keeper(store: Store, tmp_path: Path) -> Keeper:
    made = Keeper(Bench(store, lease_ms=60_000), tmp_path)
    await made.records.commit(Change("acme").index(TENANTS, "acme").index(TENANTS, "other"))
    await made.file("f1")
    return made


async def test_the_last_file_takes_what_was_made_of_it_along(keeper: Keeper) -> None:
    job = await keeper.run()
    await keeper.file("f2")
    await keeper.delete("f1", job.id)
    assert set(keeper.left()) == keeper.of(job)
    assert await keeper.outcomes(await keeper.run()) == ["hit"] * 3
    await keeper.delete("f2")
    assert keeper.left() == []
    keys = [key async for key in keeper.bench.store.commands.scan_iter("rw:t:acme:*")]
    assert [key for key in keys if SOURCE.encode() in key] == []


async def test_what_another_tenant_has_made_stays(keeper: Keeper) -> None:
    await keeper.have_source(OTHER)
    foreign = await keeper.run(OTHER)
    await keeper.run()
    await keeper.delete("f1")
    assert set(keeper.left()) == keeper.of(foreign)


async def test_a_deletion_that_broke_off_is_ended_by_the_next_delivery(keeper: Keeper) -> None:
    await keeper.run()
    await keeper.results.drop(ACME, SOURCE, "f1")
    assert keeper.left() != []
    await keeper.delete("f1")
    assert keeper.left() == []


class Crowded(Results):
    """Records beside which the same bytes come again, and somebody is quick."""

    keeper: Keeper
    late: str

    async def drop(self, tenant: TenantId, source: str, file_id: str = "") -> bool:
        gone = await super().drop(tenant, source, file_id)
        await self.keeper.put(self.late)
        return gone


async def test_what_is_made_while_a_file_goes_stays_for_the_next_one(keeper: Keeper) -> None:
    job = await keeper.run()
    results = Crowded(keeper.bench.store)
    results.keeper = keeper
    results.late = locations.result(ACME, SOURCE, Made("7" * 64, "j9", 1), "late.bin")
    keeper.handlers = replace(keeper.handlers, results=results)
    gone = DeleteFile(video_id="v1", file_id="f1", job_ids=(job.id,))
    await keeper.handlers.delete_file(gone, CONTEXT)
    assert keeper.left() == [results.late]


async def test_a_job_of_a_deleted_video_leaves_no_results_however_late(keeper: Keeper) -> None:
    new = await keeper.bench.submit("media", params={"sha256": SOURCE})
    await keeper.bench.claim()
    await keeper.records.commit(Change("acme").mark(deleted_key(ACME, "v1"), 60))
    await keeper.delete("f1", new.id)
    await keeper.put(locations.result(ACME, SOURCE, Made("7" * 64, new.id, 1), "late.bin"))
    await keeper.bench.ledger.cancel(ACME, new.id, "")
    await keeper.end(new, "cancelled")
    assert keeper.left() == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
async def test_the_end_of_a_job_leaves_results_and_no_checkpoints(
    keeper: Keeper, outcome: Outcome
) -> None:
    new = await keeper.bench.submit("media", "media")
    claim = await keeper.bench.claim()
    result = locations.result(ACME, SOURCE, Made("7" * 64, new.id, claim.fence), "a.bin")
    await keeper.put(result)
    kept = Artifact(name="a.bin", key=result, size=1, sha256="")
    await keeper.bench.ledger.advance(claim, "s0", StepOutput(artifacts=(kept,)), 0.5)
    await keeper.put(locations.work(ACME, new.id, claim.fence, "checkpoint.bin"))
    if outcome == "failed":
        await keeper.bench.ledger.fail(claim, BROKEN, None)
    elif outcome == "cancelled":
        await keeper.bench.ledger.cancel(ACME, new.id, "")
        await keeper.bench.ledger.stopped(claim)
    else:
        await keeper.bench.ledger.advance(claim, "s1", StepOutput(), 1)
    later = locations.work(ACME, new.id, claim.fence + 2, "of-a-retry.bin")
    await keeper.put(later)
    await keeper.end(new, outcome)
    assert keeper.left() == [result, later]


async def failed(keeper: Keeper, *, upload: str = "u1") -> NewJob:
    """A job that has failed, with an output in its own work area and an upload."""
    new = await keeper.bench.submit("media", "media", params={"upload_id": upload, "size": 1})
    claim = await keeper.bench.claim()
    own = locations.work(ACME, new.id, claim.fence, "a.bin")
    await keeper.put(own)
    await keeper.put(locations.incoming(ACME, upload))
    kept = Artifact(name="a.bin", key=own, size=1, sha256="")
    await keeper.bench.ledger.advance(claim, "s0", StepOutput(artifacts=(kept,)), 0.5)
    await keeper.bench.ledger.fail(claim, BROKEN, None)
    await keeper.end(new, "failed")
    assert keeper.left() == [locations.incoming(ACME, upload), own]
    return new


async def test_a_job_that_is_given_up_leaves_nothing(keeper: Keeper) -> None:
    new = await failed(keeper)
    await keeper.bench.ledger.discard(ACME, new.id)
    for _ in range(2):
        await keeper.handlers.drop_discarded(await told(keeper), CONTEXT)
    assert keeper.left() == []


async def test_a_job_that_is_forgotten_leaves_nothing(keeper: Keeper) -> None:
    await failed(keeper)
    assert await keeper.forget_all() == 1
    await keeper.handlers.drop_discarded(await told(keeper), CONTEXT)
    assert keeper.left() == []


async def test_a_job_that_was_retried_since_it_was_given_up_keeps_everything(
    keeper: Keeper,
) -> None:
    new = await failed(keeper)
    before = keeper.left()
    await keeper.bench.ledger.discard(ACME, new.id)
    await keeper.bench.ledger.retry(ACME, new.id)
    await keeper.handlers.drop_discarded(await told(keeper), CONTEXT)
    assert keeper.left() == before


async def told(keeper: Keeper) -> JobDiscarded:
    """What the ledger has said of a job that is given up."""
    said = [each for _, each in await keeper.bench.said() if isinstance(each, JobDiscarded)]
    assert len(said) == 1
    assert said[0].upload_id == "u1"
    return said[0]


async def test_what_has_expired_is_swept_after_a_day(keeper: Keeper) -> None:
    job = await keeper.run()
    await keeper.expire(job)
    assert await keeper.swept() == 0
    keeper.age(OLD_SECONDS - 60)
    assert await keeper.swept() == 0
    keeper.age()
    assert await keeper.swept() == 3
    assert keeper.left() == []
    assert await keeper.outcomes(await keeper.run()) == ["done"] * 3


async def test_what_can_still_be_taken_stays_however_old(keeper: Keeper) -> None:
    await keeper.run()
    keeper.age(OLD_SECONDS * 100)
    assert await keeper.swept() == 0
    assert await keeper.outcomes(await keeper.run()) == ["hit"] * 3


async def test_of_two_who_made_the_same_only_the_last_stays(keeper: Keeper) -> None:
    first = await keeper.run()
    await keeper.bench.ledger.retry(ACME, first.id, "s1")
    second = await keeper.work_again(first)
    keeper.age()
    assert await keeper.swept() == 2
    assert set(keeper.left()) == keeper.of(second)


async def test_one_young_file_keeps_all_that_were_made_with_it(keeper: Keeper) -> None:
    made = Made("7" * 64, "j9", 1)
    await keeper.put(locations.result(ACME, SOURCE, made, "old.bin"))
    keeper.age()
    await keeper.put(locations.result(ACME, SOURCE, made, "young.bin"))
    assert await keeper.swept() == 0
    keeper.age()
    assert await keeper.swept() == 2


async def test_what_a_job_in_progress_rests_on_stays(keeper: Keeper) -> None:
    first = await keeper.run()
    new = await keeper.bench.submit("media", params={"sha256": SOURCE})
    resting = resting_key(ACME, SOURCE)
    await keeper.bench.store.commands.sadd(resting, new.id, "a job that nobody knows")
    await keeper.expire(first)
    keeper.age()
    assert await keeper.swept() == 0
    assert await keeper.results.resting(ACME, SOURCE) == {first.id, new.id}
    await keeper.bench.ledger.cancel(ACME, new.id, "")
    assert await keeper.swept() == 3


async def test_what_a_job_in_progress_has_just_made_stays(keeper: Keeper) -> None:
    new = await keeper.bench.submit("media")
    await keeper.put(locations.result(ACME, SOURCE, Made("7" * 64, new.id, 1), "a.bin"))
    keeper.age()
    assert await keeper.swept() == 0
    await keeper.bench.ledger.cancel(ACME, new.id, "")
    assert await keeper.swept() == 1


@pytest.mark.parametrize(
    "key",
    [
        f"acme/results/{SOURCE}/note.txt",
        f"acme/results/{SOURCE}/{'7' * 64}/note.txt",
        f"acme/results/{SOURCE}/{'7' * 64}/no-number/note.txt",
        f"acme/results/{SOURCE}/short/j1-1/note.txt",
        f"acme/results/{SOURCE}/{'7' * 64}/j1-1/deeper/note.txt",
        "acme/results/readme/note.txt",
        f"acme/files/{SOURCE}/original",
        f"nobody/results/{SOURCE}/{'7' * 64}/j1-1/note.txt",
    ],
)
async def test_what_says_not_who_made_it_is_never_touched(keeper: Keeper, key: str) -> None:
    await keeper.put(key)
    keeper.age()
    assert await keeper.swept() == 0
    assert keeper.left() == [key]


async def test_sweeping_goes_on_after_the_store_was_away(
    keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    job = await keeper.run()
    await keeper.expire(job)
    keeper.age()
    calls = 0
    plain = keeper.blobs.folders

    async def folders(prefix: str) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("not now")
        return await plain(prefix)

    keeper.blobs.folders = folders  # type: ignore[method-assign] # away for a moment
    sweeping = asyncio.create_task(sweep_forever(keeper.sweep, every=0.01, pause=0))
    try:
        await until(lambda: _is_empty(keeper), 30)
    finally:
        sweeping.cancel()
    assert "results could not be swept: not now" in caplog.text


async def _is_empty(keeper: Keeper) -> bool:
    return not keeper.left()
