"""How ``make bench-jobs`` talks to the programs that submit: a number of jobs comes in on standard
input, the moments of the first and the last confirmation go out as one line of JSON.

Needs the standard library only, as the programs have different environments.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

IN_FLIGHT = int(os.environ.get("BENCH_IN_FLIGHT", "32"))
"""How many submissions wait for their confirmation at a time, whoever submits."""

PREFETCH = 64
"""How many deliveries a worker process may hold, whoever works."""

SLOTS = 16
"""Jobs at a time in one worker process, where a process can have several."""

Submitted = list[str]
"""The ids of jobs."""


def a_payload() -> dict[str, Any]:
    """What a job is told, the same for all: about an upload, as the gateway would."""
    return {"subject": str(uuid.uuid4()), "name": "Holiday 2026, part 3.mp4", "size": 734_003_200}


async def serve_line(batch: Callable[[int], Awaitable[Submitted]]) -> None:
    """Submit so many jobs as each line says, until there is no further line."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = time.time()
        ids = await batch(int(line))
        answer = {"began": began, "ended": time.time(), "ids": ids}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def gathered(count: int, submit: Callable[[], Awaitable[str]]) -> Submitted:
    """So many submissions, ``IN_FLIGHT`` of them at a time."""
    ids: Submitted = []
    numbers = iter(range(count))

    async def sender() -> None:
        for _ in numbers:
            ids.append(await submit())

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
    return ids
