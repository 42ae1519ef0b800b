"""Scans of libraries: adopted when and where it is right, once at a time, ended anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.drive.library import folders as folders_module
from services.drive.library.fingerprint import fingerprint
from services.drive.library.folders import Folders
from services.drive.library.scan import scan_step
from shared.blobs.library import library_location
from shared.blobs.roots import MARKER, Marker, Root, read_marker
from shared.blobs.store import Blobs
from shared.contracts.library import Look
from shared.errors import Invalid, NotFound
from shared.store.records import Change, Records, StaleFence
from shared.store.redis import Store
from tests.integration.work.bench import ACME, OTHER
from tests.integration.work.floor import SETTLE_MS, Floor, video
from tests.integration.work.hostile import renamed


@pytest.fixture
def floor(store: Store, tmp_path: Path) -> Floor:
    return Floor(store, tmp_path)


async def _four(floor: Floor) -> None:
    for number in range(4):
        floor.put(f"{number}.mkv")
    await floor.settled()
    assert len(await floor.videos()) == 4


async def test_an_empty_folder_is_not_adopted(floor: Floor) -> None:
    (floor.root / "lost+found").mkdir()  # a fresh disk, or what is below a mount point
    plan = await floor.scan()
    assert plan.state == "empty"
    assert read_marker(str(floor.root)) is None


async def test_a_folder_is_adopted_once_and_for_one_tenant(floor: Floor) -> None:
    floor.put("a.mkv")
    library = await floor.library()
    await floor.scan()
    assert read_marker(str(floor.root)) == Marker(library=library, tenant=ACME)
    written = (floor.root / MARKER).stat()
    await floor.scan()
    assert (floor.root / MARKER).stat().st_mtime_ns == written.st_mtime_ns
    theirs = Folders((Root(OTHER, str(floor.root)),), floor.records)
    assert [(each.state, each.id == library) for each in await theirs.of(OTHER)] == [
        ("marker_foreign", False)
    ]
    with pytest.raises(NotFound):
        await theirs.find(OTHER, library)


async def test_where_nothing_can_be_written_a_person_is_told_what_to_put_there(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_place: str, _marker: Marker) -> Marker:
        raise OSError(30, "Read-only file system")

    floor.put("a.mkv")
    monkeypatch.setattr(folders_module, "write_marker", refuse)
    plan = await floor.scan()
    assert (plan.state, await floor.files()) == ("new", {})
    line = plan.detail.rpartition("says ")[2]
    (floor.root / MARKER).write_text(line)
    assert (await floor.scan()).state == "ok"


async def test_a_marker_that_was_removed_can_be_put_back_by_hand(floor: Floor) -> None:
    await _four(floor)
    before = await floor.videos()
    (floor.root / MARKER).unlink()
    plan = await floor.scan()
    assert plan.state == "marker_missing"
    (floor.root / MARKER).write_text(plan.detail.partition("it says ")[2].rstrip(")"))
    assert (await floor.settled())["kept"] == 8
    assert await floor.videos() == before


async def test_a_dry_run_writes_nothing(floor: Floor) -> None:
    floor.put("a.mkv")
    plan = await floor.scan(dry_run=True)
    assert (plan.counts, plan.dry_run) == ({"waiting": 1}, True)
    assert read_marker(str(floor.root)) is None
    assert await floor.files() == {}
    await floor.settled()
    known = await floor.files()
    (floor.root / "a.mkv").rename(floor.root / "b.mkv")
    floor.put("c.mkv")
    assert (await floor.scan(dry_run=True)).counts == {"moved": 1, "waiting": 1}
    assert await floor.files() == known


async def test_a_thousand_renamed_files_are_the_same_videos(floor: Floor) -> None:
    for number in range(1000):
        floor.put(f"old/{number:04}.mkv", video(str(number), 300))
    await floor.settled()
    before = await floor.videos()
    assert (len(before), len(floor.asked)) == (1000, 1000)
    (floor.root / "old").rename(floor.root / "new")
    for path in list((floor.root / "new").iterdir()):
        path.rename(path.with_name(f"film {path.name}"))
    assert (await floor.settled())["moved"] == 1000
    after = await floor.videos()
    assert len(floor.asked) == 1000
    assert after.keys() == before.keys()
    assert {each.sha256 for each in after.values()} == {each.sha256 for each in before.values()}
    assert all(after[each].name == f"film {before[each].name}" for each in before)


async def test_only_one_scan_of_a_library_runs_at_a_time(floor: Floor) -> None:
    await _four(floor)
    first = await floor.begin_scan()
    with pytest.raises(AssertionError):
        await floor.begin_scan()
    floor.put("new.mkv")
    output = await scan_step(floor.scanner())(floor.context(first, "scan"))
    await floor.bench.ledger.advance(first, "scan", output, 1)
    second = await floor.bench.claim("scan")
    assert second.job.id != first.job.id


class Mortal(Records):
    """Dies before its n-th commit, as the process would by ``kill -9``."""

    def __init__(self, store: Store, left: int) -> None:
        super().__init__(store, "drive")
        self.left = left

    async def commit(self, change: Change) -> bool:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        return await super().commit(change)


async def _died_and_repeated(floor: Floor, left: int) -> bool:
    """A scan that dies before a commit, and its next attempt; whether it died at all."""
    claim = await floor.begin_scan()
    whole, floor.records = floor.records, Mortal(floor.store, left)
    died = False
    try:
        output = await scan_step(floor.scanner())(floor.context(claim, "scan"))
    except asyncio.CancelledError:
        died = True
        await floor.bench.lapse(claim)
        await floor.bench.ledger.reap()
        floor.records = whole
        claim = await floor.bench.claim("scan")
        output = await scan_step(floor.scanner())(floor.context(claim, "scan"))
    floor.records = whole
    await floor.bench.ledger.advance(claim, "scan", output, 1)
    await floor.listen()
    return died


async def test_a_scan_that_dies_anywhere_is_repeated_without_harm(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.drive.library.scan.AT_ONCE", 1)
    await _four(floor)
    first, left = await floor.videos(), 0
    pairs = (("0.mkv", "1.mkv"), ("1.mkv", "0.mkv"), ("2.mkv", "x/2.mkv"))
    backs = (("0.mkv", "1.mkv"), ("1.mkv", "0.mkv"), ("x/2.mkv", "2.mkv"))
    while True:
        done = renamed(*(backs if left % 2 else pairs))(floor)
        assert done is None
        floor.put(f"new {left}.mkv")
        died = await _died_and_repeated(floor, left)
        await floor.settled()
        videos = await floor.videos()
        assert len(videos) == len(floor.asked) == 5 + left
        for each in first.values():
            content = await floor.content(videos[each.id])
            assert hashlib.sha256(content).hexdigest() == each.sha256
        left += 1
        if not died:
            break
    assert left > 4


async def test_a_scan_that_was_lost_writes_nothing_more(floor: Floor) -> None:
    await _four(floor)
    slow = await floor.begin_scan()
    await floor.bench.lapse(slow)
    await floor.bench.ledger.reap()
    again = await floor.bench.claim("scan")
    (floor.root / "0.mkv").rename(floor.root / "moved.mkv")
    with pytest.raises(StaleFence):
        await scan_step(floor.scanner())(floor.context(slow, "scan"))
    output = await scan_step(floor.scanner())(floor.context(again, "scan"))
    assert output.result["counts"]["moved"] == 1


async def test_new_videos_are_begun_while_there_is_room(floor: Floor) -> None:
    floor.queue = 2
    for number in range(5):
        floor.put(f"{number}.mkv")
    assert Counter(await floor.settled())["new"] == 2
    assert len(floor.asked) == 2
    states = Counter(file.reason for file in (await floor.files()).values())
    assert states == {"": 2, "queue_full": 3}
    assert sum(bool(file.fingerprint) for file in (await floor.files()).values()) == 2
    await floor.settled()
    await floor.settled()
    assert len(floor.asked) == len(await floor.videos()) == 5


async def test_what_cannot_be_read_keeps_nobody_from_its_turn(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(place: str, path: str, look: Look) -> str:
        return "" if path.startswith("0") else fingerprint(place, path, look)

    monkeypatch.setattr("services.drive.library.scan.fingerprint", unreadable)
    floor.queue = 1
    for number in range(3):
        floor.put(f"{number}.mkv")
    for _ in range(3):
        await floor.settled()
    assert sorted(await floor.by_path()) == ["1.mkv", "2.mkv"]
    [left] = (await floor.by_path("waiting")).values()
    assert (left.path, left.reason) == ("0.mkv", "unreadable")


async def test_a_library_may_be_mounted_elsewhere(floor: Floor) -> None:
    await _four(floor)
    library, before = await floor.library(), await floor.videos()
    floor.root.rename(floor.folder / "other")
    floor.folders = Folders((Root(ACME, str(floor.folder / "other")),), floor.records)
    assert await floor.library() == library
    assert (await floor.settled())["kept"] == 8
    assert await floor.videos() == before
    floor.root.mkdir()
    floor.put("another.mkv")
    roots = (Root(ACME, str(floor.root)), Root(ACME, str(floor.folder / "other")))
    both = await Folders(roots, floor.records).of(ACME)
    assert [each.state for each in both] == ["new", "ok"]
    assert both[0].id != both[1].id == library


async def test_a_copied_folder_is_not_taken_for_its_original(floor: Floor) -> None:
    await _four(floor)
    shutil.copytree(floor.root, floor.folder / "copy")
    roots = (*floor.roots, Root(ACME, str(floor.folder / "copy")))
    floor.folders = Folders(roots, floor.records)
    assert {each.state for each in await floor.folders.of(ACME)} == {"marker_double"}
    (floor.root / "0.mkv").unlink()
    assert await floor.settled() == {}
    assert not await floor.by_path("missing")


async def test_names_are_fit_to_be_shown(floor: Floor) -> None:
    floor.put("line\nbreak \u202egpj.mkv")
    await floor.settled()
    assert [each.name for each in (await floor.videos()).values()] == ["line_break _gpj.mkv"]
    assert list(await floor.by_path()) == ["line\nbreak \u202egpj.mkv"]


async def test_a_name_that_a_person_gave_is_kept(floor: Floor) -> None:
    await _four(floor)
    file = (await floor.by_path())["0.mkv"]
    known = (await floor.videos())[file.video_id]

    async def edit(found: Any, _: Change) -> Any:
        return msgspec.structs.replace(found, name="Mine", version=found.version + 1)

    await floor.catalog.videos.update(ACME, known.id, edit, lambda: Change(ACME))
    (floor.root / "0.mkv").rename(floor.root / "other.mkv")
    await floor.settled()
    assert (await floor.videos())[known.id].name == "Mine"


def _writers(blobs: Blobs, location: str) -> dict[str, Any]:
    async def chunks() -> Any:
        yield b"x"

    return {
        "put": lambda: blobs.put(location, chunks()),
        "put_file": lambda: blobs.put_file(location, Path(__file__)),
        "move from": lambda: blobs.move(location, "acme/x"),
        "move to": lambda: blobs.move("acme/x", location),
        "copy to": lambda: blobs.copy("acme/x", location),
        "delete": lambda: blobs.delete(location),
        "delete_prefix": lambda: blobs.delete_prefix(f"{location}/"),
        "clear": lambda: blobs.clear(f"{location}/"),
        "delete_listed": lambda: blobs.delete_listed("acme/", [location]),
        "delete_listed below": lambda: blobs.delete_listed(f"{location}/", []),
    }


async def test_whatever_writes_or_removes_refuses_a_file_of_a_library(floor: Floor) -> None:
    await _four(floor)
    file = next(iter((await floor.files()).values()))
    location = library_location(ACME, file.library, file.id)
    before = floor.snapshot()
    for name, write in _writers(floor.blobs, location).items():
        with pytest.raises(Invalid, match="can only be read"):
            await write()
        assert floor.snapshot() == before, name


_OPERATIONS = ("put", "copy", "move", "swap", "delete", "grow", "touch", "unmount", "mount")


class Chaos:
    """A user who does anything."""

    def __init__(self, floor: Floor, seed: int) -> None:
        self.floor = floor
        self.random = random.Random(seed)
        self.made = 0
        self.away = floor.folder / "away"

    def act(self) -> None:
        name = self.random.choice(_OPERATIONS)
        if self.away.exists() and name != "mount":
            return
        getattr(self, f"_{name}")()

    def _files(self) -> list[Path]:
        found = [path for path in self.floor.root.rglob("*.mkv") if path.is_file()]
        return self.random.sample(sorted(found), len(found))

    def _target(self) -> Path:
        folder = self.floor.root / self.random.choice(("", "a", "a/b", "c"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.random.randrange(12)}.mkv"

    def _put(self) -> None:
        self.made += 1
        self._target().write_bytes(video(f"chaos {self.made}", self.random.choice((900, 901))))

    def _copy(self) -> None:
        for path in self._files()[:1]:
            self.made += 1
            target = self._target()
            if target != path:
                target.write_bytes(path.read_bytes())

    def _move(self) -> None:
        for path in self._files()[:3]:
            path.rename(self._target())

    def _swap(self) -> None:
        if len(two := self._files()[:2]) == 2:
            renamed(
                *(
                    (str(a.relative_to(self.floor.root)), str(b.relative_to(self.floor.root)))
                    for a, b in (two, two[::-1])
                )
            )(self.floor)

    def _delete(self) -> None:
        for path in self._files()[:1]:
            path.unlink()

    def _grow(self) -> None:
        for path in self._files()[:1]:
            self.made += 1
            with path.open("ab") as file:
                file.write(b"more")

    def _touch(self) -> None:
        for path in self._files()[:2]:
            os.utime(path)

    def _unmount(self) -> None:
        self.floor.root.rename(self.away)
        self.floor.root.mkdir()

    def _mount(self) -> None:
        if self.away.exists():
            self.floor.root.rmdir()
            self.away.rename(self.floor.root)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_a_user_does(floor: Floor, seed: int) -> None:
    """No video goes, every one that is not missing has its own bytes, and there is no more work
    than there were contents and copies.
    """
    await _four(floor)
    chaos, videos = Chaos(floor, seed), set[str]()
    for _ in range(25):
        chaos.act()
        if chaos.random.random() < 0.5:
            chaos.act()
        floor.passes(SETTLE_MS // 2 + 1000)
        await floor.scan(force=chaos.random.random() < 0.3)
        await floor.process()
        now = await floor.videos()
        assert videos <= now.keys()
        videos = set(now)
    chaos._mount()
    await floor.settled(force=True)
    await floor.settled(force=True)
    assert len(floor.asked) <= 4 + chaos.made
    present = await floor.by_path()
    there = {str(path.relative_to(floor.root)) for path in chaos._files()}
    assert present.keys() == there
    found = await floor.videos()
    for path, file in present.items():
        assert await floor.content(found[file.video_id]) == (floor.root / path).read_bytes()
