"""``make bench-drive``: bytes through the gateway, beside others that move bytes.

Four parts, all on the loopback and one disk, clients (curl, wrk) in processes of their own:

*Downloads.* One large file, by our gateway (all four services in one process, ``sendfile``) and by
nginx, which is given the very same file. Goal: at least 0.8 times what nginx does.

*Uploads.* One large file, as one tus PATCH and as a bare POST, and to an aiohttp handler that does
nothing but write it to the disk and flush it at the end. Goal: at least 0.7 times what that does.
Ours names, counts and flushes what arrives, in pieces; and it is ready for a line that breaks.

*Ranges.* Small ones from all over the file, 16 connections. Goal: at least 1,000 a second.

*Memory.* The gateway in a process of its own, with 50 uploads and 50 downloads at once. Goal: less
than 150 MB at its highest.

Contestants take turns, what is dirty is flushed before each lap, and the figures are medians. What
our jobs do with an upload is waited for before the next lap begins.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec

from tests.load.bench_drive_clients import download, patch, post, ranges
from tests.load.bench_drive_crowd import Memory, crowd
from tests.load.bench_drive_rivals import bare, nginx
from tests.load.bench_drive_table import Report, table
from tests.support import media
from tests.support.client import Client, client_of
from tests.support.processes import find_program
from tests.support.servers import redis_database
from tests.support.stack import PATIENT, Stack, apart, embedded
from tests.support.stacks import private_names

PROGRAMS = ("curl", "nginx", "wrk")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and how often. Sizes are bytes."""

    size: int = 1024**3
    laps: int = 3
    seconds: int = 10
    people: int = 50
    each: int = 64 * 1024**2


QUICK = Plan(size=64 * 1024**2, laps=1, seconds=1, people=10, each=4 * 1024**2)
"""Shows that everything runs; its figures say little."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench-drive ARGS=…", description="see this module")
    parser.add_argument("--quick", action="store_true", help="only see that it runs, in seconds")
    parser.add_argument("--laps", type=int, help="laps of each contestant (3)")
    parser.add_argument("--json", type=Path, help="write all figures into this file as well")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    if options.laps:
        plan = msgspec.structs.replace(plan, laps=options.laps)
    missing = [name for name in PROGRAMS if not find_program(name)]
    if missing:
        sys.exit(f"this needs {', '.join(missing)}: apt install {' '.join(missing)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with us
    folder = Path(tempfile.mkdtemp(prefix="reelway-bench-"))
    try:
        report = asyncio.run(measured(plan, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(report))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


async def measured(plan: Plan, folder: Path) -> Report:
    """All four parts."""
    film, noise = folder / "film.mp4", folder / "noise.bin"
    make_film(film, plan.size)
    make_noise(noise, plan.size)
    report = Report(size=plan.size, people=plan.people, load=os.getloadavg()[0])
    with embedded(folder, **PATIENT) as stack, ExitStack() as rivals:
        async with client_of(stack.url, stack.key) as client:
            video = await taken(client, film)
            (original,) = (path for path in stack.stored_files() if path.name == "original")
            addresses = {
                "reelway": f"{stack.url}/v1/videos/{video}/stream",
                "nginx": rivals.enter_context(nginx(folder, original)),
            }
            downloads = {
                name: partial(download, address, stack.key, plan.size)
                for name, address in addresses.items()
            }
            small = {
                name: partial(ranges, address, stack.key, plan.size, plan.seconds)
                for name, address in addresses.items()
            }
            dump = rivals.enter_context(bare(folder / "dump"))
            uploads = {
                "reelway, tus": partial(by_tus, stack, client, noise),
                "reelway, POST": partial(by_post, stack, client, noise),
                "bare aiohttp": partial(to_rival, dump, noise),
            }
            report.downloads = await race("download from", downloads, plan.laps)
            report.ranges = await race("ranges from", small, plan.laps)
            report.uploads = await race("upload to", uploads, plan.laps)
    noise.unlink()
    report.memory = await among_many(plan, folder)
    return report


async def race(
    what: str, contestants: Mapping[str, Callable[[], Awaitable[float]]], laps: int
) -> dict[str, list[float]]:
    """What each has reached in each lap, by turns: when the machine has other work, it is
    everybody's. The first round only warms up.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for lap in range(laps + 1):
        for name, run in contestants.items():
            sys.stderr.write(f"lap {lap}: {what} {name} …\n")
            await asyncio.to_thread(os.sync)
            figure = await run()
            if lap:
                found[name].append(figure)
    return found


async def by_tus(stack: Stack, client: Client, file: Path) -> float:
    """Bytes a second of one PATCH."""
    size = str(file.stat().st_size)
    begun = await client.call(
        "POST", "/v1/uploads/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": size}
    )
    path = begun.headers["Location"]
    speed, _ = await patch(f"{stack.url}{path}", stack.key, file)
    await client.job_end((await client.get(path))["job"])  # no video: its bytes go
    return speed


async def by_post(stack: Stack, client: Client, file: Path) -> float:
    """Bytes a second of one POST."""
    speed, answer = await post(f"{stack.url}/v1/videos?name=noise.mp4", stack.key, file)
    await client.job_end(msgspec.json.decode(answer)["job"]["id"])
    return speed


async def to_rival(url: str, file: Path) -> float:
    """Bytes a second of one POST to who only writes them down."""
    return (await post(url, "", file))[0]


async def among_many(plan: Plan, folder: Path) -> Memory:
    """The memory of a gateway of its own, with many people at once."""
    sys.stderr.write(f"{plan.people} uploads and {plan.people} downloads at once …\n")
    film = folder / "short film.mp4"
    make_film(film, plan.each)
    with redis_database() as store, apart(folder, private_names(), store, **PATIENT) as stack:
        async with client_of(stack.url, stack.key) as client:
            video = await taken(client, film)
            pid = stack.member("gateway").pid
            async with aiohttp.ClientSession(
                stack.url,
                headers={"Authorization": f"Bearer {stack.key}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session:
                path = f"/v1/videos/{video}/stream"
                return await crowd(session, path, pid, plan.people, plan.each)


async def taken(client: Client, film: Path) -> str:
    """The id of a film's video, once nobody works on it any more."""
    forever = aiohttp.ClientTimeout(total=None)
    with film.open("rb") as file:
        reply = await client.call("POST", "/v1/videos", data=file, timeout=forever)
    uploaded = reply.json()
    await client.job_end(uploaded["job"]["id"])
    return str(uploaded["video"]["id"])


def make_film(path: Path, size: int) -> None:
    """A short clip with noise behind it that readers leave out, as the format allows. There are no
    captions in it that anybody would go on to read.
    """
    media.without_captions(path)
    rest = size - path.stat().st_size
    with path.open("ab") as file:
        file.write(struct.pack(">I4sQ", 1, b"free", rest))
        _fill(file, rest - 16)


def make_noise(path: Path, size: int) -> None:
    """A file that is no video."""
    with path.open("wb") as file:
        _fill(file, size)


def _fill(file: BinaryIO, size: int) -> None:
    while size:
        size -= file.write(os.urandom(min(size, 1 << 20)))


if __name__ == "__main__":
    main()
