"""Steps in child processes that crash, hang, lie and leave others behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shared.blobs import locations
from shared.blobs.store import Blobs, open_blobs
from shared.contracts.records import Artifact, StepOutput
from shared.store.redis import Store
from shared.work.child import ChildSteps
from shared.work.child_limits import ChildLimits
from shared.work.context import StepContext
from shared.work.failures import RetryPolicy, describe, is_crash
from shared.work.ledger import Claim
from shared.work.step import BadInput, StepFailed
from tests.integration.work.bench import ACME, Bench
from tests.integration.work.shop import Shop, soon
from tests.support.owners import is_alive, seconds_until_gone

PROGRAM = str(Path(__file__).with_name("children.py"))
LIMITS = ChildLimits(silence=30.0, grace=0.3)


class Nursery:
    """Runs children as the worker does."""

    def __init__(self, bench: Bench, blobs: Blobs, folder: Path) -> None:
        self.bench = bench
        self.blobs = blobs
        self.folder = folder

    async def context(self, **params: Any) -> StepContext:
        await self.bench.submit("media", params={"location": "acme/video", **params})
        return self.again(await self.bench.claim())

    def again(self, claim: Claim) -> StepContext:
        return StepContext(
            claim=claim,
            step="s0",
            outputs={},
            ledger=self.bench.ledger,
            blobs=self.blobs,
            folder=self.folder / str(claim.fence),
        )

    def steps(self, how: str, limits: ChildLimits = LIMITS) -> ChildSteps:
        return ChildSteps((sys.executable, PROGRAM, how), limits)

    async def run(self, how: str, limits: ChildLimits = LIMITS, **params: Any) -> StepOutput:
        return await self.steps(how, limits).run(await self.context(**params))

    async def fail(self, how: str, limits: ChildLimits = LIMITS, **params: Any) -> StepFailed:
        with pytest.raises(StepFailed) as caught:
            await self.run(how, limits, **params)
        return caught.value

    async def pid(self, name: str) -> int:
        """The process that a program has written down, once it has."""
        await soon(lambda: (self.folder / name).exists() and self.pids(name))
        [pid] = self.pids(name)
        return pid

    def pids(self, name: str = "pids") -> list[int]:
        return [int(pid) for pid in (self.folder / name).read_text().split()]


@pytest.fixture
async def nursery(store: Store, tmp_path: Path) -> Nursery:
    blobs = open_blobs((tmp_path / "blobs").as_uri())
    (tmp_path / "blobs" / "acme").mkdir(parents=True)
    (tmp_path / "blobs" / "acme" / "video").write_bytes(b"video")
    (tmp_path / "scratch").mkdir()
    return Nursery(Bench(store, lease_ms=60_000), blobs, tmp_path / "scratch")


async def test_a_child_leaves_its_result_and_files(nursery: Nursery) -> None:
    output = await nursery.run("good")
    assert output.result == {"began": 0}
    [whole] = output.artifacts
    assert await nursery.blobs.read_all(whole.key) == b"part 0part 1part 2"


@pytest.mark.parametrize(
    ("how", "word"),
    [("leave", "exit code 0"), ("exit_three", "exit code 3"), ("segfault", "SIGSEGV")],
)
async def test_a_child_that_dies_is_a_crash(nursery: Nursery, how: str, word: str) -> None:
    failure = await nursery.fail(how)
    assert (failure.code, failure.error_class) == ("step_crashed", "transient")
    assert word in failure.detail
    if how == "exit_three":
        assert failure.hint == "its last words: last word"


@pytest.mark.parametrize("how", ["silent", "closed"])
async def test_a_child_that_says_nothing_hangs(nursery: Nursery, how: str) -> None:
    began = time.monotonic()
    failure = await nursery.fail(how, ChildLimits(silence=0.5, grace=0.3))
    assert (failure.code, failure.error_class) == ("step_hung", "transient")
    assert time.monotonic() - began < 30


async def test_a_child_that_takes_too_long_is_ended(nursery: Nursery) -> None:
    failure = await nursery.fail("silent", ChildLimits(total=0.5, grace=0.3))
    assert failure.code == "step_too_slow"


async def test_a_longer_video_gives_a_child_more_time(nursery: Nursery) -> None:
    limits = ChildLimits(total=0.1, total_per_second=1.0, silence=0.6, grace=0.3)
    failure = await nursery.fail("silent", limits, duration=60)
    assert failure.code == "step_hung"  # not too slow: it had a minute


async def test_a_child_that_the_system_killed_is_no_crash_of_the_content(
    nursery: Nursery,
) -> None:
    failure = await nursery.fail("good", die_at=0)
    assert (failure.code, failure.error_class) == ("step_killed", "transient")
    assert "memory" in failure.detail
    assert not is_crash(describe(failure, "crop"))


async def test_a_child_that_ignores_sigterm_is_killed(nursery: Nursery) -> None:
    running = asyncio.create_task(nursery.run("stubborn"))
    pid = await nursery.pid("stubborn.pid")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_alive(pid)


@pytest.mark.parametrize("how", ["garbage", "binary", "other_words", "half_a_line", "endless_line"])
async def test_what_is_no_line_of_a_step_is_a_failed_attempt(nursery: Nursery, how: str) -> None:
    failure = await nursery.fail(how)
    assert (failure.code, failure.error_class) == ("step_garbled", "transient")


async def test_any_amount_of_standard_error_is_swallowed(nursery: Nursery) -> None:
    assert (await nursery.run("chatter")).result == {"survived": True}
    failure = await nursery.fail("chatter_and_die")
    assert (failure.code, failure.hint) == ("step_crashed", "its last words: last word")


async def test_what_a_child_has_started_is_killed_with_it(nursery: Nursery) -> None:
    await nursery.run("grandchildren")
    seconds_until_gone(*nursery.pids(), limit=30)


async def test_what_a_child_that_died_has_started_is_killed(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, context = nursery.steps("grandchildren"), await nursery.context(die=True)

    async def begun(*_: object) -> None:
        """From now on it is not to be waited for: what it has started holds its output open."""
        steps._limits = ChildLimits(silence=0.7)

    monkeypatch.setattr(context, "progress", begun)
    with pytest.raises(StepFailed) as caught:
        await steps.run(context)
    assert caught.value.error_class == "transient"
    seconds_until_gone(*nursery.pids(), limit=30)


@pytest.mark.parametrize("line", ["result", "checkpoint"])
@pytest.mark.parametrize(
    "name", ["nowhere", "../outside", "/etc/passwd", "link", "folder", ".", "..", "", "a b", "x\n"]
)
async def test_a_child_can_only_name_files_of_its_own(
    nursery: Nursery, name: str, line: str
) -> None:
    failure = await nursery.fail("named", name=name, line=line)
    assert failure.code == "step_garbled"
    assert await nursery.blobs.delete_prefix("acme/work/") == 0


async def test_a_child_says_itself_what_is_wrong(nursery: Nursery) -> None:
    failure = await nursery.fail("refuses")
    assert (failure.code, failure.error_class, failure.hint) == (
        "not_a_video",
        "bad_input",
        "a video",
    )


async def test_a_child_gets_no_secrets(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWAY_BUS_URL", "amqp://user:secret@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = (await nursery.run("environment")).result
    assert "secret" not in str(given)
    assert [name for name in given if name.startswith("REELWAY_")] == ["REELWAY_CHILD_MEMORY_MB"]


async def test_a_program_that_cannot_be_started_is_a_failed_attempt(nursery: Nursery) -> None:
    with pytest.raises(StepFailed) as caught:
        await ChildSteps(("/nonexistent",), LIMITS).run(await nursery.context())
    assert (caught.value.code, caught.value.error_class) == ("step_not_started", "transient")


async def test_a_video_that_is_gone_is_said_so(nursery: Nursery) -> None:
    await nursery.blobs.delete("acme/video")
    with pytest.raises(BadInput) as caught:
        await nursery.run("good")
    assert caught.value.code == "source_gone"


async def test_a_child_goes_on_from_its_last_checkpoint(nursery: Nursery) -> None:
    whole = await nursery.run("good")
    context = await nursery.context(die_at=1)
    with pytest.raises(StepFailed):
        await nursery.steps("good").run(context)
    await nursery.bench.ledger.release(context.claim)
    again = await nursery.steps("good").run(nursery.again(await nursery.bench.claim()))
    assert again.result == {"began": 2}
    assert again.artifacts[0].sha256 == whole.artifacts[0].sha256


@pytest.mark.parametrize(("broken", "began"), [(["part-1"], 1), (["part-0", "part-1"], 0)])
@pytest.mark.parametrize("how", ["missing", "other size"])
async def test_a_checkpoint_without_its_files_is_passed_over(
    nursery: Nursery, broken: list[str], began: int, how: str
) -> None:
    context = await nursery.context(die_at=1)
    with pytest.raises(StepFailed):
        await nursery.steps("good").run(context)
    for name in broken:
        key = locations.work(ACME, context.job.id, context.claim.fence, name)
        path = nursery.blobs.local_path(key)
        assert path is not None
        path.unlink() if how == "missing" else path.write_text("longer than it was")
    await nursery.bench.ledger.release(context.claim)
    claim = await nursery.bench.claim()
    claim.job.params.pop("die_at")
    again = await nursery.steps("good").run(nursery.again(claim))
    assert again.result == {"began": began}
    assert await nursery.blobs.read_all(again.artifacts[0].key) == b"part 0part 1part 2"


@pytest.mark.parametrize("local", [True, False])
async def test_what_an_earlier_step_made_and_is_gone_is_nobodys_defect(
    nursery: Nursery, local: bool
) -> None:
    if not local:
        video, nursery.blobs = nursery.blobs.local_path("acme/video"), open_blobs("memory:")
        assert video
        await nursery.blobs.put_file("acme/video", video)
    context = await nursery.context()
    gone = Artifact(name="a.json", key="acme/results/a.json", size=1, sha256="")
    context.outputs = {"s": StepOutput(artifacts=(gone,))}
    with pytest.raises(StepFailed) as caught:
        await nursery.steps("good").run(context)
    assert (caught.value.code, caught.value.error_class) == ("result_gone", "transient")
    assert caught.value.hint


async def test_the_third_crash_is_blamed_on_the_content(nursery: Nursery) -> None:
    shop = Shop(nursery.bench, nursery.folder)
    shop.blobs = nursery.blobs
    new = await nursery.bench.submit("media", params={"location": "acme/video"})
    step = nursery.steps("segfault").run
    async with shop.worker(step, policy=RetryPolicy(base=0.01)).running():
        for _ in range(3):
            job = await shop.until(new, "retrying", "failed")
            await nursery.bench.due(new)
            await nursery.bench.ledger.reap()
            await asyncio.sleep(0.1)
        job = await shop.until(new, "failed")
    assert job.error is not None
    assert (job.error.code, job.error.error_class) == ("undecodable_video", "bad_input")
    assert job.attempt == 3


async def test_crashes_after_other_failures_are_not_yet_blamed_on_the_content(
    nursery: Nursery,
) -> None:
    shop = Shop(nursery.bench, nursery.folder)
    new = await nursery.bench.submit("media")
    codes = ["busy", "busy", "step_crashed", "step_crashed"]

    async def step(context: StepContext) -> StepOutput:
        raise StepFailed(codes[context.job.attempt], "no", error_class="transient")

    async with shop.worker(step, policy=RetryPolicy(base=0.01)).running():
        for attempt in range(1, 5):
            await soon(shop.ended_by(attempt))
            assert (await nursery.bench.job(new)).state == "retrying"
            await nursery.bench.due(new)
            await nursery.bench.ledger.reap()


async def test_a_child_does_not_outlive_a_parent_that_was_killed(nursery: Nursery) -> None:
    code = (
        "import asyncio, sys\n"
        "async def main():\n"
        "    child = await asyncio.create_subprocess_exec(sys.executable, sys.argv[1],\n"
        "        'with_parent', stdin=-1, stdout=-1, start_new_session=True)\n"
        "    child.stdin.write(sys.argv[2].encode() + b'\\n')\n"
        "    await child.stdin.drain()\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    home = nursery.folder / "1" / "s0"
    home.mkdir(parents=True)
    given = json.dumps({"workdir": str(home), "params": {}, "checkpoint": None})
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, PROGRAM, given)
    pid = await nursery.pid("child.pid")
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    seconds_until_gone(pid, limit=30)
