"""The same bytes again: what was made of them is taken, until the last file of them is gone."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.jobs.handlers import JobHandlers
from services.jobs.recipes import RECIPES
from shared.blobs.store import open_blobs
from shared.bus.router import Context
from shared.contracts.jobs import RetryJob
from shared.ids import new_id
from shared.store.records import Records
from shared.store.redis import open_redis
from shared.tenancy import tenant_id
from shared.work.governor import Governor
from shared.work.jobs import Jobs, Span
from shared.work.ledger import Ledger
from tests.support import media
from tests.support.client import Client, captions_of, client_of
from tests.support.stack import Stack
from tests.support.stacks import APART, EMBEDDED

PROCESS, CAPTION = ("probe", "poster", "frames", "read_frames", "layout"), ("crop", "extents")
MEDIA = {*PROCESS, *CAPTION, "read_captions"}


class Tenant:
    """A tenant of its own, seen from outside and from inside."""

    def __init__(self, stack: Stack, client: Client, name: str) -> None:
        self.stack = stack
        self.client = client
        self.name = name

    async def upload(self, clip: Path) -> dict[str, Any]:
        """A video with its captions."""
        uploaded = await self.client.upload(clip)
        video: dict[str, Any] = await self.client.captioned(uploaded["video"]["id"])
        assert video["status"] == "done", video
        return video

    def outcomes(self, job_id: str, epoch: int = 1) -> dict[str, str]:
        """What the timeline of a job says of its steps."""
        with self.stack.store() as store:
            raw = store.lrange(f"rw:t:{self.name}:job:{job_id}:timeline", 0, -1)
        spans = [msgspec.json.decode(each, type=Span) for each in raw]
        return {span.step: span.outcome for span in spans if span.epoch == epoch}

    def of_video(self, video: dict[str, Any]) -> dict[str, str]:
        """The outcomes of all media steps of a video."""
        jobs = video["jobs"].values()
        found = {step: seen for job_id in jobs for step, seen in self.outcomes(job_id).items()}
        return {step: found[step] for step in RECIPES}

    async def retry(self, job_id: str, step: str) -> str:
        """Have a job done again from a step; answers the step that it begins with."""
        context = Context(tenant=tenant_id(self.name), message_id=new_id(), correlation="")
        async with open_redis(self.stack.store_url) as store:
            handlers = JobHandlers(
                ledger=Ledger(store),
                governor=Governor(store),
                jobs=Jobs(store),
                records=Records(store, "jobs"),
                blobs=open_blobs(self.stack.blobs.as_uri()),
            )
            return (await handlers.retry(RetryJob(job_id=job_id, step=step), context)).step

    def files(self, *below: str) -> list[Path]:
        """The tenant's blobs, while folders come and go."""
        home = self.stack.blobs.joinpath(self.name, *below)
        return [Path(folder, name) for folder, _, names in os.walk(home) for name in names]

    def keys(self, *words: str) -> list[bytes]:
        """The tenant's records that have to do with results."""
        with self.stack.store() as store:
            named = [store.scan_iter(f"rw:t:{self.name}:{word}:*") for word in words]
            return [key for found in named for key in found]


@pytest_asyncio.fixture
async def tenant(stack: Stack) -> AsyncIterator[Tenant]:
    name = f"again-{uuid.uuid4().hex[:8]}"
    async with client_of(stack.url, stack.new_tenant(name)) as client:
        yield Tenant(stack, client, name)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    media.short(path)
    return path


@APART
async def test_the_same_bytes_are_worked_through_once(
    stack: Stack, tenant: Tenant, clip: Path
) -> None:
    first = await tenant.upload(clip)
    assert tenant.of_video(first) == dict.fromkeys(RECIPES, "done")
    second = await tenant.upload(clip)
    assert tenant.of_video(second) == dict.fromkeys(RECIPES, "hit")
    wanted = await captions_of(tenant.client, first["id"])
    assert await captions_of(tenant.client, second["id"]) == wanted != []
    await _damaged_results_are_made_anew(tenant, clip, wanted)
    await _the_last_video_takes_everything_along(tenant)


async def _damaged_results_are_made_anew(tenant: Tenant, clip: Path, wanted: object) -> None:
    for name, content in (("frames.json", None), ("extents.json", b"{}")):
        [path] = [path for path in tenant.files("results") if path.name == name]
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    third = await tenant.upload(clip)
    made = {"read_frames": "done", "extents": "done"}
    assert tenant.of_video(third) == dict.fromkeys(RECIPES, "hit") | made
    assert await captions_of(tenant.client, third["id"]) == wanted


async def _the_last_video_takes_everything_along(tenant: Tenant) -> None:
    listed = (await tenant.client.get("/v1/videos"))["items"]
    assert len(listed) == 3
    for video in listed:
        assert tenant.files("results")
        reply = await tenant.client.call("DELETE", f"/v1/videos/{video['id']}?permanent=true")
        assert reply.status == 204
    records = ("result", "results", "resting", "source", "file")
    await tenant.client.until("/livez", lambda _: not tenant.files() and not tenant.keys(*records))


@EMBEDDED
async def test_what_one_tenant_has_made_is_nothing_to_another(
    stack: Stack, tenant: Tenant, clip: Path
) -> None:
    name = f"other-{uuid.uuid4().hex[:8]}"
    async with client_of(stack.url, stack.new_tenant(name)) as client:
        other = Tenant(stack, client, name)
        for each in (other, tenant):
            video = await each.upload(clip)
            assert each.of_video(video) == dict.fromkeys(RECIPES, "done")


@APART
async def test_a_job_done_again_from_a_step_makes_that_and_what_follows(
    tenant: Tenant, clip: Path
) -> None:
    video = await tenant.upload(clip)
    job_id = video["jobs"]["process"]
    await tenant.client.until("/livez", lambda _: not tenant.files("work"))
    assert await tenant.retry(job_id, "read_frames") == "read_frames"
    await _ended(tenant, job_id)
    made = dict.fromkeys(("read_frames", "layout", "describe"), "done")
    assert tenant.outcomes(job_id, epoch=2) == made
    await _pictures_are_those_of_the_last_epoch(tenant, video["id"], job_id)
    again = await tenant.client.get(f"/v1/videos/{video['id']}")
    assert again["jobs"] == video["jobs"]  # the layout is the same: nobody reads captions again

    for path in tenant.files("results"):
        if path.name.startswith("crop-"):
            path.unlink()
    captions = await captions_of(tenant.client, video["id"])
    job_id = video["jobs"]["captions"]
    assert await tenant.retry(job_id, "read_captions") == "crop"
    await _ended(tenant, job_id)
    steps = ("crop", "extents", "read_captions", "publish")
    made = dict.fromkeys(steps, "done") | {"extents": "hit"}
    assert tenant.outcomes(job_id, epoch=2) == made
    assert await captions_of(tenant.client, video["id"]) == captions


async def _ended(tenant: Tenant, job_id: str) -> None:
    job = await tenant.client.job_end(job_id)
    assert job["state"] == "succeeded", job


async def _pictures_are_those_of_the_last_epoch(tenant: Tenant, video_id: str, job_id: str) -> None:
    kept = {path.parent.name for path in tenant.files("videos", video_id)}
    assert kept == {f"{job_id}-2"}
    for picture in ("thumbnail", "frames/0"):
        reply = await tenant.client.call("GET", f"/v1/videos/{video_id}/{picture}")
        assert reply.status == 200
