"""Catalog: records of videos under repeated, late and simultaneous messages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.catalog.handlers import CatalogHandlers
from services.catalog.model import new_video
from services.catalog.search import CaptionIndex
from services.catalog.steps import CatalogSteps
from services.catalog.trash import DAY_MS, Trash
from services.catalog.videos import Videos, captions_changed
from shared.blobs.store import open_blobs
from shared.bus.outbox_entries import envelope_of
from shared.bus.router import Context
from shared.contracts.base import Message
from shared.contracts.catalog import (
    ApproveLayout,
    CaptionsPublished,
    DeleteVideo,
    RenameVideo,
    RestoreVideo,
    SearchCaptions,
    TrashVideo,
    VideoDeleted,
    VideoRenamed,
    VideoRestored,
    VideoTrashed,
)
from shared.contracts.drive import DeleteFile, FileStored
from shared.contracts.jobs import JobFinished, StopJob, SubmitJob
from shared.contracts.records import Caption, Captions, Layout, MediaFacts, StepOutput, Video
from shared.errors import Conflict, NotFound
from shared.store.changes import Changes
from shared.store.keys import (
    CAPTION_CHANGES,
    TENANTS,
    captions_key,
    layout_key,
    trash_index,
    video_key,
    videos_index,
)
from shared.store.outbox import RedisOutbox
from shared.store.records import Change, Records, StaleFence
from shared.store.redis import Store
from shared.tenancy import TenantId
from shared.work.context import StepContext
from shared.work.ledger import Claim
from shared.work.step import StepFailed
from tests.integration.work.bench import ACME, Bench, decoded

CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")
FOUND = {"found": True, "sure": True}
STORED = FileStored(
    file_id="f1",
    video_id="v1",
    job_id="j1",
    name="a.mkv",
    size=7,
    sha256="00",
    media_type="video/x-matroska",
    location="acme/files/f1/original",
)


class Catalog:
    """The service's parts, with eyes on what they write and say."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.bench = Bench(store, lease_ms=60_000)
        self.records = Records(store, "catalog")
        self.videos = Videos(self.records)
        self.changes = Changes(store, CAPTION_CHANGES)
        self.index = CaptionIndex(self.records, self.changes)
        self.blobs = open_blobs("memory:")
        self.folder = folder
        self.now = 1000
        self.trash = Trash(self.records, self.videos, lambda: self.now, days=30)
        self.handlers = CatalogHandlers(
            records=self.records,
            videos=self.videos,
            index=self.index,
            trash=self.trash,
            clock=lambda: self.now,
        )
        self.steps = CatalogSteps(records=self.records, videos=self.videos, clock=lambda: 2000)

    async def with_layout(self, state: Any = "proposed") -> None:
        await self.handlers.add_video(STORED, CONTEXT)
        layout = Layout(video_id="v1", state=state, proposal=FOUND, updated_at=5)
        await self.records.commit(Change("acme").put(layout_key(ACME, "v1"), layout))

    async def keep(self, name: str, content: object) -> dict[str, Any]:
        path = self.folder / name
        path.write_bytes(msgspec.json.encode(content))
        digest = await self.blobs.put_file(f"acme/work/j1/1/{name}", path)
        key, size = f"acme/work/j1/1/{name}", path.stat().st_size
        return {"name": name, "key": key, "size": size, "sha256": digest}

    async def outputs(self) -> dict[str, StepOutput]:
        frames = await self.keep("frames.json", {"frames": []})
        captions = await self.keep("captions.json", {"captions": [_caption()], "origin": "x"})
        result = {name: getattr(STORED, name) for name in ("file_id", "name", "size", "sha256")}
        stored = {**result, "location": STORED.location, "media_type": STORED.media_type}
        plain: dict[str, Any] = {
            "store": {"result": stored},
            "probe": {"result": {"duration": 1.0, "width": 2, "height": 2}},
            "poster": {"result": {}},
            "frames": {"result": {}},
            "read_frames": {"artifacts": [frames]},
            "layout": {"result": FOUND},
            "read_captions": {"artifacts": [captions]},
        }
        return msgspec.convert(plain, dict[str, StepOutput])

    async def context(self, claim: Claim | None = None) -> StepContext:
        if claim is None:
            await self.bench.submit("catalog", params={})
            claim = await self.bench.claim("catalog")
        return StepContext(
            claim=claim,
            step="s0",
            outputs=await self.outputs(),
            ledger=self.bench.ledger,
            blobs=self.blobs,
            folder=self.folder,
        )

    async def video(self) -> Video | None:
        return await self.records.get(Video, video_key(ACME, "v1"))

    async def said(self) -> list[Message]:
        entries = await RedisOutbox(self.bench.store, "catalog").read("0", 100, 0.01)
        return [decoded(envelope_of(entry, "catalog"))[1] for entry in entries]


