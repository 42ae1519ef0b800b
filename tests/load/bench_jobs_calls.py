"""What clients ask of Redis, for ``make bench-jobs``: how long scripts take inside it, and which
commands and scripts there are for each job.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

import redis.asyncio as aioredis

from shared.store.scripts import read_scripts

LOOKER = "bench-jobs"
"""The name of a client that only looks: its calls are not counted."""

MOST = 2_000
SLOW_MICROSECONDS = 40
"""Every script of interest takes longer, and hardly a command that scripts call. (Noting those as
well would take longer than they do.)"""

Seconds = defaultdict[str, list[float]]
_CALL = re.compile(rb'\+[\d.]+ \[\d+ (\S+)\] "(\w+)"(?: "(\w+)")?')


@asynccontextmanager
async def timing(client: aioredis.Redis, into: Seconds) -> AsyncIterator[None]:
    """Note how many seconds Redis takes for each script called while the block is open."""
    await client.config_set("slowlog-max-len", MOST)
    await client.slowlog_reset()
    await client.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
    try:
        yield
    finally:
        await client.config_set("slowlog-log-slower-than", -1)
        for entry in cast("Iterable[dict[str, Any]]", await client.slowlog_get(MOST)):
            words = [*entry["command"].split(), b""]
            into[_name(words[0], words[1])].append(entry["duration"] / 1e6)


@asynccontextmanager
async def counting(client: aioredis.Redis, into: Counter[str]) -> AsyncIterator[None]:
    """Count what clients call while the block is open; what scripts call is left out."""
    place = client.connection_pool.connection_kwargs
    reader, writer = await asyncio.open_connection(place["host"], place["port"])
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    heard = asyncio.create_task(reader.read())
    try:
        yield
        skipped = {b"lua", *await _lookers(client)}
    finally:
        writer.write(b"QUIT\r\n")
        said = await heard
        writer.close()
        await writer.wait_closed()
    for match in map(_CALL.match, said.split(b"\r\n")):
        if match and match[1] not in skipped:
            into[_name(match[2], match[3])] += 1


async def _lookers(client: aioredis.Redis) -> set[bytes]:
    everybody = await client.client_list()
    return {each["addr"].encode() for each in everybody if each["name"] == LOOKER}


def _name(verb: bytes, script: bytes) -> str:
    name = verb.decode().lower()
    return _scripts().get(script.decode(), name) if name == "evalsha" else name


@cache
def _scripts() -> dict[str, str]:
    packages = (("shared.work", "lua"), ("shared.store", "lua"))
    return {
        script.sha1: name
        for package, folder in packages
        for name, script in read_scripts(package, folder).items()
    }
