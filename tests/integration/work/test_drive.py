"""Drive: taking uploads in, and letting bytes go at the right moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.drive.handlers import DriveHandlers
from services.drive.pieces import Pieces
from services.drive.steps import store_step
from services.jobs.flows import FLOWS
from shared.blobs import locations
from shared.blobs.store import Blobs, open_blobs
from shared.bus.outbox_entries import envelope_of
from shared.bus.router import Context
from shared.clock import now_ms
from shared.contracts.drive import CompleteUpload, DeleteFile, FileStored
from shared.contracts.jobs import JobFinished, Outcome, SubmitJob
from shared.contracts.records import Artifact, File, StepOutput
from shared.errors import NotFound
from shared.ids import derived_id
from shared.store.keys import deleted_key, file_key, source_key
from shared.store.outbox import RedisOutbox
from shared.store.records import Change, Records, StaleFence
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.work.context import StepContext
from shared.work.failures import describe
from shared.work.ledger import Claim, NewJob
from shared.work.results import Results
from shared.work.step import BadInput
from tests.integration.work.bench import ACME, BROKEN, Bench, decoded

VIDEO = b"\x1a\x45\xdf\xa3" + b"video" * 1000
INCOMING = locations.incoming(ACME, "u1")
FILE_ID = derived_id("file", "u1")
ORIGINAL = locations.original(ACME, FILE_ID)
CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")


class Drive:
    """The service's parts, with eyes on what they leave."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.bench = Bench(store, lease_ms=60_000)
        self.records = Records(store, "drive")
        self.blobs: Blobs = open_blobs(folder.as_uri())
        self.results = Results(store)
        self.space = Space(store)
        pieces = Pieces(Uploads(store, "drive"), self.blobs, self.space, now_ms)
        self.handlers = DriveHandlers(
            records=self.records,
            blobs=self.blobs,
            jobs=self.bench.jobs,
            results=self.results,
            pieces=pieces,
            space=self.space,
        )
        self.store_step = store_step(self.records, pieces, self.space)
        self.folder = folder

    async def upload(self, content: bytes = VIDEO, size: int | None = None) -> NewJob:
        await self.put(INCOMING, content)
        length = len(content) if size is None else size
        params = {"upload_id": "u1", "name": "a.mkv", "size": length}
        pools = [step.pool for step in FLOWS["process_video"]]
        return await self.bench.submit(*pools, params=params)

    async def put(self, key: str, content: bytes = b"x") -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self.blobs.put(key, chunks())

    def context(self, claim: Claim) -> StepContext:
        return StepContext(
            claim=claim,
            step="s0",
            outputs={},
            ledger=self.bench.ledger,
            blobs=self.blobs,
            folder=self.folder,
        )

    async def take_in(self) -> tuple[Claim, StepOutput]:
        claim = await self.bench.claim("drive")
        return claim, await self.store_step(self.context(claim))

    async def finish(self, new: NewJob, outcome: Outcome, error_class: str = "") -> None:
        finished = JobFinished(
            job_id=new.id,
            flow="process_video",
            subject="v1",
            outcome=outcome,
            error_class=error_class,
        )
        await self.handlers.clean_up(finished, CONTEXT)
        await self.handlers.clean_up(finished, CONTEXT)

    def left(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found)

    async def said(self) -> list[object]:
        entries = await RedisOutbox(self.bench.store, "drive").read("0", 100, 0.01)
        return [decoded(envelope_of(entry, "drive"))[1] for entry in entries]


@pytest.fixture
def drive(store: Store, tmp_path: Path) -> Drive:
    return Drive(store, tmp_path / "blobs")


async def test_an_upload_that_is_completed_twice_is_one_job(drive: Drive) -> None:
    message = CompleteUpload(upload_id="u1", video_id="v1", job_id="j1", name="a.mkv", size=7)
    for _ in range(2):
        await drive.handlers.complete_upload(message, CONTEXT)
    params = {"upload_id": "u1", "name": "a.mkv", "size": 7}
    assert await drive.said() == [
        SubmitJob(job_id="j1", flow="process_video", subject="v1", params=params)
    ]


async def test_an_upload_becomes_a_file_once(drive: Drive) -> None:
    await drive.upload()
    claim, output = await drive.take_in()
    again = await drive.store_step(drive.context(claim))
    assert again == output
    assert output.result["location"] == ORIGINAL
    assert drive.left() == [ORIGINAL]
    [told] = await drive.said()
    assert isinstance(told, FileStored)
    assert (told.video_id, told.file_id, told.size) == ("v1", FILE_ID, len(VIDEO))
    assert await drive.records.page(source_key(ACME, told.sha256), "", 10) == [FILE_ID]


async def test_a_file_that_was_moved_but_not_written_down_is_found(drive: Drive) -> None:
    await drive.upload()
    claim = await drive.bench.claim("drive")
    await drive.blobs.move(INCOMING, ORIGINAL)
    await drive.bench.ledger.release(claim)
    with pytest.raises(StaleFence):
        await drive.store_step(drive.context(claim))
    assert await drive.said() == []
    _, output = await drive.take_in()
    assert output.result["size"] == len(VIDEO)
    assert len(await drive.said()) == 1


@pytest.mark.parametrize(
    ("content", "size", "code"),
    [
        (VIDEO, len(VIDEO) + 1, "incomplete_upload"),
        (b"", 0, "empty_file"),
        (b"\x89PNG" + bytes(100), 104, "not_a_video"),
    ],
)
async def test_what_is_no_video_goes_with_its_job(
    drive: Drive, content: bytes, size: int, code: str
) -> None:
    new = await drive.upload(content, size)
    claim = await drive.bench.claim("drive")
    with pytest.raises(BadInput) as caught:
        await drive.store_step(drive.context(claim))
    assert caught.value.code == code
    await drive.bench.ledger.fail(claim, describe(caught.value, "s0"), None)
    await drive.finish(new, "failed", "bad_input")
    assert drive.left() == []


