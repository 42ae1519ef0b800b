from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from shared.store.data_folder import StoreNotStarted
from shared.store.embedded import embedded
from shared.store.redis import StoreUnavailable, open_redis
from tests.support.bus import until
from tests.support.owners import (
    ORIGINS,
    Owner,
    is_alive,
    owning,
    parent_of,
    seconds_until_gone,
    written,
)

NEWER = [ORIGINS == ["machine", "wheel"]]
"""Whether the machine has a newer server than the wheel's; else data stays with the same one."""


async def has_written(owner: Owner) -> None:
    """Wait until there is enough to be lost."""
    async with open_redis(owner.url) as store:

        async def enough() -> bool:
            return int(await store.commands.llen("written")) >= 200

        await until(enough, 60)


async def test_all_acknowledged_writes_survive_the_owners_death_by_sigkill(
    server_origin: str, tmp_path: Path
) -> None:
    with owning(tmp_path) as owner:
        await has_written(owner)
        owner.process.kill()
        acknowledged = owner.last_acknowledged()
    assert acknowledged > 100
    async with embedded(tmp_path) as url:  # at once: the old server may still be on its way out
        numbers = await written(url)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= acknowledged


async def test_all_acknowledged_writes_survive_when_everything_is_killed(
    server_origin: str, tmp_path: Path
) -> None:
    with owning(tmp_path) as owner:
        await has_written(owner)
        guard = parent_of(owner.server)
        everything = (owner.process.pid, guard, owner.server)
        for pid in everything:  # else those who live a little longer stop or start the others
            os.kill(pid, signal.SIGSTOP)
        for pid in reversed(everything):
            os.kill(pid, signal.SIGKILL)
        acknowledged = owner.last_acknowledged()
    async with embedded(tmp_path) as url:
        numbers = await written(url)
    assert acknowledged > 100
    assert len(numbers) >= acknowledged


async def test_guard_and_server_die_with_the_owner(server_origin: str, tmp_path: Path) -> None:
    with owning(tmp_path) as owner:
        guard = parent_of(owner.server)
        assert is_alive(guard)
        assert is_alive(owner.server)
        owner.process.kill()
        seconds_until_gone(owner.server, guard)


async def test_the_server_does_not_outlive_its_guard_for_long(
    server_origin: str, tmp_path: Path
) -> None:
    with owning(tmp_path) as owner:
        os.kill(parent_of(owner.server), signal.SIGKILL)
        if sys.platform != "linux":  # there the next owner ends it
            owner.process.kill()
            async with embedded(tmp_path):
                assert not is_alive(owner.server)
        seconds_until_gone(owner.server)


async def test_signals_meant_for_the_owner_do_not_stop_the_server(
    server_origin: str, tmp_path: Path
) -> None:
    async with embedded(tmp_path) as url, open_redis(url) as store:
        server = (await store.commands.info("server"))["process_id"]
        for pid in (server, parent_of(server)):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.3)
        await store.ping()


async def test_a_server_that_dies_is_started_again_with_its_data(
    server_origin: str, tmp_path: Path
) -> None:
    async with embedded(tmp_path) as url, open_redis(url) as store:
        await store.commands.set("a", "1")
        os.kill((await store.commands.info("server"))["process_id"], signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await store.ping()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await store.commands.get("a") == b"1"
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.05)


def log_file(folder: Path) -> Path:
    """The file to which the server appends its writes."""
    old, new = folder / "redis" / "appendonly.aof", folder / "redis" / "appendonlydir"
    return next(new.glob("*.incr.aof")) if new.exists() else old


async def fill(folder: Path) -> None:
    async with embedded(folder) as url, open_redis(url) as store:
        for number in range(1, 21):
            await store.commands.rpush("written", number)


async def test_a_log_cut_short_in_its_last_write_is_read_up_to_there(
    server_origin: str, tmp_path: Path
) -> None:
    await fill(tmp_path)
    log = log_file(tmp_path)
    log.write_bytes(log.read_bytes()[:-5])
    async with embedded(tmp_path) as url:
        assert await written(url) == list(range(1, 20))


async def test_a_log_broken_in_the_middle_is_refused_in_the_servers_words(
    server_origin: str, tmp_path: Path
) -> None:
    await fill(tmp_path)
    log = log_file(tmp_path)
    content = log.read_bytes()
    middle = content.index(b"*3", len(content) // 2)
    log.write_bytes(content[:middle] + b"!!" + content[middle + 2 :])
    with pytest.raises(StoreNotStarted, match="Bad file format") as caught:
        async with embedded(tmp_path):
            pass
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "redis" / "server.log") in str(caught.value)


async def test_data_of_a_newer_format_is_refused_in_the_servers_words(tmp_path: Path) -> None:
    await fill(tmp_path)
    bases = list((tmp_path / "redis" / "appendonlydir").glob("*.base.rdb"))
    base = bases[0] if bases else tmp_path / "redis" / "appendonly.aof"  # before Redis 7
    base.write_bytes(b"REDIS0099" + base.read_bytes()[9:])
    with pytest.raises(StoreNotStarted, match="Can't handle RDB format version 99"):
        async with embedded(tmp_path):
            pass


@pytest.mark.parametrize("newer", NEWER)
async def test_data_of_an_older_server_goes_over_to_a_newer_one_but_not_back(
    newer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "/nonexistent" if newer else path)
    await fill(tmp_path)
    monkeypatch.setenv("PATH", path)
    async with embedded(tmp_path) as url:
        assert await written(url) == list(range(1, 21))
    if newer:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(StoreNotStarted, match="was written by Redis 7 or newer"):
            async with embedded(tmp_path):
                pass


async def test_a_cancelled_owner_leaves_no_server_behind(tmp_path: Path) -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def own() -> None:
        async with embedded(tmp_path) as url, open_redis(url) as store:
            pid.set_result((await store.commands.info("server"))["process_id"])
            await asyncio.sleep(60)

    task = asyncio.create_task(own())
    server = await pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(server)
