"""RabbitMQ is away for a while: reading goes on, uploads say so, and then all goes on."""

from __future__ import annotations

from pathlib import Path

from services.jobs.media.clip import DEMO, DEMO_SECONDS, make_clip
from tests.support import media
from tests.support.client import client_of
from tests.support.servers import own_broker, redis_database
from tests.support.stack import apart


async def test_an_upload_without_a_bus_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    media.short(clip)
    with (
        own_broker() as broker,
        redis_database() as store,
        apart(tmp_path, broker.url, store) as stack,
    ):
        async with client_of(stack.url, stack.key) as client:
            first = await client.upload(clip)
            await client.captioned(first["video"]["id"])
            broker.kill()

            reply = await client.call("POST", "/v1/videos", data=b"no matter what")
            assert reply.status == 503
            assert reply.json()["code"] == "bus_unavailable"
            assert reply.headers["Retry-After"]
            assert not [path for path in stack.stored_files() if "/incoming/" in str(path)]
            assert (await client.get(f"/v1/videos/{first['video']['id']}"))["status"] == "done"
            assert (await client.get(f"/v1/videos/{first['video']['id']}/captions"))["items"]
            assert (await client.call("GET", "/readyz")).status == 503

            broker.start()
            await client.until("/readyz", lambda _: True)
            second = await client.upload(clip)
            video = await client.captioned(second["video"]["id"])
            assert video["captions"] == len(media.SHORT)


async def test_a_job_goes_on_while_the_bus_is_away(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    media.short(clip)
    with (
        own_broker() as broker,
        redis_database() as store,
        apart(tmp_path, broker.url, store) as stack,
    ):
        async with client_of(stack.url, stack.key) as client:
            uploaded = await client.upload(clip)
            job_id = uploaded["job"]["id"]
            await client.until(f"/v1/jobs/{job_id}", lambda job: job["state"] == "running")
            broker.kill()
            assert (await client.job_end(job_id))["state"] == "succeeded"
            kinds = [event.event async for event in client.events(job_id, "1-0")]
            assert kinds[-1] == "end"
            broker.start()
            video = await client.captioned(uploaded["video"]["id"])
            assert video["captions"] == len(media.SHORT)


async def test_a_job_is_cancelled_while_the_bus_is_away(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, DEMO, duration=DEMO_SECONDS)
    with (
        own_broker() as broker,
        redis_database() as store,
        apart(tmp_path, broker.url, store) as stack,
    ):
        async with client_of(stack.url, stack.key) as client:
            job_id = (await client.upload(clip))["job"]["id"]
            await client.until(f"/v1/jobs/{job_id}", lambda job: job["state"] == "running")
            broker.kill()
            reply = await client.call("POST", f"/v1/jobs/{job_id}/cancel")
            assert (reply.status, reply.json()["state"]) in {
                (202, "cancelling"),
                (202, "cancelled"),
            }
            assert (await client.job_end(job_id))["state"] == "cancelled"
            broker.start()