@dataclass(frozen=True)
class SlowVideos(Videos):
    """Leaves others as long as they need between looking and changing."""

    looked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, tenant: TenantId, video_id: str) -> Video:
        video = await super().get(tenant, video_id)
        self.looked.set()
        await self.go_on.wait()
        return video


def _caption() -> dict[str, Any]:
    return {"start_frame": 0, "end_frame": 9, "text": "guten morgen", "confidence": 1.0}


@pytest.fixture
def catalog(store: Store, tmp_path: Path) -> Catalog:
    return Catalog(store, tmp_path)


async def test_a_file_that_is_told_twice_is_one_video(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    first = await catalog.video()
    other = msgspec.structs.replace(STORED, name="told again")
    await catalog.handlers.add_video(other, CONTEXT)
    assert await catalog.video() == first == new_video(STORED, 1000)


async def test_a_file_that_is_told_late_does_not_bring_a_video_back(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.handlers.delete_video(DeleteVideo(video_id="v1"), CONTEXT)
    await catalog.handlers.add_video(STORED, CONTEXT)
    assert await catalog.video() is None
    with pytest.raises(StepFailed) as caught:
        await catalog.steps.describe(await catalog.context())
    assert (caught.value.code, caught.value.error_class) == ("video_deleted", "cancelled")
    assert await catalog.video() is None


async def test_a_deleted_video_is_told_once(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    delete = DeleteVideo(video_id="v1")
    answers = await asyncio.gather(
        *(catalog.handlers.delete_video(delete, CONTEXT) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(answer, NotFound) for answer in answers) == 2
    assert [type(message) for message in await catalog.said()] == [
        *(StopJob, DeleteFile, VideoDeleted),
    ]


async def test_a_video_deleted_while_it_changes_takes_its_new_job_with_it(
    catalog: Catalog,
) -> None:
    await catalog.with_layout()
    slow = SlowVideos(catalog.records)
    deleting = asyncio.create_task(slow.remove(ACME, "v1", lambda: Change("acme")))
    await slow.looked.wait()
    await catalog.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)
    slow.go_on.set()
    await deleting
    said = await catalog.said()
    [submit] = [message for message in said if isinstance(message, SubmitJob)]
    stopped = {message.job_id for message in said if isinstance(message, StopJob)}
    assert stopped == {"j1", submit.job_id}


async def test_describing_a_deleted_video_writes_nothing(catalog: Catalog) -> None:
    context = await catalog.context()
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.handlers.delete_video(DeleteVideo(video_id="v1"), CONTEXT)
    for step in (catalog.steps.describe, catalog.steps.publish):
        with pytest.raises(StepFailed) as caught:
            await step(context)
        assert caught.value.code == "video_deleted"
    assert await catalog.records.get(Layout, layout_key(ACME, "v1")) is None


@pytest.mark.parametrize("step", ["describe", "publish"])
async def test_what_an_earlier_step_made_and_is_gone_is_nobodys_defect(
    catalog: Catalog, step: str
) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    context = await catalog.context()
    await catalog.blobs.delete_prefix("acme/work/")
    with pytest.raises(StepFailed) as caught:
        await getattr(catalog.steps, step)(context)
    assert (caught.value.code, caught.value.error_class) == ("result_gone", "transient")


async def test_describing_needs_no_event_to_have_come_first(catalog: Catalog) -> None:
    await catalog.steps.describe(await catalog.context())
    video = await catalog.video()
    assert video is not None
    assert video.media == MediaFacts(duration=1.0, width=2, height=2)
    await catalog.handlers.add_video(STORED, CONTEXT)
    assert await catalog.video() == video


async def test_describing_again_leaves_what_a_person_approved(catalog: Catalog) -> None:
    context = await catalog.context()
    catalog.steps = CatalogSteps(records=catalog.records, videos=catalog.videos, clock=lambda: 2000)
    context.outputs["layout"].result["sure"] = False
    assert (await catalog.steps.describe(context)).result == {"layout": "proposed"}
    await catalog.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)
    approved = await catalog.video()
    assert (await catalog.steps.describe(context)).result == {"layout": "approved"}
    assert await catalog.video() == approved
    layout = await catalog.records.get(Layout, layout_key(ACME, "v1"))
    assert layout is not None
    assert layout.approved_by == "person"


async def test_an_attempt_that_lost_its_job_describes_nothing(catalog: Catalog) -> None:
    context = await catalog.context()
    await catalog.bench.ledger.release(context.claim)
    with pytest.raises(StaleFence):
        await catalog.steps.describe(context)
    assert await catalog.video() is None


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_layout_approved_twice_is_one_job(catalog: Catalog, at_once: bool) -> None:
    await catalog.with_layout()

    async def approve() -> None:
        await catalog.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)

    if at_once:
        await asyncio.gather(approve(), approve())
    else:
        await approve()
        await approve()
    submitted = {m.job_id for m in await catalog.said() if isinstance(m, SubmitJob)}
    video = await catalog.video()
    assert video is not None
    assert submitted == {video.caption_job}


async def test_only_a_proposed_layout_can_be_approved(catalog: Catalog) -> None:
    with pytest.raises(NotFound):
        await catalog.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)
    await catalog.with_layout("none")
    with pytest.raises(Conflict):
        await catalog.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)


