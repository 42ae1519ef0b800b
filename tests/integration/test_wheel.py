"""An installed wheel does what a checkout does, in an empty folder and without the network."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
_UP = re.compile(r"gateway is up at (http://\S+)")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; what it depends on is borrowed from ours."""
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    subprocess.run((*pip, "install", "-q", "--no-index", "--no-deps", wheel), check=True)
    # A plain line: the editable install that lies there is not followed.
    site = Path(output(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """An empty folder to run in."""
    folder = tmp_path / "an empty folder"
    folder.mkdir()
    return folder


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **more}


def output(python: Path, code: str) -> str:
    done = subprocess.run(
        (str(python), "-c", code),
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@contextmanager
def running(python: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Reelway as the wheel installs it, once its door is open."""
    settings = environment(REELWAY_GATEWAY_PORT="0", PYTHONWARNINGS="error::ImportWarning")
    command = str(python.with_name("reelway"))
    with subprocess.Popen(
        (command,), cwd=folder, env=settings, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, address(process)
        finally:
            if process.poll() is None:
                process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    said = []
    deadline = time.monotonic() + START_SECONDS
    for line in process.stderr:
        said.append(line)
        if found := _UP.search(line):
            return found[1]
        if time.monotonic() > deadline:
            break
    pytest.fail("it did not start:\n" + "".join(said))


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return int(reply.status)


def test_it_is_the_wheel_that_is_imported(python: Path) -> None:
    for package in ("shared", "services"):
        where = output(python, f"import {package}; print({package}.__file__)")
        assert Path(where).is_relative_to(python.parents[1])


def test_help_is_shown_from_an_empty_folder(python: Path, nowhere: Path) -> None:
    done = subprocess.run(
        (str(python.with_name("reelway")), "--help"),
        cwd=nowhere,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: reelway" in done.stdout
    assert list(nowhere.iterdir()) == []


def test_it_starts_is_ready_serves_its_pages_and_stops(python: Path, nowhere: Path) -> None:
    with running(python, nowhere) as (process, url):
        assert status(f"{url}/readyz") == 200
        assert status(f"{url}/docs") == 200
        assert status(f"{url}/openapi.json") == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
        assert process.returncode == 0
    assert [entry.name for entry in nowhere.iterdir()] == [".reelway"]


def test_a_command_for_operators_works_without_a_running_reelway(
    python: Path, nowhere: Path
) -> None:
    command = str(python.with_name("reelway"))
    for words, said in (
        (("tenant", "create", "acme", "--tier", "premium"), "made the tenant acme (premium)"),
        (("tenant", "list"), "acme\tpremium"),
    ):
        done = subprocess.run(
            (command, *words),
            cwd=nowhere,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert said in done.stdout, done.stderr
        assert done.returncode == 0
