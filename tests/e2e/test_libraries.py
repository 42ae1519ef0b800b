"""A folder of a user becomes searchable where it lies, and stays the user's."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.blobs.roots import MARKER
from tests.support.client import Client, client_of
from tests.support.media import fresh
from tests.support.servers import redis_database
from tests.support.stack import PATIENT, Stack, apart, embedded
from tests.support.stacks import FORMS, private_names


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


@pytest.fixture(params=FORMS)
def stack(request: pytest.FixtureRequest, tmp_path: Path, films: Path) -> Iterator[Stack]:
    """A stack that looks at the folder only when something has changed in it."""
    settings = {
        **PATIENT,
        "REELWAY_LIBRARY_DIRS": f"default={films}",
        "REELWAY_DRIVE_LIBRARY_SETTLE_SECONDS": "1",
        "REELWAY_DRIVE_LIBRARY_SCAN_SECONDS": "86400",
    }
    if request.param == "embedded":
        with embedded(tmp_path / "reelway", **settings) as started:
            yield started
        return
    with (
        redis_database() as store,
        apart(tmp_path / "reelway", private_names(), store, **settings) as started,
    ):
        yield started


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    async with client_of(stack.url, stack.key) as made:
        yield made


async def test_a_clip_that_is_put_into_a_folder(
    stack: Stack, client: Client, films: Path, demo_clip: Path
) -> None:
    [library] = (await client.get("/v1/libraries"))["items"]
    assert (library["name"], library["state"]) == ("films", "empty")
    content = fresh(demo_clip)
    (films / "autumn").mkdir()
    (films / "autumn/harbour.mp4").write_bytes(content)

    file = await _file(client, library["id"], "autumn/harbour.mp4")
    video = await _is_whole(client, file["video"], "autumn/harbour.mp4", content)
    assert _names(films) == [MARKER, "autumn", "autumn/harbour.mp4"]

    (films / "autumn/harbour.mp4").rename(films / "Hafen.mp4")
    path = f"/v1/videos/{video['id']}"
    await client.until(path, lambda shown: shown["library"]["path"] == "Hafen.mp4")
    await client.until(path, lambda shown: shown["name"] == "Hafen.mp4")
    await _is_whole(client, file["video"], "Hafen.mp4", content)
    jobs = (await client.get("/v1/jobs", flow="process_video"))["items"]
    assert [job["video"] for job in jobs] == [file["video"]]
    await _a_copy_is_deleted_and_stays(client, library["id"], video["id"], films)
    await _goes_and_comes_back(client, library["id"], video["id"], films)
    await _is_removed_by_a_person_alone(client, library["id"], video["id"], films)
    assert stack.complaints() == []


def _names(films: Path) -> list[str]:
    return sorted(str(path.relative_to(films)) for path in films.rglob("*"))


async def _file(client: Client, library: str, path: str) -> Any:
    """The file once it was verified."""

    def is_there(page: Any) -> bool:
        return any(item["path"] == path and item["sha256"] for item in page["items"])

    page = await client.until(f"/v1/libraries/{library}/files", is_there)
    return page["items"][0]


async def _is_whole(client: Client, video_id: str, path: str, content: bytes) -> Any:
    """Processed, found by a word, streamed by range."""
    video = await client.captioned(video_id)
    assert video["status"] == "done", video
    assert video["name"] == path.rpartition("/")[2]
    assert (video["library"]["path"], video["library"]["missing_since"]) == (path, None)
    assert video["sha256"] == hashlib.sha256(content).hexdigest()
    hits = (await client.get("/v1/search", q="lanterns"))["items"]
    assert [(hit["video"], hit["name"]) for hit in hits] == [(video_id, video["name"])]
    stream = f"/v1/videos/{video_id}/stream"
    part = await client.call("GET", stream, headers={"Range": "bytes=1000-1999"})
    assert (part.status, part.body) == (206, content[1000:2000])
    whole = await client.call("GET", stream)
    assert (whole.status, whole.body) == (200, content)
    return video


async def _scan(client: Client, library: str, **options: bool) -> Any:
    begun = await client.tell("POST", f"/v1/libraries/{library}/scan", options, status=202)
    ended = await client.until(begun["plan_url"], lambda scan: scan["plan"])
    job = await client.get(f"/v1/jobs/{begun['job']}")
    assert (job["flow"], job["library"], job["video"]) == ("scan_library", library, "")
    return ended["plan"]


async def _a_copy_is_deleted_and_stays(
    client: Client, library: str, video_id: str, films: Path
) -> None:
    """It is a video of its own that costs no work; deleting it deletes no file."""
    shutil.copy(films / "Hafen.mp4", films / "copy.mp4")
    file = await _file(client, library, "copy.mp4")
    copy = await client.captioned(file["video"])
    original = await client.get(f"/v1/videos/{video_id}")
    assert (copy["status"], copy["sha256"]) == ("done", original["sha256"])
    spans = (await client.get(f"/v1/jobs/{file['job']}/timeline"))["items"]
    assert {span["step"]: span["outcome"] for span in spans}["read_frames"] == "hit"
    path = f"/v1/videos/{copy['id']}"
    assert (await client.call("DELETE", path)).status == 204  # into the trash
    assert (await _scan(client, library))["counts"] == {"kept": 2}
    assert (await client.call("DELETE", path, params={"permanent": "true"})).status == 204
    files = f"/v1/libraries/{library}/files"
    await client.until(f"{files}?state=ignored", lambda page: len(page["items"]) == 1)
    assert (await _scan(client, library))["counts"] == {"ignored": 1, "kept": 1}
    assert (films / "copy.mp4").stat().st_size == original["size"]
    (films / "copy.mp4").unlink()


async def _goes_and_comes_back(client: Client, library: str, video_id: str, films: Path) -> None:
    path = f"/v1/videos/{video_id}"
    shutil.move(films / "Hafen.mp4", films.parent / "aside.mp4")
    gone = await client.call("GET", f"{path}/stream")
    assert (gone.status, gone.json()["code"]) == (404, "file_missing")
    plan = await _scan(client, library)
    assert plan["suspicious"].startswith("empty")
    assert (await client.get(path))["library"]["missing_since"] is None
    assert (await _scan(client, library, force=True, dry_run=True))["counts"] == {"missing": 1}
    assert (await client.get(path))["library"]["missing_since"] is None
    assert (await _scan(client, library, force=True))["counts"] == {"missing": 1}
    assert (await client.get(path))["library"]["missing_since"]
    assert (await client.get(f"{path}/captions"))["items"]
    shutil.move(films.parent / "aside.mp4", films / "Hafen.mp4")
    await client.until(path, lambda shown: shown["library"]["missing_since"] is None)
    assert (await client.call("GET", f"{path}/stream")).status == 200
    jobs = (await client.get("/v1/jobs", flow="process_video"))["items"]
    assert len(jobs) == 2


async def _is_removed_by_a_person_alone(
    client: Client, library: str, video_id: str, films: Path
) -> None:
    (films / "Hafen.mp4").unlink()
    await _scan(client, library, force=True)
    cleaning = f"/v1/libraries/{library}/clean"
    told = await client.tell("POST", cleaning, {})
    assert (told["matched"], told["removed"], told["dry_run"]) == (1, 0, True)
    wrong = await client.tell("POST", cleaning, {"dry_run": False}, status=409)
    assert wrong["code"] == "plan_changed"
    body = {"dry_run": False, "expected": 1}
    assert (await client.tell("POST", cleaning, body, status=409))["code"] == "too_many"
    done = await client.tell("POST", cleaning, {**body, "force": True})
    assert done["removed"] == 1
    assert (await client.call("GET", f"/v1/videos/{video_id}")).status == 404
    files = f"/v1/libraries/{library}/files?state=missing"
    await client.until(files, lambda page: page["items"] == [])
