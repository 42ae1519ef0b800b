from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

import pytest

from shared.host import Runtime, Service, host
from shared.settings import SERVICES, Settings
from shared.store.embedded import embedded
from tests.support.hosted import PROGRAM, ROOT, hosting
from tests.support.processes import free_port


def test_services_start_in_order_and_leave_in_reverse(tmp_path: Path) -> None:
    with hosting(tmp_path, "gateway", "jobs", "drive", "catalog") as running:
        running.until("up gateway")
        running.process.send_signal(signal.SIGTERM)
        code, said, errors = running.end()
    assert code == 0, errors
    assert said == [
        *(f"up {name}" for name in ("catalog", "drive", "jobs", "gateway")),
        *(
            line
            for name in ("gateway", "jobs", "drive", "catalog")
            for line in (f"leaving {name} draining", f"left {name}")
        ),
    ]
    assert "gateway is up at http://gateway:1" in errors
    assert "Traceback" not in errors
    assert "Warning" not in errors


def test_ctrl_c_is_as_good_as_sigterm(tmp_path: Path) -> None:
    with hosting(tmp_path) as running:
        running.until("up gateway")
        running.process.send_signal(signal.SIGINT)
        code, _, errors = running.end()
    assert code == 0, errors
    assert "SIGINT: stopping" in errors


def test_a_bad_setting_ends_with_one_line_before_anything_opens(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with hosting(folder, REELWAY_JOBS_PORT="many") as running:
        code, said, errors = running.end()
    assert code == 2
    assert said == []
    assert errors == ("reelway: REELWAY_JOBS_PORT='many' is not valid; allowed: a whole number\n")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REELWAY_BUSURL", "memory:"),
        ("REELWAY_JOBS_PROT", "1"),
        ("REELWAY_STORE_URL", "mysql://x"),
        ("REELWAY_TRACES", "otlp"),
        ("REELWAY_BLOBS_URL", "ftp://archive"),
        ("REELWAY_BLOBS_URL", "s3://key:secret@archive"),
        ("REELWAY_SHUTDOWN_SECONDS", "-1"),
    ],
)
def test_every_kind_of_bad_setting_is_one_line_that_names_it(
    tmp_path: Path, variable: str, value: str
) -> None:
    with hosting(tmp_path, **{variable: value}) as running:
        code, _, errors = running.end()
    assert code == 2
    assert errors.count("\n") == 1
    assert variable in errors


def test_the_memory_bus_is_refused_for_a_subset(tmp_path: Path) -> None:
    with hosting(tmp_path, "jobs", "drive") as running:
        code, _, errors = running.end()
    assert code == 2
    assert errors.count("\n") == 1
    assert "REELWAY_BUS_URL='memory:'" in errors
    assert "amqp://" in errors


def test_a_data_folder_in_use_is_one_line(tmp_path: Path) -> None:
    with hosting(tmp_path) as running:
        running.until("up gateway")
        with hosting(tmp_path) as second:
            code, said, errors = second.end()
        assert code == 1
        assert said == []
        assert errors.count("\n") == 1
        assert f"data folder {tmp_path} is in use by process {running.process.pid}" in errors


def test_a_loop_that_fails_ends_the_process_in_order(tmp_path: Path) -> None:
    with hosting(tmp_path, BEHAVE="drive:loop fails") as running:
        code, said, errors = running.end()
    assert code == 1
    assert said[-4:][::-1][0] == "left catalog"
    assert said.index("left gateway") < said.index("left drive")
    assert "drive loop has ended unexpectedly: stopping" in errors
    assert "ValueError: boom" in errors


def test_a_service_that_cannot_start_closes_what_was_open(tmp_path: Path) -> None:
    with hosting(tmp_path, BEHAVE="jobs:cannot start") as running:
        code, said, errors = running.end()
    assert code == 1
    assert said == ["up catalog", "up drive", "left drive", "left catalog"]
    assert "error   the port is taken action=start_failed" in errors
    assert "Traceback" not in errors


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    with hosting(tmp_path, BEHAVE="jobs:starts forever") as running:
        running.until("starting jobs")
        running.process.send_signal(signal.SIGTERM)
        code, said, errors = running.end()
    assert code == 0, errors
    assert said[-2:] == ["left drive", "left catalog"]


