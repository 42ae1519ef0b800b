"""The desk for failed jobs over HTTP: seen together, retried and given up in bulk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.ids import new_id
from tests.support import media
from tests.support.client import Client
from tests.support.stack import Stack
from tests.support.tenants import own_client

DEAD = "/v1/jobs/dead"


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with own_client(stack) as made:
        yield made


async def failed(client: Client, content: Path | bytes = b"no video") -> Any:
    """The job of an upload that is refused."""
    uploaded = await client.upload(content)
    job = await client.job_end(uploaded["job"]["id"])
    assert job["state"] == "failed"
    return job


async def on_desk(client: Client, **query: str) -> list[str]:
    return [job["id"] for job in (await client.get(DEAD, **query))["items"]]


async def test_failed_jobs_are_listed_filtered_and_counted(client: Client, tmp_path: Path) -> None:
    media.audio_only(tmp_path / "sound.mp4")
    first = await failed(client)
    sound = await failed(client, tmp_path / "sound.mp4")
    last = await failed(client)
    every = [last["id"], sound["id"], first["id"]]
    assert await on_desk(client) == every
    assert await on_desk(client, code="not_a_video") == [last["id"], first["id"]]
    assert await on_desk(client, step=sound["error"]["step"], code="no_video_stream") == [
        sound["id"]
    ]
    assert await on_desk(client, flow="caption_video") == []
    assert await on_desk(client, error_class="bad_input") == every
    assert await on_desk(client, video=first["video"]) == [first["id"]]
    assert await on_desk(client, before=last["finished_at"]) == every[1:]
    assert await on_desk(client, after=last["finished_at"]) == every[:1]
    page = await client.get(DEAD, limit="2")
    assert [job["id"] for job in page["items"]] == every[:2]
    rest = await client.get(DEAD, limit="2", cursor=page["next"])
    assert ([job["id"] for job in rest["items"]], rest["next"]) == (every[2:], None)

    summary = await client.get(f"{DEAD}/summary")
    assert (summary["counted"], summary["complete"]) == (3, True)
    assert [(group["code"], group["count"]) for group in summary["items"]] == [
        ("not_a_video", 2),
        ("no_video_stream", 1),
    ]
    assert (summary["items"][0]["newest"], summary["items"][0]["newest_at"]) == (
        last["id"],
        last["finished_at"],
    )


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_dry_run_changes_nothing(client: Client, verb: str) -> None:
    job = await failed(client)
    before = await client.get(f"/v1/jobs/{job['id']}")
    answer = await client.tell("POST", f"{DEAD}/{verb}", {"all": True, "dry_run": True})
    assert answer == {
        "matched": 1,
        "dry_run": True,
        "items": [{"id": job["id"], "outcome": "matched", "detail": ""}],
        "next": None,
    }
    after = await client.get(f"/v1/jobs/{job['id']}")
    assert [each.pop("priority") for each in (before, after)]
    assert (await on_desk(client), after) == ([job["id"]], before)


async def test_what_matches_is_retried_and_what_does_not_is_left(
    client: Client, tmp_path: Path
) -> None:
    media.audio_only(tmp_path / "sound.mp4")
    plain, sound = await failed(client), await failed(client, tmp_path / "sound.mp4")
    answer = await client.tell("POST", f"{DEAD}/retry", {"code": "not_a_video"})
    assert [(item["id"], item["outcome"]) for item in answer["items"]] == [(plain["id"], "retried")]
    await client.until(f"/v1/jobs/{plain['id']}/timeline", _has_two_epochs)
    await client.job_end(plain["id"])
    timeline = (await client.get(f"/v1/jobs/{sound['id']}/timeline"))["items"]
    assert {line["epoch"] for line in timeline} == {1}


def _has_two_epochs(timeline: Any) -> bool:
    return {line["epoch"] for line in timeline["items"]} == {1, 2}


async def test_discarded_jobs_leave_the_desk_and_stay_in_the_list(client: Client) -> None:
    first, second = await failed(client), await failed(client)
    unknown = new_id()
    answer = await client.tell("POST", f"{DEAD}/discard", {"ids": [first["id"], unknown]})
    assert [(item["id"], item["outcome"]) for item in answer["items"]] == [
        (first["id"], "discarded"),
        (unknown, "missing"),
    ]
    assert await on_desk(client) == [second["id"]]
    assert (await client.get(f"/v1/jobs/{first['id']}"))["state"] == "failed"
    rest = await client.tell("POST", f"{DEAD}/discard", {"all": True})
    assert [item["id"] for item in rest["items"]] == [second["id"]]
    assert await on_desk(client) == []
    assert await client.get(f"{DEAD}/summary") == {"counted": 0, "complete": True, "items": []}


async def test_a_limit_leaves_the_rest_for_another_request(client: Client) -> None:
    ids = [(await failed(client))["id"] for _ in range(3)]
    answer = await client.tell("POST", f"{DEAD}/discard", {"all": True, "limit": 2})
    assert [item["id"] for item in answer["items"]] == [ids[2], ids[1]]
    cursor = {"all": True, "cursor": answer["next"]}
    rest = await client.tell("POST", f"{DEAD}/discard", cursor)
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([ids[0]], None)


async def test_another_tenants_failed_jobs_are_out_of_reach(client: Client, stack: Stack) -> None:
    job = await failed(client)
    async with own_client(stack) as them:
        assert (await them.get(DEAD))["items"] == []
        assert (await them.get(f"{DEAD}/summary"))["items"] == []
        for verb in ("retry", "discard"):
            answer = await them.tell("POST", f"{DEAD}/{verb}", {"ids": [job["id"]]})
            assert [item["outcome"] for item in answer["items"]] == ["missing"]
            assert (await them.tell("POST", f"{DEAD}/{verb}", {"all": True}))["matched"] == 0
    assert await on_desk(client) == [job["id"]]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "nothing_given"),
        ({"dry_run": True}, "nothing_given"),
        ({"ids": []}, "nothing_given"),
        ({"ids": ["../../etc"]}, "invalid"),
        ({"ids": [new_id()] * 501}, "invalid"),
        ({"all": True, "limit": 501}, "invalid"),
        ({"all": True, "limit": 0}, "invalid"),
        ({"all": "yes"}, "invalid"),
        ({"before": "yesterday"}, "invalid"),
        ({"before": "2026-01-01T00:00:00"}, "invalid"),
        ({"colour": "red"}, "invalid"),
    ],
)
@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_request_that_does_not_say_which_is_refused(
    client: Client, verb: str, body: dict[str, Any], code: str
) -> None:
    answer = await client.tell("POST", f"{DEAD}/{verb}", body, status=400)
    assert answer["code"] == code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{DEAD}?before=yesterday", 400),
        ("GET", f"{DEAD}?before=2026-01-01T00:00:00", 400),
        ("GET", f"{DEAD}?after=0001-01-01T00:00:00Z", 200),
        ("GET", f"{DEAD}?before=9999-12-31T23:59:59Z", 200),
        ("GET", f"{DEAD}?colour=red", 400),
        ("GET", f"{DEAD}?cursor=x", 400),
        ("GET", f"{DEAD}/events", 404),
        ("POST", f"{DEAD}/cancel", 404),
        ("POST", DEAD, 405),
        ("GET", f"{DEAD}/retry", 405),
        ("DELETE", DEAD, 405),
    ],
)
async def test_the_desk_is_no_job_and_takes_only_what_it_knows(
    client: Client, method: str, path: str, status: int
) -> None:
    assert (await client.call(method, path)).status == status


async def test_nothing_was_logged_as_an_error(stack: Stack) -> None:
    assert stack.complaints() == []
