"""Describing a video again, in a later epoch of its job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.bus.outbox_entries import envelope_of
from shared.contracts.base import kind_of
from shared.contracts.catalog import ApproveLayout, CaptionsPublished
from shared.contracts.jobs import StopJob, SubmitJob
from shared.contracts.records import Captions, Frames, Layout, StepOutput, Tenant, Video
from shared.store.keys import captions_key, frames_key, layout_key, tenant_key
from shared.store.outbox import RedisOutbox
from shared.store.records import Change, StaleFence
from shared.store.redis import Store
from shared.work.context import StepContext
from shared.work.ledger import Claim
from tests.integration.work.bench import ACME, DONE, new_job
from tests.integration.work.test_catalog import CONTEXT, STORED, Catalog

LOW, HIGH = ({"found": True, "sure": True, "y0": y0} for y0 in (0.8, 0.1))
NONE = {"found": False, "sure": False}
UNSURE = {**HIGH, "sure": False}


class Again(Catalog):
    """A video whose job is retried again and again."""

    async def ready(self) -> None:
        await self.records.commit(
            Change("acme").put(tenant_key(ACME), Tenant(id="acme", tier="free", created_at=1))
        )
        await self.bench.submit("catalog", id="j1")

    async def describe(self, layout: Mapping[str, Any], times: int = 1) -> Claim:
        """One epoch of the job: described so many times, as if its end had not been told."""
        claim = await self.bench.claim("catalog")
        for _ in range(times):
            await self.steps.describe(await self.with_found(claim, layout))
        await self.bench.ledger.advance(claim, "s0", DONE, 1)
        await self.bench.ledger.retry(ACME, "j1", "s0")
        return claim

    async def with_found(self, claim: Claim, layout: Mapping[str, Any]) -> StepContext:
        """What an attempt knows whose steps found this layout, and a poster and a frame."""
        context = await self.context(claim)
        name = f"frame-{claim.job.epoch}.jpg"
        pictures = [await self.keep(each, "picture") for each in ("poster.jpg", name)]
        frames = {"frames": [{"name": name, "time": float(claim.job.epoch)}]}
        found = {
            **context.outputs,
            "poster": {"result": {}, "artifacts": pictures[:1]},
            "frames": {"artifacts": pictures[1:]},
            "read_frames": {"artifacts": [await self.keep("frames.json", frames)]},
            "layout": {"result": layout},
        }
        context.outputs = msgspec.convert(found, dict[str, StepOutput], from_attributes=True)
        return context

    async def publish(self) -> None:
        """One epoch of a job that publishes captions."""
        new = new_job("publishing", id="c1")
        if not await self.bench.ledger.submit(new):
            await self.bench.ledger.retry(ACME, "c1", "s0")
        claim = await self.bench.claim("publishing")
        for _ in range(2):
            await self.steps.publish(await self.context(claim))
        await self.bench.ledger.advance(claim, "s0", DONE, 1)

    async def told_ids(self, kind: str) -> list[str]:
        """Under which ids messages of a kind were told."""
        entries = await RedisOutbox(self.bench.store, "catalog").read("0", 100, 0.01)
        said = [envelope_of(entry, "catalog") for entry in entries]
        return [envelope.id for envelope in said if envelope.kind == kind]

    async def layout(self) -> Layout:
        found = await self.records.get(Layout, layout_key(ACME, "v1"))
        assert found
        return found

    async def pictures(self) -> list[str]:
        """The folders of pictures that there are."""
        return await self.blobs.folders("acme/videos/v1/")

    async def shown(self) -> Video:
        video = await self.video()
        assert video
        return video

    async def asked(self) -> list[str]:
        """The caption jobs that were asked for, each as often as it was."""
        return [each.job_id for each in await self.said() if isinstance(each, SubmitJob)]


@pytest.fixture
async def again(store: Store, tmp_path: Path) -> Again:
    made = Again(store, tmp_path)
    await made.handlers.add_video(STORED, CONTEXT)
    await made.ready()
    return made


async def test_a_later_epoch_writes_pictures_and_frames_anew(again: Again) -> None:
    await again.describe(LOW)
    assert await again.pictures() == ["j1"]
    await again.describe(LOW)
    assert await again.pictures() == ["j1-2"]
    frames = await again.records.get(Frames, frames_key(ACME, "v1"))
    assert frames
    assert [(each.time, each.key) for each in frames.frames] == [
        (2.0, "acme/videos/v1/j1-2/frame-2.jpg")
    ]
    assert (await again.shown()).poster == "acme/videos/v1/j1-2/poster.jpg"
    assert await again.blobs.read_all("acme/videos/v1/j1-2/poster.jpg") == b'"picture"'


async def test_the_same_layout_again_asks_for_no_captions(again: Again) -> None:
    await again.describe(LOW)
    layout, [job_id] = await again.layout(), await again.asked()
    await again.describe(LOW, times=2)
    assert await again.layout() == layout
    assert await again.asked() == [job_id]
    assert (await again.shown()).caption_job == job_id


async def test_another_layout_asks_for_captions_once_and_stops_who_reads_the_old(
    again: Again,
) -> None:
    await again.describe(LOW)
    await again.describe(HIGH, times=3)
    first, second = await again.asked()
    assert first != second
    video = await again.shown()
    assert (video.caption_job, video.layout) == (second, "approved")
    assert (await again.layout()).proposal == HIGH
    order = [each for each in await again.said() if isinstance(each, StopJob | SubmitJob)]
    assert [each.job_id for each in order] == [first, first, second]
    assert isinstance(order[1], StopJob)


async def test_each_epoch_with_another_layout_asks_anew(again: Again) -> None:
    for layout in (LOW, HIGH, LOW):
        await again.describe(layout)
    assert len(set(await again.asked())) == 3


async def test_a_layout_that_a_person_approved_stays(again: Again) -> None:
    await again.describe(UNSURE)
    await again.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)
    approved, asked = await again.layout(), await again.asked()
    assert approved.approved_by == "person"
    for other in (LOW, NONE, UNSURE):
        await again.describe(other, times=2)
        assert await again.layout() == approved
    assert await again.asked() == asked
    assert await again.pictures() == ["j1-4"]


async def test_a_layout_that_is_not_sure_waits_for_a_person_again(again: Again) -> None:
    await again.describe(LOW)
    await again.describe(UNSURE)
    video = await again.shown()
    assert (video.layout, video.caption_job) == ("proposed", "")
    await again.handlers.approve_layout(ApproveLayout(video_id="v1"), CONTEXT)
    assert len(set(await again.asked())) == 2


async def test_captions_stay_until_others_come_or_there_are_none(again: Again) -> None:
    await again.describe(LOW)
    await again.publish()
    await again.describe(UNSURE)
    assert (await again.shown()).captions == 1
    assert await again.records.get(Captions, captions_key(ACME, "v1"))
    await again.describe(NONE, times=2)
    video = await again.shown()
    assert (video.layout, video.captions, video.caption_job) == ("none", None, "")
    assert await again.records.get(Captions, captions_key(ACME, "v1")) is None


async def test_an_attempt_of_an_earlier_epoch_takes_no_pictures_away(again: Again) -> None:
    claim = await again.describe(LOW)
    early = await again.with_found(claim, LOW)
    await again.describe(LOW)
    with pytest.raises(StaleFence):
        await again.steps.describe(early)
    assert "j1-2" in await again.pictures()
    assert (await again.shown()).poster.startswith("acme/videos/v1/j1-2/")


async def test_captions_published_again_are_told_under_another_id(again: Again) -> None:
    await again.describe(LOW)
    for _ in range(2):
        await again.publish()
    ids = await again.told_ids(kind_of(CaptionsPublished))
    assert (len(ids), len(set(ids))) == (4, 2)
