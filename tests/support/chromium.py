"""This machine's Chromium, without a window.

``python -m tests.support.chromium`` says where it is; it fails with one line when there is none.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright
from playwright.sync_api import sync_playwright

from tests.support.processes import find_program

CHOSEN = "TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = ("--disable-gpu", "--disable-quic")
"""Besides those of Playwright, which keep it from calling anybody."""


class NoChromium(RuntimeError):
    """There is none that runs."""


@functools.cache
def chromium() -> str:
    """The program: what ``TEST_CHROMIUM`` names, else the first on this machine that runs, else
    the one that Playwright has fetched.
    """
    if chosen := os.environ.get(CHOSEN):
        if _runs(chosen):
            return chosen
        raise NoChromium(f"{CHOSEN}={chosen} does not run: name a Chromium or Chrome, or unset it")
    for program in _candidates():
        if _runs(program):
            return program
    raise NoChromium(
        "tests in a browser need Chromium: run deploy/setup-browser.sh, install it (Debian: apt "
        f"install chromium), or say where it is with {CHOSEN}=…"
    )


def _candidates() -> Iterator[str]:
    for name in NAMES:
        if program := find_program(name):
            yield program
    yield from APPS
    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever runs here
        yield thread.submit(_fetched).result()


def _fetched() -> str:
    """Where Playwright puts its own, whether it is there or not."""
    with sync_playwright() as player:
        return player.chromium.executable_path


def _runs(program: str) -> bool:
    """Whether it is there and no mere hint at a package, as on Ubuntu."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and b"Chrom" in said.stdout


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """A browser with nothing in it."""
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{Path(chromium())}\n")
    except NoChromium as none:
        sys.exit(str(none))