@pytest.mark.parametrize(
    ("job", "flow", "error_class", "passed", "stays"),
    [
        ("j1", "process_video", "bad_input", False, False),
        ("j1", "process_video", "bad_input", True, True),
        ("j1", "process_video", "transient", False, True),
        ("j2", "process_video", "bad_input", False, True),
        ("j1", "caption_video", "bad_input", False, True),
    ],
)
async def test_only_a_video_that_never_passed_goes_with_its_job(
    catalog: Catalog, job: str, flow: str, error_class: str, passed: bool, stays: bool
) -> None:
    video = new_video(STORED, 1000)
    if passed:
        video = msgspec.structs.replace(video, media=MediaFacts(duration=1, width=2, height=2))
    await catalog.videos.add(video, lambda: Change("acme"))
    finished = JobFinished(
        job_id=job, flow=flow, subject="v1", outcome="failed", error_class=error_class
    )
    for _ in range(2):
        await catalog.handlers.drop_refused(finished, CONTEXT)
    assert (await catalog.video() is not None) == stays


async def test_a_refused_video_leaves_nothing_though_its_file_is_told_of_late(
    catalog: Catalog,
) -> None:
    finished = JobFinished(
        job_id="j1",
        flow="process_video",
        subject="v1",
        outcome="failed",
        error_class="bad_input",
    )
    await catalog.handlers.drop_refused(finished, CONTEXT)
    await catalog.handlers.add_video(STORED, CONTEXT)
    assert await catalog.video() is None
    gone = DeleteFile(video_id="v1", file_id=STORED.file_id, job_ids=("j1",))
    assert await catalog.said() == [gone]


