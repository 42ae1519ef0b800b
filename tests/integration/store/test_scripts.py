from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from shared.errors import Conflict, Forbidden, NotFound, ReelwayError
from shared.store.redis import Store, StoreUnavailable, open_redis
from shared.store.scripts import Scripts
from tests.support.bus import until

SOURCES = {
    "include/prelude.lua": "local function refuse(code, detail)\n"
    "  return redis.error_reply('RW ' .. code .. ' ' .. detail)\nend\n",
    "add.lua": "return redis.call('INCRBY', KEYS[1], ARGV[1])\n",
    "refuse.lua": "-- include: prelude\nreturn refuse(ARGV[1], 'because of it')\n",
    "broken.lua": "return redis.call('LPUSH', KEYS[1])\n",
    "shapes.lua": "return {1, 'two', {3, false}}\n",
}


class StaleFence(Conflict):
    """Somebody else has the lease now."""

    default_code = "stale_fence"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in SOURCES.items():
        file = tmp_path / "keeper_of_scripts" / "lua" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return "keeper_of_scripts"


@pytest.fixture
def scripts(store: Store, package: str) -> Scripts:
    return Scripts(store, package, "lua", {"STALE_FENCE": StaleFence})


async def test_a_script_gets_keys_and_arguments(scripts: Scripts) -> None:
    assert await scripts.call("add", keys=["n"], args=[2]) == 2
    assert await scripts.call("add", keys=["n"], args=["3"]) == 5


async def test_replies_have_one_shape_on_every_server(scripts: Scripts) -> None:
    assert await scripts.call("shapes") == [1, b"two", [3, None]]


async def test_a_flushed_server_gets_its_scripts_again(scripts: Scripts, store: Store) -> None:
    await scripts.call("add", keys=["n"], args=[1])
    await store.commands.script_flush()
    assert await scripts.call("add", keys=["n"], args=[1]) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [("NOT_FOUND", NotFound), ("CONFLICT", Conflict), ("STALE_FENCE", StaleFence)],
)
async def test_a_refusal_is_the_exception_it_stands_for(
    scripts: Scripts, code: str, kind: type[ReelwayError]
) -> None:
    with pytest.raises(kind) as caught:
        await scripts.call("refuse", args=[code])
    assert type(caught.value) is kind
    assert caught.value.detail == "because of it"


async def test_a_caller_may_redefine_a_refusal(store: Store, package: str) -> None:
    scripts = Scripts(store, package, "lua", {"NOT_FOUND": Forbidden})
    with pytest.raises(Forbidden):
        await scripts.call("refuse", args=["NOT_FOUND"])


async def test_an_undeclared_refusal_is_an_internal_error(scripts: Scripts) -> None:
    with pytest.raises(ReelwayError, match="script refuse refused: NOVEL") as caught:
        await scripts.call("refuse", args=["NOVEL"])
    assert caught.value.status == 500


async def test_a_mistake_in_a_script_names_the_script(scripts: Scripts) -> None:
    with pytest.raises(ReelwayError, match="script broken failed: ") as caught:
        await scripts.call("broken", keys=["n"])
    assert caught.value.code == "script_failed"


async def test_a_script_whose_reply_is_late_ran_once_and_its_outcome_is_unknown(
    scripts: Scripts, store: Store, hasty: Store, package: str
) -> None:
    await scripts.call("add", keys=["n"], args=[1])
    pid = (await store.commands.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await Scripts(hasty, package, "lua").call("add", keys=["n"], args=[1])
    finally:
        os.kill(pid, signal.SIGCONT)

    async def ran() -> bool:
        return bool(await store.commands.get("n") != b"1")

    await until(ran)
    await asyncio.sleep(0.1)
    assert await store.commands.get("n") == b"2"


async def test_scripts_are_observed_by_name_and_refusals_count_as_answers(
    store: Store, package: str
) -> None:
    seen: list[tuple[str, bool]] = []
    async with open_redis(
        store.url, observe=lambda name, _, answered: seen.append((name, answered))
    ) as observed:
        scripts = Scripts(observed, package, "lua")
        seen.clear()
        await scripts.call("shapes")
        with pytest.raises(NotFound):
            await scripts.call("refuse", args=["NOT_FOUND"])
    by_name = [one for one in seen if one[0].startswith("script:")]
    assert by_name == [("script:shapes", True), ("script:refuse", True)]