async def test_a_job_that_succeeded_leaves_only_its_file(drive: Drive) -> None:
    new = await drive.bench.submit("drive", params={"upload_id": "u1", "size": 1, "name": "a"})
    await drive.put(INCOMING, VIDEO)
    claim = await drive.bench.claim("drive")
    await drive.blobs.move(INCOMING, ORIGINAL)
    file = File(
        id=FILE_ID,
        video_id="v1",
        name="a",
        size=1,
        sha256="",
        media_type="video/mp4",
        location=ORIGINAL,
        created_at=1,
    )
    await drive.records.commit(Change("acme").put(file_key(ACME, FILE_ID), file))
    await drive.put(locations.work(ACME, new.id, 1, "frames.json"))
    await drive.bench.ledger.advance(claim, "s0", StepOutput(), 1)
    await drive.finish(new, "succeeded")
    assert drive.left() == [ORIGINAL]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_what_a_retry_needs_is_kept(drive: Drive, end: Outcome) -> None:
    new = await drive.upload()
    claim, output = await drive.take_in()
    await drive.bench.ledger.advance(claim, "s0", output, 0.1)
    claim = await drive.bench.claim("media")
    work = locations.work(ACME, new.id, claim.fence, "frames.json")
    await drive.put(work)
    kept = Artifact(name="frames.json", key=work, size=1, sha256="")
    await drive.bench.ledger.advance(claim, "s1", StepOutput(artifacts=(kept,)), 0.1)
    if end == "failed":
        await drive.bench.ledger.fail(claim, BROKEN, None)
    else:
        await drive.bench.ledger.cancel(ACME, new.id, "")
        await drive.bench.ledger.stopped(claim)
    await drive.finish(new, end)
    assert drive.left() == [ORIGINAL, work]


async def test_a_job_that_was_retried_meanwhile_keeps_everything(drive: Drive) -> None:
    new = await drive.upload()
    await drive.bench.ledger.cancel(ACME, new.id, "")
    await drive.bench.ledger.retry(ACME, new.id)
    await drive.finish(new, "cancelled")  # told late
    assert drive.left() == [INCOMING]
    _, output = await drive.take_in()
    assert output.result["size"] == len(VIDEO)


async def test_an_upload_that_failed_for_a_moment_can_be_retried(drive: Drive) -> None:
    new = await drive.upload()
    await drive.bench.ledger.fail(await drive.bench.claim("drive"), BROKEN, None)
    await drive.finish(new, "failed")
    await drive.bench.ledger.retry(ACME, new.id)
    _, output = await drive.take_in()
    assert output.result["size"] == len(VIDEO)


async def test_cancelling_before_the_upload_was_taken_in_withdraws_it(drive: Drive) -> None:
    new = await drive.upload()
    await drive.bench.ledger.cancel(ACME, new.id, "")
    await drive.finish(new, "cancelled")
    assert drive.left() == []
    await drive.bench.ledger.retry(ACME, new.id)
    with pytest.raises(BadInput) as caught:
        await drive.take_in()
    assert caught.value.code == "upload_gone"
    assert caught.value.hint == "upload the file again"


async def test_cancelling_between_move_and_record_leaves_no_bytes(drive: Drive) -> None:
    new = await drive.upload()
    claim = await drive.bench.claim("drive")
    await drive.blobs.move(INCOMING, ORIGINAL)
    await drive.bench.ledger.cancel(ACME, new.id, "")
    await drive.bench.ledger.stopped(claim)
    await drive.finish(new, "cancelled")
    assert drive.left() == []


async def test_a_deleted_video_leaves_nothing_however_late_its_job_ends(drive: Drive) -> None:
    new = await drive.upload()
    claim, output = await drive.take_in()
    await drive.bench.ledger.advance(claim, "s0", output, 0.1)
    claim = await drive.bench.claim("media")
    deleted = Change("acme").mark(deleted_key(ACME, "v1"), 60)
    await drive.records.commit(deleted)
    gone = DeleteFile(video_id="v1", file_id=FILE_ID, job_ids=(new.id,))
    await drive.handlers.delete_file(gone, CONTEXT)
    await drive.put(locations.work(ACME, new.id, claim.fence, "late.json"))
    await drive.put(locations.picture(ACME, "v1", new.id, "late.jpg"))
    await drive.bench.ledger.cancel(ACME, new.id, "")
    await drive.bench.ledger.stopped(claim)
    await drive.finish(new, "cancelled")
    assert drive.left() == []


async def test_deleting_twice_is_deleting_once(drive: Drive) -> None:
    new = await drive.upload()
    await drive.take_in()
    await drive.put(locations.picture(ACME, "v1", new.id, "poster.jpg"))
    await drive.put(locations.picture(ACME, "v2", new.id, "poster.jpg"))
    gone = DeleteFile(video_id="v1", file_id=FILE_ID, job_ids=(new.id,))
    for _ in range(2):
        await drive.handlers.delete_file(gone, CONTEXT)
    assert drive.left() == [locations.picture(ACME, "v2", new.id, "poster.jpg")]
    assert await drive.records.get(File, file_key(ACME, FILE_ID)) is None
    with pytest.raises(NotFound):
        await drive.blobs.head(ORIGINAL)


async def test_the_end_of_an_unknown_job_is_fine(drive: Drive) -> None:
    await drive.put(INCOMING)
    finished = JobFinished(job_id="none", flow="f", subject="v1", outcome="cancelled")
    await drive.handlers.clean_up(finished, CONTEXT)
    assert drive.left() == [INCOMING]
