"""Results that were made before are taken, whatever happens to them in between."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from shared.blobs import locations
from shared.contracts.records import StepOutput
from shared.contracts.results import Result
from shared.errors import Unavailable
from shared.store.keys import resting_key, result_key, results_index
from shared.store.records import StaleFence
from shared.store.redis import Store
from shared.tenancy import TenantId
from shared.work.context import StepContext
from shared.work.jobs import job_key
from shared.work.ledger import Claim
from shared.work.results import Place, Results
from shared.work.reuse import HASHED, Reuse
from tests.integration.work.bench import ACME, OTHER, Bench
from tests.integration.work.makers import RECIPES, SOURCE, Makers, new_of

DONE, HIT = "done", "hit"


@pytest.fixture
async def makers(store: Store, tmp_path: Path) -> Makers:
    made = Makers(Bench(store, lease_ms=60_000), tmp_path)
    await made.have_source()
    return made


async def test_what_was_made_before_is_taken(makers: Makers) -> None:
    first = await makers.run()
    second = await makers.run(name="another name")
    assert makers.ran == ["s0", "s1", "s2"]
    assert await makers.outcomes(first) == [DONE] * 3
    assert await makers.outcomes(second) == [HIT] * 3
    assert makers.looked == [(f"s{n}", seen) for seen in ("miss", HIT) for n in range(3)]
    for step, output in second.outputs.items():
        assert output.taken_from == first.id
        assert output.artifacts == first.outputs[step].artifacts
        assert output.key == first.outputs[step].key


async def test_a_changed_parameter_runs_only_what_lies_downstream(makers: Makers) -> None:
    await makers.run()
    assert await makers.outcomes(await makers.run(y=2)) == [HIT, DONE, DONE]
    assert await makers.outcomes(await makers.run(x=2)) == [DONE] * 3
    assert await makers.outcomes(await makers.run(y=2)) == [HIT] * 3


async def test_a_step_is_given_only_what_its_recipe_names(makers: Makers) -> None:
    told = {step: output.result for step, output in (await makers.run(z=3)).outputs.items()}
    assert told == {
        "s0": {"params": {"x": 1}, "inputs": []},
        "s1": {"params": {"y": 1}, "inputs": ["s0"]},
        "s2": {"params": {}, "inputs": ["s1"]},
    }


async def test_what_a_tenant_has_made_is_nothing_to_another(makers: Makers) -> None:
    await makers.run()
    await makers.have_source(OTHER)
    foreign = await makers.run(OTHER)
    assert await makers.outcomes(foreign) == [DONE] * 3
    assert all(
        artifact.key.startswith("other/results/")
        for output in foreign.outputs.values()
        for artifact in output.artifacts
    )


async def test_what_is_forced_is_made_anew_and_what_comes_before_may_be_taken(
    makers: Makers,
) -> None:
    first = await makers.run()
    await makers.bench.ledger.retry(ACME, first.id, "s0", "s1")
    again = await makers.work(new_of(first))
    assert (again.epoch, again.forced) == (2, "s1")
    assert await makers.outcomes(again) == [HIT, DONE, DONE]
    assert again.outputs["s1"].key == first.outputs["s1"].key
    later = await makers.run()
    assert await makers.outcomes(later) == [HIT] * 3
    assert later.outputs["s1"].artifacts == again.outputs["s1"].artifacts
    assert later.outputs["s1"].artifacts != first.outputs["s1"].artifacts


async def test_a_retry_that_forces_nothing_takes_what_is_there(makers: Makers) -> None:
    first = await makers.run()
    await makers.bench.ledger.retry(ACME, first.id, "s1", "")
    assert await makers.outcomes(await makers.work(new_of(first))) == [HIT, HIT]
    await makers.bench.ledger.retry(ACME, first.id, "s2")
    assert await makers.outcomes(await makers.work(new_of(first))) == [DONE]


CHANGED = {"shorter": b"sma", "longer": b"small and more", "other bytes": b"Small"}


@pytest.mark.parametrize("damage", ["missing", *CHANGED])
async def test_a_damaged_result_is_made_anew_and_taken_again(makers: Makers, damage: str) -> None:
    first = await makers.run()
    path = makers.path(first, "s1")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(CHANGED[damage])
    second = await makers.run()
    assert await makers.outcomes(second) == [HIT, DONE, HIT]
    assert ("s1", "damaged") in makers.looked
    third = await makers.run()
    assert await makers.outcomes(third) == [HIT] * 3
    assert third.outputs["s1"].artifacts == second.outputs["s1"].artifacts


async def test_a_large_file_is_not_read_to_be_taken(makers: Makers) -> None:
    makers.content = bytes(HASHED + 1)
    path = makers.path(await makers.run(), "s1")
    path.write_bytes(b"\1" * (HASHED + 1))
    assert await makers.outcomes(await makers.run()) == [HIT] * 3


async def test_a_record_that_cannot_be_read_is_as_good_as_none(makers: Makers) -> None:
    first = await makers.run()
    key = result_key(ACME, SOURCE, first.outputs["s0"].key)
    await makers.bench.store.commands.set(key, b'{"key": 7')
    assert await makers.outcomes(await makers.run()) == [DONE, HIT, HIT]
    assert await makers.outcomes(await makers.run()) == [HIT] * 3


class Away(Results):
    """Records that cannot be reached."""

    async def take(self, tenant: TenantId, place: Place, job_id: str) -> Result | None:
        raise Unavailable("not now")

    async def keep(self, claim: Claim, tenant: TenantId, result: Result) -> bool:
        raise Unavailable("not now")


async def test_results_that_cannot_be_reached_fail_no_step(makers: Makers) -> None:
    makers.results = Away(makers.bench.store)
    for _ in range(2):
        assert await makers.outcomes(await makers.run()) == [DONE] * 3
    assert set(makers.looked) == {(f"s{n}", "unavailable") for n in range(3)}


async def test_without_a_known_source_nothing_is_kept_for_others(makers: Makers) -> None:
    for _ in range(2):
        job = await makers.run(sha256="")
        assert await makers.outcomes(job) == [DONE] * 3
        own = locations.work_of(ACME, job.id)
        assert makers.path(job, "s0").is_relative_to(makers.folder.parent / "blobs" / own)
    assert makers.looked == []


async def test_of_a_source_that_is_gone_nothing_is_kept(makers: Makers) -> None:
    assert await makers.results.drop(ACME, SOURCE, "f1")
    job = await makers.run()
    assert await makers.outcomes(job) == [DONE] * 3
    assert await makers.record(job, "s0") is None
    assert await makers.results.resting(ACME, SOURCE) == set()


async def test_a_result_that_is_used_is_kept_longer(makers: Makers) -> None:
    first = await makers.run()
    redis = makers.bench.store.commands
    key = result_key(ACME, SOURCE, first.outputs["s0"].key)
    assert 990 <= await redis.ttl(key) <= 1000
    for each in (key, results_index(ACME, SOURCE)):
        await redis.expire(each, 10)
    second = await makers.run()
    assert await redis.ttl(key) > 900
    assert await redis.ttl(results_index(ACME, SOURCE)) > 900
    resting = await redis.smembers(resting_key(ACME, SOURCE))
    assert resting == {first.id.encode(), second.id.encode()}


async def test_an_index_lasts_as_long_as_the_longest_of_its_results(makers: Makers) -> None:
    await makers.run()
    makers.results = Results(makers.bench.store, seconds=5)
    await makers.run(x=2)
    assert await makers.bench.store.commands.ttl(results_index(ACME, SOURCE)) > 900


async def test_an_attempt_that_lost_its_job_keeps_no_result(makers: Makers) -> None:
    new = await makers.bench.submit("media", params={"sha256": SOURCE})
    claim = await makers.bench.claim()
    result = Result(
        key="7" * 64,
        source=SOURCE,
        step="s0",
        output=StepOutput(),
        job_id=new.id,
        fence=claim.fence,
        made_at=1,
    )
    await makers.bench.ledger.release(claim)
    with pytest.raises(StaleFence):
        await makers.results.keep(claim, ACME, result)
    assert await makers.results.take(ACME, Place(SOURCE, "7" * 64), new.id) is None


async def test_two_who_make_the_same_at_a_time_do_not_overwrite_each_other(
    makers: Makers,
) -> None:
    params = {"sha256": SOURCE}
    jobs = [await makers.bench.submit("media", "media", "media", params=params) for _ in range(2)]
    gate = asyncio.Barrier(2)
    plain = makers.step

    async def together(context: StepContext) -> StepOutput:
        if context.step == "s0":
            await gate.wait()
        return await plain(context)

    steps = dict.fromkeys(("s0", "s1", "s2"), together)
    reuse = Reuse(recipes=RECIPES, results=makers.results)
    async with makers.worker(together, steps=steps, slots=2, reuse=reuse).running():
        one, other = [await makers.until(new, "succeeded") for new in jobs]
    assert makers.ran.count("s0") == 2
    paths = {makers.path(job, "s0") for job in (one, other)}
    assert [path.read_bytes() for path in paths] == [b"small"] * 2
    kept = await makers.record(one, "s0")
    assert kept
    assert kept.output.artifacts[0] in {job.outputs["s0"].artifacts[0] for job in (one, other)}


async def test_files_of_checkpoints_stay_behind_in_the_work_area(makers: Makers) -> None:
    async def step(context: StepContext) -> StepOutput:
        made = context.folder / "half.bin"
        made.write_bytes(b"half")
        await context.checkpoint({"n": 1}, [made])
        whole = context.folder / "whole.bin"
        whole.write_bytes(b"whole")
        return StepOutput(artifacts=await context.keep([made, whole]))

    makers.step = step  # type: ignore[method-assign] # a test's own step
    job = await makers.run()
    await makers.blobs.delete_prefix(locations.work_of(ACME, job.id))
    artifacts = job.outputs["s2"].artifacts
    assert [await makers.blobs.read_all(each.key) for each in artifacts] == [b"half", b"whole"]
    assert await makers.outcomes(await makers.run()) == [HIT] * 3


async def test_a_checkpoint_that_is_gone_costs_only_that_its_file_is_stored_again(
    makers: Makers,
) -> None:
    async def step(context: StepContext) -> StepOutput:
        made = context.folder / "half.bin"
        made.write_bytes(b"half")
        await context.checkpoint({"n": 1}, [made])
        await context.blobs.delete_prefix(locations.work_of(ACME, context.job.id))
        return StepOutput(artifacts=await context.keep([made]))

    makers.step = step  # type: ignore[method-assign] # a test's own step
    [kept] = (await makers.run()).outputs["s0"].artifacts
    assert await makers.blobs.read_all(kept.key) == b"half"


async def test_a_maker_killed_before_it_wrote_the_record_costs_one_run(
    makers: Makers, tmp_path: Path
) -> None:
    params = {"sha256": SOURCE, "x": 1, "y": 1}
    new = await makers.bench.submit("media", "media", "media", params=params)
    dying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.work.dying_maker"),
        *(makers.bench.store.url, str(tmp_path)),
    )
    assert await asyncio.wait_for(dying.wait(), 30) == -9
    blobs = await makers.blobs.listed(locations.results_of(ACME, SOURCE))
    assert {made.fence for key in blobs if (made := locations.made_of(key))} == {1}
    assert not await makers.bench.store.commands.exists(results_index(ACME, SOURCE))
    await makers.bench.store.commands.zadd("rw:jobs:leases", {job_key(ACME, new.id): 1}, xx=True)
    assert (await makers.bench.ledger.reap()).lost == 1
    job = await makers.work(new)
    assert await makers.outcomes(job) == ["lost", DONE, DONE, DONE]
    assert await makers.outcomes(await makers.run()) == [HIT] * 3