async def test_captions_published_twice_are_the_same(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.records.commit(Change("acme").index(TENANTS, "acme"))
    context = await catalog.context()
    for _ in range(2):
        await catalog.steps.publish(context)
        hits = await catalog.handlers.search(SearchCaptions(q="morgen"), CONTEXT)
        assert (hits.total, hits.hits[0].video_id) == (1, "v1")
    told = [m for m in await catalog.said() if isinstance(m, CaptionsPublished)]
    assert told == [CaptionsPublished(video_id="v1", job_id=context.job.id, captions=1)] * 2
    await catalog.handlers.delete_video(DeleteVideo(video_id="v1"), CONTEXT)
    assert (await catalog.handlers.search(SearchCaptions(q="morgen"), CONTEXT)).total == 0


TRASH, RESTORE = TrashVideo(video_id="v1"), RestoreVideo(video_id="v1")


async def test_what_is_in_the_trash_keeps_everything_and_is_in_no_list(catalog: Catalog) -> None:
    await catalog.with_layout()
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    video = await catalog.video()
    assert video
    assert (video.trashed_at, video.purge_at) == (1000, 1000 + 30 * DAY_MS)
    assert await catalog.records.exists(layout_key(ACME, "v1"))
    assert await catalog.records.page(videos_index(ACME), "", 9) == []
    assert await catalog.records.page(trash_index(ACME), "", 9) == ["v1"]
    assert VideoTrashed(video_id="v1", purge_at=video.purge_at) in await catalog.said()


async def test_what_is_restored_is_as_it_was(catalog: Catalog) -> None:
    await catalog.with_layout()
    before = await catalog.video()
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    await catalog.handlers.restore_video(RESTORE, CONTEXT)
    after = await catalog.video()
    assert before
    assert after == msgspec.structs.replace(before, version=before.version + 2, updated_at=1000)
    assert await catalog.records.page(videos_index(ACME), "", 9) == ["v1"]
    assert await catalog.records.page(trash_index(ACME), "", 9) == []
    assert VideoRestored(video_id="v1") in await catalog.said()


async def test_nothing_is_put_into_the_trash_twice(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    with pytest.raises(NotFound):
        await catalog.handlers.trash_video(TRASH, CONTEXT)


async def test_what_is_not_in_the_trash_is_not_restored(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    with pytest.raises(NotFound):
        await catalog.handlers.restore_video(RESTORE, CONTEXT)


async def test_captions_of_what_is_in_the_trash_are_not_found(catalog: Catalog) -> None:
    await catalog.records.commit(Change("acme").index(TENANTS, "acme"))
    await catalog.handlers.add_video(STORED, CONTEXT)
    captions = Captions(
        video_id="v1",
        origin="x",
        updated_at=1,
        version=1,
        captions=(Caption(id="c", start_frame=1, end_frame=5, text="sesame", confidence=1.0),),
    )
    change = Change("acme").put(captions_key(ACME, "v1"), captions)
    captions_changed(change, "v1")
    await catalog.records.commit(change)
    look = SearchCaptions(q="sesame")
    assert (await catalog.handlers.search(look, CONTEXT)).total == 1
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    assert (await catalog.handlers.search(look, CONTEXT)).total == 0
    await catalog.handlers.restore_video(RESTORE, CONTEXT)
    assert (await catalog.handlers.search(look, CONTEXT)).total == 1


async def test_the_trash_is_emptied_of_what_is_old_enough_alone(catalog: Catalog) -> None:
    await catalog.records.commit(Change("acme").index(TENANTS, "acme"))
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    catalog.now = 999 + 30 * DAY_MS
    assert await catalog.trash.purge() == 0
    assert await catalog.video()
    catalog.now += 1
    assert await catalog.trash.purge() == 1
    assert await catalog.video() is None
    assert await catalog.records.page(trash_index(ACME), "", 9) == []
    assert VideoDeleted(video_id="v1") in await catalog.said()


async def test_a_video_that_was_restored_in_time_is_not_purged(catalog: Catalog) -> None:
    await catalog.records.commit(Change("acme").index(TENANTS, "acme"))
    await catalog.handlers.add_video(STORED, CONTEXT)
    await catalog.handlers.trash_video(TRASH, CONTEXT)
    await catalog.handlers.restore_video(RESTORE, CONTEXT)
    catalog.now += 31 * DAY_MS
    assert await catalog.trash.purge() == 0
    assert await catalog.video()


async def test_a_video_is_renamed_only_as_it_was_seen(catalog: Catalog) -> None:
    await catalog.handlers.add_video(STORED, CONTEXT)
    video = await catalog.video()
    assert video
    rename = RenameVideo(video_id="v1", name="new.mp4", version=video.version)
    await catalog.handlers.rename_video(rename, CONTEXT)
    renamed = await catalog.video()
    assert renamed
    assert (renamed.name, renamed.version) == ("new.mp4", video.version + 1)
    assert VideoRenamed(video_id="v1", name="new.mp4") in await catalog.said()
    with pytest.raises(Conflict):
        await catalog.handlers.rename_video(rename, CONTEXT)
