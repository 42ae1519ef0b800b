"""Asking for scans: at the right time, once, and not in vain again and again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from services.drive.library.asking import FLOW
from services.drive.library.desk import LibraryDesk, LibraryNotWell
from services.drive.library.scan import scan_step
from services.drive.library.watch import Times, Watch
from shared.bus.router import Context
from shared.contracts.jobs import SubmitJob
from shared.contracts.library import ListFolders, ScanFolder
from shared.contracts.records import StepStatus, Tenant
from shared.errors import NotFound
from shared.ids import new_id
from shared.store.keys import tenant_key
from shared.store.records import Change
from shared.store.redis import Store
from tests.integration.work.bench import ACME, BROKEN, OTHER, new_job
from tests.integration.work.floor import SETTLE_MS, Floor

CONTEXT = Context(tenant=ACME, message_id="m1", correlation="c1")
EVERY_MS = 900_000


class Watched(Floor):
    """A floor whose scans are asked for by a watch."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store, folder)
        self.watch = self.another_watch()
        self.desk = LibraryDesk(self.folders, self.records, lambda: self.now)
        self.scans: list[SubmitJob] = []

    def another_watch(self) -> Watch:
        times = Times(SETTLE_MS, EVERY_MS)
        return Watch(self.folders, self.records, self.bench.jobs, lambda: self.now, times)

    async def new_tenant(self) -> None:
        tenant = Tenant(id=ACME, tier="free", created_at=1)
        await self.records.commit(Change(ACME).put(tenant_key(ACME), tenant))

    async def asks(self, milliseconds: int = 0) -> int:
        """How many scans are asked for when so much time has passed."""
        self.passes(milliseconds)
        await self.watch.look()
        asked = [each for each in await self.said() if isinstance(each, SubmitJob)]
        assert {each.flow for each in asked} <= {FLOW}
        self.scans += asked
        return len(asked)

    async def take_in(self) -> None:
        """The ledger gets the scan that was asked for last."""
        last = self.scans[-1]
        steps = (StepStatus(name="scan", pool="scan"),)
        new = new_job(id=last.job_id, flow=FLOW, subject=last.subject, steps=steps, lock=None)
        await self.bench.ledger.submit(new)

    async def carry_out(self) -> None:
        """It succeeds."""
        claim = await self.bench.claim("scan")
        output = await scan_step(self.scanner())(self.context(claim, "scan"))
        await self.bench.ledger.advance(claim, "scan", output, 1)


@pytest.fixture
async def floor(store: Store, tmp_path: Path) -> Watched:
    made = Watched(store, tmp_path)
    await made.new_tenant()
    made.put("a.mkv")
    return made


async def test_a_scan_is_asked_for_once_while_it_is_to_come(floor: Watched) -> None:
    assert await floor.asks() == 1
    assert await floor.asks(600_000) == 0  # nobody has taken it in yet
    await floor.take_in()
    assert await floor.asks(EVERY_MS) == 0  # it waits in line
    await floor.carry_out()
    assert await floor.asks(SETTLE_MS - 1) == 0
    assert await floor.asks(1) == 1  # the file may have settled


async def test_of_two_that_watch_one_is_heard(floor: Watched) -> None:
    others = [floor.another_watch() for _ in range(4)]
    asked = await asyncio.gather(*(watch.look() for watch in others))
    assert sum(asked) == 1
    assert await floor.asks() == 1


async def test_a_scan_that_failed_is_not_tried_all_the_time(floor: Watched) -> None:
    await floor.asks()
    await floor.take_in()
    await floor.bench.ledger.fail(await floor.bench.claim("scan"), BROKEN, None)
    assert await floor.asks(EVERY_MS - 1) == 0
    assert await floor.asks(1) == 1


async def test_a_scan_that_was_lost_is_asked_for_again(floor: Watched) -> None:
    await floor.asks()
    assert await floor.asks(3_600_000) == 1


async def test_where_nothing_is_to_be_done_nothing_is_asked_for(floor: Watched) -> None:
    await floor.asks()
    await floor.take_in()
    await floor.carry_out()
    floor.root.rename(floor.folder / "elsewhere")
    assert await floor.asks(EVERY_MS * 2) == 0
    (floor.folder / "elsewhere").rename(floor.root)
    assert await floor.asks() == 1


async def test_a_folder_of_nobody_is_left_alone_and_told_of(store: Store, tmp_path: Path) -> None:
    floor = Watched(store, tmp_path)
    floor.put("a.mkv")
    assert await floor.asks() == 0
    with pytest.raises(LibraryNotWell, match="no tenant"):
        await floor.desk.check()
    await floor.new_tenant()
    await floor.desk.check()
    assert await floor.asks() == 1


async def test_changes_are_heard_of_also_of_a_folder_that_comes_later(floor: Watched) -> None:
    touched = floor.watch._touched
    listening = asyncio.create_task(floor.watch.listen(str(floor.root)))
    try:
        async with asyncio.timeout(60):
            while not touched:  # noqa: ASYNC110 - what was there before
                await asyncio.sleep(0.02)
            before, floor.now = touched[str(floor.root)], floor.now + 1000
            while touched[str(floor.root)] == before:
                floor.put("b.mkv")
                await asyncio.sleep(0.2)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_a_person_asks_for_a_scan_and_may_ask_again(floor: Watched) -> None:
    library, job_id = await floor.library(), new_id()
    query = ScanFolder(library=library, job_id=job_id, dry_run=True, force=True)
    for _ in range(2):
        asked = await floor.desk.scan(query, CONTEXT)
        assert (asked.library, asked.job_id) == (library, job_id)
    [told] = await floor.said()
    assert isinstance(told, SubmitJob)
    assert (told.subject, told.params) == (library, {"dry_run": True, "force": True})


async def test_another_tenants_library_is_an_unknown_one(floor: Watched) -> None:
    library = await floor.library()
    theirs = Context(tenant=OTHER, message_id="m2", correlation="c2")
    with pytest.raises(NotFound):
        await floor.desk.scan(ScanFolder(library=library, job_id=new_id()), theirs)
    assert (await floor.desk.list_folders(ListFolders(), theirs)).items == ()
    assert await floor.said() == []


async def test_the_check_says_what_is_wrong(floor: Watched) -> None:
    await floor.desk.check()
    floor.root.rename(floor.folder / "elsewhere")
    with pytest.raises(LibraryNotWell, match="is away: there is no such folder"):
        await floor.desk.check()