def test_stopping_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    with hosting(tmp_path, BEHAVE="jobs:leaves forever", REELWAY_SHUTDOWN_SECONDS="0.5") as running:
        running.until("up gateway")
        running.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        code, said, errors = running.end()
    assert code == 1
    assert time.monotonic() - started < 60  # it would leave in an hour
    assert said[-1] == "left catalog"
    assert "cutting it short" in errors


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with hosting(tmp_path, BEHAVE="jobs:leaves forever") as running:
        running.until("up gateway")
        running.process.send_signal(signal.SIGTERM)
        running.until("leaving jobs draining")
        running.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        code, said, _ = running.end()
    assert code == 1
    assert time.monotonic() - started < 20  # of the 30 that it may take
    assert said[-1] == "left catalog"


def test_children_of_a_service_inherit_no_settings(tmp_path: Path) -> None:
    program = PROGRAM.replace("say('up', name)", "say('up', name, *os.environ)")
    environ = {
        "PATH": os.environ["PATH"],
        "REELWAY_DATA_DIR": str(tmp_path),
        "REELWAY_GATEWAY_KEY": "hush",
        "BEHAVE": "gateway:loop fails",
    }
    ended = subprocess.run(
        (sys.executable, "-c", program, *SERVICES),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "up gateway" in ended.stdout
    assert "REELWAY" not in ended.stdout
    assert "hush" not in ended.stderr


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_and_metrics_have_a_listener_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    with hosting(tmp_path, REELWAY_ADMIN_PORT=str(port)) as running:
        running.until("up gateway")
        assert get(f"http://127.0.0.1:{port}/livez")[0] == 200
        assert get(f"http://127.0.0.1:{port}/readyz")[0] == 200
        status, text = get(f"http://127.0.0.1:{port}/metrics")
        assert status == 200
        assert "reelway_store_duration_seconds_bucket" in text
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 0


def test_a_process_that_is_still_starting_is_not_ready(tmp_path: Path) -> None:
    port = free_port()
    with hosting(tmp_path, BEHAVE="jobs:starts forever", REELWAY_ADMIN_PORT=str(port)) as running:
        running.until("starting jobs")
        assert get(f"http://127.0.0.1:{port}/livez")[0] == 200
        assert get(f"http://127.0.0.1:{port}/readyz")[0] == 503


class Nothing(Settings, frozen=True, kw_only=True):
    """Nothing can be set."""


def quiet(name: str) -> Service:
    @asynccontextmanager
    async def run(runtime: Runtime, settings: Nothing) -> AsyncIterator[None]:
        yield None

    return Service(name, Nothing, run)


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        (
            {"REELWAY_STORE_URL": "redis://user:word@127.0.0.1:1/0"},
            "redis://user:***@127.0.0.1:1/0 cannot be reached",
        ),
        (
            {"REELWAY_BUS_URL": "amqp://user:word@127.0.0.1:1/"},
            "amqp://user:***@127.0.0.1:1/ cannot be reached",
        ),
        (
            {"REELWAY_BLOBS_URL": "s3://archive?endpoint=http://127.0.0.1:1"},
            "s3://archive cannot be reached",
        ),
    ],
)
async def test_servers_that_stay_away_end_the_start_with_a_line(
    tmp_path: Path,
    variables: dict[str, str],
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shared.host.REACH_SECONDS", 3.0)
    monkeypatch.setattr("shared.host._TRY_SECONDS", 0.5)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reelway")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    environ = {"REELWAY_DATA_DIR": str(tmp_path), **variables}
    assert await host([quiet(name) for name in SERVICES], environ) == 1
    lines = capsys.readouterr().err.splitlines()
    assert shown in lines[-1]
    assert [line for line in lines if "waiting for" in line]
    assert not [line for line in lines if "word" in line]


async def test_a_bucket_that_is_missing_ends_the_start_with_its_cure(
    tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shared.host.REACH_SECONDS", 1.0)
    parts = urlsplit(s3_url)
    url = urlunsplit(parts._replace(netloc="no-such-bucket"))
    environ = {"REELWAY_DATA_DIR": str(tmp_path), "REELWAY_BLOBS_URL": url}
    assert await host([quiet(name) for name in SERVICES], environ) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "cannot be reached: the blob store refused: NoSuchBucket; create the bucket" in line


async def test_a_server_that_comes_later_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"unix://{tmp_path}/redis.sock"
    environ = {"REELWAY_STORE_URL": url, "REELWAY_DATA_DIR": str(tmp_path / "own")}
    said = ""

    async def told(words: str) -> None:
        nonlocal said
        async with asyncio.timeout(60):
            while words not in said:
                said += capsys.readouterr().err
                await asyncio.sleep(0.02)

    hosted = asyncio.create_task(host([quiet(name) for name in SERVICES], environ))
    await told("waiting for unix://")
    async with embedded(tmp_path):
        await told("gateway is up")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await hosted == 0
