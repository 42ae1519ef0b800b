"""Media steps and streams read a library's file where it is now, and wait while it is nowhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from services.drive.library.letting_go import refuse
from shared.blobs.library import FileChanged, FileMissing, InPlace
from shared.blobs.reading import BlobsAndLibraries
from shared.blobs.roots import MARKER
from shared.blobs.store import open_blobs
from shared.contracts.records import JobError, MediaFacts, StepOutput
from shared.store.keys import video_key
from shared.store.records import Change
from shared.store.redis import Store
from shared.work.child import ChildSteps
from shared.work.child_limits import ChildLimits
from shared.work.context import StepContext
from shared.work.outages import as_snooze
from shared.work.step import Snoozed
from tests.integration.work.bench import ACME
from tests.integration.work.floor import Floor, video

PROGRAM = str(Path(__file__).with_name("children.py"))
STEPS = ChildSteps((sys.executable, PROGRAM, "good"), ChildLimits(silence=30.0, grace=0.3))


@pytest.fixture
async def floor(store: Store, tmp_path: Path) -> Floor:
    made = Floor(store, tmp_path)
    made.put("a.mkv")
    await made.settled()
    return made


async def _context(floor: Floor) -> StepContext:
    [known] = (await floor.videos()).values()
    await floor.bench.submit("crop", params={"location": known.location})
    return floor.context(await floor.bench.claim("crop"), "s0")


async def _run(floor: Floor) -> StepOutput | Snoozed:
    """What a step makes of the file, or how long its job waits."""
    try:
        return await STEPS.run(await _context(floor))
    except (FileMissing, FileChanged) as error:
        waits = as_snooze(error)
        assert waits is not None
        assert 30 <= waits.seconds < 60
        return waits


async def test_a_step_reads_the_file_wherever_it_was_moved(floor: Floor) -> None:
    assert isinstance(await _run(floor), StepOutput)
    (floor.root / "a.mkv").rename(floor.root / "b.mkv")
    away = await _run(floor)
    assert isinstance(away, Snoozed)
    assert away.code == "file_missing"
    await floor.scan()
    assert isinstance(await _run(floor), StepOutput)


@pytest.mark.parametrize("how", ["unmounted", "no marker", "deleted", "a link"])
async def test_a_job_waits_while_its_file_is_away(floor: Floor, how: str) -> None:
    path, aside = floor.root / "a.mkv", floor.folder / "aside"
    if how == "unmounted":
        floor.root.rename(aside)
    elif how == "no marker":
        (floor.root / MARKER).rename(aside)
    else:
        path.rename(aside)
    if how == "a link":
        path.symlink_to(aside)
    away = await _run(floor)
    assert isinstance(away, Snoozed)
    assert away.code == "file_missing"
    if how == "a link":
        path.unlink()
    aside.rename({"unmounted": floor.root, "no marker": floor.root / MARKER}.get(how, path))
    assert isinstance(await _run(floor), StepOutput)


async def test_a_file_that_is_being_replaced_is_not_taken_for_the_old_one(floor: Floor) -> None:
    [known] = (await floor.videos()).values()
    floor.put("a.mkv", video("another", 9000))
    away = await _run(floor)
    assert isinstance(away, Snoozed)
    assert away.code == "file_changed"
    with pytest.raises(FileChanged):
        await floor.content(known)


async def test_what_is_held_is_the_same_file_whatever_becomes_of_its_name(floor: Floor) -> None:
    [known] = (await floor.videos()).values()
    content = (floor.root / "a.mkv").read_bytes()
    async with floor.blobs.held(known.location) as held:
        (floor.root / "a.mkv").unlink()
        (floor.root / "a.mkv").symlink_to("/etc/hostname")
        assert held is not None
        assert held.read_bytes() == content
    with pytest.raises(FileMissing):
        async with floor.blobs.held(known.location):
            pass


async def test_a_video_that_failed_once_is_not_refused_for_good(floor: Floor) -> None:
    """A later version of a decoder may fail where an earlier one did not."""
    [known] = (await floor.videos()).values()
    described = msgspec.structs.replace(known, media=MediaFacts(duration=1, width=2, height=2))
    await floor.records.commit(Change(ACME).put(video_key(ACME, known.id), described))
    job = await floor.bench.jobs.get(ACME, known.process_job)
    assert job
    error = JobError(code="no_frames", error_class="bad_input", detail="none")
    failed = msgspec.structs.replace(job, state="failed", error=error)
    await refuse(floor.records, failed, lambda: Change(ACME))
    assert list(await floor.by_path()) == ["a.mkv"]


class Signing:
    """A store that gives addresses of whatever it is asked for."""

    async def address(self, key: str, *_: object) -> str:
        return f"https://store/{key}"


async def test_no_store_is_asked_for_an_address_of_what_it_does_not_have(floor: Floor) -> None:
    [known] = (await floor.videos()).values()
    kept = open_blobs("memory:")
    kept._s3 = cast("Any", Signing())
    blobs = BlobsAndLibraries(kept, InPlace((), floor._find))
    assert await blobs.presigned("acme/x", 60) == "https://store/acme/x"
    assert await blobs.presigned(known.location, 60) is None
