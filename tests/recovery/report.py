"""What is said about a soak: figures, and whatever should not be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
import redis

from shared.contracts.records import Captions, Video
from shared.store.keys import captions_key
from tests.recovery.audit import AUDIT
from tests.recovery.clerk import ACCEPTED
from tests.recovery.figures import Log, Recovery, gave_up_waiting, percentile, recoveries
from tests.recovery.leftovers import buried, kept, miscounted
from tests.recovery.porter import Upload
from tests.recovery.soak_crew import done_by
from tests.support import checks
from tests.support.aof import groups
from tests.support.history import History
from tests.support.processes import RedisProcess
from tests.support.teller import told_by

QUEUES = ("jobs", "jobs.queries", "drive", "catalog", "catalog.queries", AUDIT)
_SHOWN = 5


@dataclass(frozen=True)
class Report:
    """Figures by name, and sentences about what is wrong."""

    figures: Mapping[str, str]
    violations: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{name:<48}{figure:>24}" for name, figure in self.figures.items()]
        wrong = [f"VIOLATION {each}" for each in self.violations]
        return "\n".join([*lines, *(wrong or ["nothing lost, nothing doubled, nothing stuck"])])


def report_of(
    server: RedisProcess, amqp: str, log: Log, lease_ms: int, limit_ms: int | None
) -> Report:
    """Look at everything when it is over. ``limit_ms`` is how long 99 of 100 jobs of killed workers
    may take to be in other hands; None if that is not to be judged.
    """
    history = told_by(groups(server.folder))
    with redis.Redis.from_url(server.url, decode_responses=True) as eyes:
        numbers = cast("set[str]", eyes.smembers(ACCEPTED))
        uploads = [Upload(int(number)) for number in sorted(numbers, key=int)]
        held = {job: cast("dict[str, str]", eyes.hgetall(job)) for job in history.jobs}
        left = [*kept(eyes), *miscounted(eyes, held), *_unfinished(eyes, uploads, history)]
    found = recoveries(history, log)
    wanted = {job: done_by(fields["flow"]) for job, fields in history.jobs.items()}
    violations = (
        *_first(check(history) for check in checks.ALWAYS),
        *_first([checks.lost(history, {upload.key for upload in uploads})]),
        *_first([checks.missing_effects(history, wanted), left, list(_oddities(log))]),
        *_first([asyncio.run(buried(amqp, QUEUES))]),
        *_slow(found, limit_ms),
    )
    figures = {**_events(log), **_work(history, uploads), **_times(found, lease_ms)}
    return Report(figures, violations)


def _first(found: Iterable[list[str]]) -> Iterator[str]:
    for each in found:
        yield from each[:_SHOWN]
        if len(each) > _SHOWN:
            yield f"… and {len(each) - _SHOWN} more like that"


def _unfinished(eyes: redis.Redis, uploads: Iterable[Upload], history: History) -> Iterator[str]:
    """Uploads that did not become one video with captions by exactly two jobs."""
    jobs = Counter(fields["subject"] for fields in history.jobs.values())
    for upload in uploads:
        raw = cast("str | None", eyes.get(upload.video_key))
        video = msgspec.json.decode(raw, type=Video) if raw else None
        if video is None or video.captions != 1 or jobs[upload.video_id] != 2:
            yield f"upload {upload.number} became {jobs[upload.video_id]} jobs and {video}"
        text = cast("str | None", eyes.get(captions_key(upload.tenant, upload.video_id)))
        if not text or len(msgspec.json.decode(text, type=Captions).captions) != 1:
            yield f"the captions of upload {upload.number} are {text}"


def _oddities(log: Log) -> Iterator[str]:
    """Processes that ended though nobody had killed them, and no server was away."""
    for end in log.ends:
        if not gave_up_waiting(end, log):
            yield f"{end.life.role} ended by itself with {end.code}: {end.said[-2000:]}"


def _slow(found: list[Recovery], limit_ms: int | None) -> Iterator[str]:
    slowest = percentile((each.ms for each in _fair(found)), 0.99)
    if limit_ms is not None and slowest > limit_ms:
        yield f"jobs of killed workers came back after {slowest} ms, over {limit_ms}"


def _fair(found: list[Recovery]) -> list[Recovery]:
    """Where a worker was free and no server away."""
    return [each for each in found if each.was_free and not each.outage]


def _events(log: Log) -> dict[str, str]:
    killed = Counter(life.role for life in log.lives if life.was_killed)
    away = Counter(outage.what for outage in log.outages)
    return {
        "processes killed": str(killed.total()),
        **{f"  of {role}": str(number) for role, number in sorted(killed.items())},
        "processes that gave up waiting for a server": str(
            sum(gave_up_waiting(end, log) for end in log.ends)
        ),
        "workers held still": str(len(log.stalls)),
        **{f"{server} killed": str(number) for server, number in sorted(away.items())},
    }


def _work(history: History, uploads: list[Upload]) -> dict[str, str]:
    return {
        "uploads accepted": str(len(uploads)),
        "jobs": str(len(history.jobs)),
        "jobs that were retried after a failure": str(
            sum(history.number(job, "epoch") > 1 for job in history.jobs)
        ),
        "claims": str(len(history.holds)),
        "claims that lost their worker": str(sum(hold.was_taken for hold in history.holds)),
        "effects": str(len(history.effects)),
        "events told": str(len(history.told)),
    }


def _times(found: list[Recovery], lease_ms: int) -> dict[str, str]:
    fair = [each.ms for each in _fair(found)]
    others = {
        "RabbitMQ was away": [each.ms for each in found if each.outage == "RabbitMQ"],
        "Redis was away": [each.ms for each in found if each.outage == "Redis"],
        "no worker was free": [each.ms for each in found if not (each.was_free or each.outage)],
    }
    return {
        "lease in ms": str(lease_ms),
        "recoveries, a worker free, servers there": str(len(fair)),
        **{f"  p{share} in ms": str(percentile(fair, share / 100)) for share in (50, 95, 99, 100)},
        "  of that in line, p50, p99": _shares([each.line_ms for each in _fair(found)]),
        **{
            f"recoveries while {why}: number, p50, p99": f"{len(times)}, {_shares(times)}"
            for why, times in others.items()
        },
    }


def _shares(times: list[int]) -> str:
    return f"{percentile(times, 0.5)}, {percentile(times, 0.99)}"
