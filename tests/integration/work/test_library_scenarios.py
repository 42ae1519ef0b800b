"""Libraries: whatever becomes of a folder, no file is touched, no video lost, no work repeated."""

from __future__ import annotations

import hashlib
from collections import Counter
from inspect import isawaitable
from pathlib import Path

import pytest

from shared.blobs.library import FileChanged, FileMissing
from shared.contracts.library import ScanPlan
from shared.store.redis import Store
from tests.integration.work.floor import SETTLE_MS, Floor
from tests.integration.work.hostile import FILES, SCENARIOS, Scenario

_IN_ORDER = {"kept", "skipped"}


@pytest.fixture
async def floor(store: Store, tmp_path: Path) -> Floor:
    """A folder with four videos that are indexed and processed."""
    made = Floor(store, tmp_path)
    for path in FILES:
        made.put(path)
    await made.settled()
    assert sorted(await made.by_path()) == sorted(FILES)
    return made


def test_there_are_many_scenarios() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 30


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_nothing_is_lost(floor: Floor, scenario: Scenario) -> None:
    asked, first = set(floor.asked), await floor.videos()
    acted = scenario.do(floor)
    if isawaitable(acted):
        await acted
    mine = set(await floor.videos())
    done, plan = await _scanned(floor, scenario)
    await floor.process()

    assert {kind: n for kind, n in done.items() if kind not in _IN_ORDER} == scenario.counts
    assert plan.state == scenario.state
    assert plan.suspicious.startswith(scenario.suspicious)
    assert bool(plan.suspicious) == bool(scenario.suspicious)
    assert plan.skipped == scenario.skipped
    assert len(set(floor.asked) - asked) == scenario.jobs
    videos = await floor.videos()
    assert mine <= videos.keys()
    missing = [file for file in (await floor.files()).values() if file.state == "missing"]
    assert len(missing) == scenario.missing
    gone = scenario.missing if scenario.gone is None else scenario.gone
    assert await _unreadable(floor, set(first)) == gone


async def _scanned(floor: Floor, scenario: Scenario) -> tuple[Counter[str], ScanPlan]:
    done: Counter[str] = Counter()
    for number in range(2):
        floor.passes(SETTLE_MS + 1000)
        options = dict(scenario.options)
        if number:
            options.pop("include_ignored", None)
        plan = await floor.scan(**options)
        done.update(plan.counts)
    return done, plan


async def _unreadable(floor: Floor, video_ids: set[str]) -> int:
    """How many of these videos cannot be read; those that can have the very bytes they had."""
    videos, gone = await floor.videos(), 0
    for video_id in video_ids:
        video = videos.get(video_id)
        try:
            content = await floor.content(video) if video else b""
        except (FileMissing, FileChanged):
            content = b""
        gone += not content
        if content:
            assert video
            assert hashlib.sha256(content).hexdigest() == video.sha256
    return gone
