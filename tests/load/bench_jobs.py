"""``make bench-jobs``: the job engine measured, alone and beside Celery and taskiq.

Three parts, on a RabbitMQ and a Redis (append-only file) that are started for this and end with it:

*The ledger.* How long a claim takes while 1,000, 10,000 and 100,000 jobs wait, around the round
trip and inside Redis, and what a waiting job takes of Redis' memory. See ``bench_jobs_ledger``.

*Submissions.* How many a second are taken for good, 32 at a time: by the ledger alone, and as each
system takes them, which is when RabbitMQ has confirmed the message.

*The race.* The same number of jobs that do nothing, from the first submission to the last job's
end, workers warm, the median of some laps. What each is set up for, by its documentation:

=============================================  =======  ======  ======
what is promised                               Reelway  Celery  taskiq
=============================================  =======  ======  ======
accepted means confirmed by a quorum queue     yes      yes     yes
done means its result is in Redis' file        yes      yes     yes
a killed worker's job is done by another       yes, 16 s  yes   yes
a late worker's result is refused (fence)      yes      no      no
a record from the moment it is accepted        yes      no      no
every change kept in order, to be read again   yes      no      no
every change and end told as an event          yes      no      no
claimed by priority, age and tenant            yes      no      no
cancelled, retried, seen while it waits        yes      no      no
=============================================  =======  ======  ======

All are given as many worker processes, 16 jobs at a time in each that can have several, and hold at
most 64 deliveries. Reelway's form *all in one* does in that process what the others have no process
for (the ledger's handlers and relay). *told* counts a job only when its events are out too.

Processor time is of one lap, divided by its jobs: ``submitter`` submits, ``workers`` are all the
processes of the entrant, the servers are shared. On a machine with few cores all of these compete.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from shared.store.redis import open_redis
from shared.work.ledger import Ledger
from tests.load.bench_jobs_entrants import ENTRANTS, OTHERS, Entrant
from tests.load.bench_jobs_ledger import Depth, fill, jobs, measure
from tests.load.bench_jobs_race import Lap, lap
from tests.load.bench_jobs_servers import Servers, servers
from tests.load.bench_jobs_table import Ran, Report, table

FLUSHES = ("everysec", "always")
DATABASE = 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and how often."""

    depths: tuple[int, ...] = (1_000, 10_000, 100_000)
    rounds: int = 2_000
    jobs: int = 2_000
    laps: int = 3
    entrants: tuple[int, ...] = tuple(range(len(ENTRANTS)))
    flushes: tuple[str, ...] = FLUSHES


QUICK = Plan(depths=(1_000,), rounds=200, jobs=100, laps=1, entrants=(0, 1, 3), flushes=FLUSHES[:1])
"""Shows that everything runs; its figures say little."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parsed(arguments)
    plan = planned(options)
    if plan.entrants and not Path(OTHERS).exists():
        sys.exit(f"{OTHERS} is not there: run `make bench-jobs`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with us
    with servers() as both:
        report = asyncio.run(measured(plan, both))
    print(table(report))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="make bench-jobs ARGS=…", description="see this module")
    parser.add_argument("--quick", action="store_true", help="only see that it runs, in seconds")
    parser.add_argument("--jobs", type=int, help="jobs in a lap (2000)")
    parser.add_argument("--laps", type=int, help="laps of each entrant (3)")
    parser.add_argument("--depths", type=int, nargs="*", help="how many jobs wait for a claim")
    parser.add_argument("--no-race", action="store_true", help="only the ledger")
    parser.add_argument("--json", type=Path, help="write all figures into this file as well")
    return parser.parse_args(arguments)


def planned(options: argparse.Namespace) -> Plan:
    """What to do, by the options."""
    plan = QUICK if options.quick else Plan()
    given = {"jobs": options.jobs, "laps": options.laps}
    changes = {name: number for name, number in given.items() if number is not None}
    if options.depths is not None:
        changes["depths"] = tuple(options.depths)
    if options.no_race:
        changes["entrants"] = ()
    return msgspec.structs.replace(plan, **changes)


async def measured(plan: Plan, both: Servers) -> Report:
    """All three parts."""
    both.flush_to_disk(FLUSHES[0])
    return Report(
        servers=both.versions(),
        load=os.getloadavg()[0],
        jobs=plan.jobs,
        depths=[await depth(plan, both, queued) for queued in plan.depths],
        ledger_submits={flush: await submits(plan, both, flush) for flush in plan.flushes},
        ran=await race(plan, both),
    )


async def depth(plan: Plan, both: Servers, queued: int) -> Depth:
    """The ledger with so many jobs waiting."""
    say(f"the ledger with {queued} jobs")
    both.empty()
    async with open_redis(both.database(DATABASE)) as store:
        return await measure(store, queued, plan.rounds)


async def submits(plan: Plan, both: Servers, flush: str) -> float:
    """How many submissions a second the ledger takes."""
    say(f"submissions to the ledger, appendfsync {flush}")
    both.empty()
    both.flush_to_disk(flush)
    source = jobs()
    async with open_redis(both.database(DATABASE)) as store:
        ledger = Ledger(store)
        await fill(ledger, source, 100)
        return median([await fill(ledger, source, plan.jobs) for _ in range(plan.laps)])


def field_of(plan: Plan) -> Iterator[tuple[Entrant, str]]:
    """Who runs, and how often Redis flushes its file meanwhile: more than one worker process only
    with the first way.
    """
    for flush in plan.flushes:
        for number in plan.entrants:
            if flush == FLUSHES[0] or ENTRANTS[number].processes == 1:
                yield ENTRANTS[number], flush


async def race(plan: Plan, both: Servers) -> list[Ran]:
    """All laps of all, by turns: when the machine has other work, it is everybody's."""
    field = [(entrant, flush, list[Lap]()) for entrant, flush in field_of(plan)]
    for number, (entrant, flush, laps) in itertools.product(range(plan.laps), field):
        say(f"lap {number + 1}: {entrant.system} {entrant.form}, appendfsync {flush}")
        both.flush_to_disk(flush)
        laps.append(await lap(entrant, both, plan.jobs))
    return [
        Ran(
            system=entrant.system,
            form=entrant.form,
            processes=entrant.processes,
            appendfsync=flush,
            laps=laps,
        )
        for entrant, flush, laps in field
    ]


def say(what: str) -> None:
    """What is being measured now; the figures come at the end."""
    sys.stderr.write(f"{what} …\n")


if __name__ == "__main__":
    main()
