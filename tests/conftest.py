"""What every test may rely on: a scrubbed environment and markers by folder."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.workermanage import NodeManager  # type: ignore[import-untyped]

from tests.support import s3

# A machine that stalls is no finding: what an example may take is a matter of the test's timeout.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

FOLDERS = ("unit", "contract", "integration", "e2e", "recovery", "security", "load")

# A worker of pytest-xdist that takes longer to end is killed, and its servers would go on: those of
# a whole deployment take their time to leave.
NodeManager.EXIT_TIMEOUT = 120

# pytest-asyncio would otherwise create a loop for synchronous tests that nobody closes.
asyncio.set_event_loop(None)

# SIGTERM ends a run like Ctrl-C does, so that the servers it has started end with it.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# Where a shell starts the tests in the background it has them ignore Ctrl-C, and so would every
# program that they start, also those of which it is looked at that Ctrl-C ends them.
signal.signal(signal.SIGINT, signal.default_int_handler)

for _name in [name for name in os.environ if name.startswith("REELWAY_")]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by the folder it lies in."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged may hold anything; the process that collects reports takes UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of this session's S3 bucket that no other test has, as ``REELWAY_BLOBS_URL``."""
    return s3.fresh_url(monkeypatch)
