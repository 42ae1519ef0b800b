"""The figures of ``make bench-jobs`` as one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

import msgspec

from tests.load.bench_jobs_ledger import Depth, Spread
from tests.load.bench_jobs_race import Lap

CLAIM_MS = 1.0
BYTES = 1536
"""What is aimed at."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What one entrant did, Redis flushing its file so often."""

    system: str
    form: str
    processes: int
    appendfsync: str
    laps: list[Lap]

    def middle(self, of: Callable[[Lap], float]) -> float:
        """The median of a figure."""
        return median(of(lap) for lap in self.laps)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one run."""

    servers: str
    load: float
    jobs: int
    depths: list[Depth]
    ledger_submits: dict[str, float]
    ran: list[Ran]


Row = Sequence[object]


def table(report: Report) -> str:
    """For people."""
    lines = [f"\n{report.servers}, load {report.load:.1f} at the start"]
    lines += _ledger(report.depths)
    for depth in report.depths[-1:]:
        lines += _memory(depth)
    lines += _submissions(report)
    for flush in dict.fromkeys(ran.appendfsync for ran in report.ran):
        lines += _race([ran for ran in report.ran if ran.appendfsync == flush], report.jobs)
    for ran in [ran for ran in report.ran if ran.system == "reelway"][:1]:
        lines += _asked(ran)
    return "\n".join(lines)


def aligned(title: str, head: Row, rows: Sequence[Row]) -> list[str]:
    """Columns, the first to the left and the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        moved = (cell.rstrip().rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append(f"  {first}  {'  '.join(moved)}")
    return ["", title, *lines]


def _ledger(depths: Sequence[Depth]) -> list[str]:
    if not depths:
        return []
    head = ("milliseconds: p50 p99", "ping", "claim", "in Redis", "advance", "submit")
    rows = [
        (
            f"{depth.queued:,} jobs wait",
            *(_spread(depth.seen, name) for name in ("ping", "claim")),
            _spread(depth.inside, "claim"),
            *(_spread(depth.seen, name) for name in ("advance", "submit")),
        )
        for depth in depths
    ]
    worst, ping = depths[-1].seen["claim"].p99, depths[-1].seen["ping"].p99
    goal = f"{_verdict(worst < CLAIM_MS)} ({worst:.2f} ms, where a ping took {ping:.2f})"
    lines = aligned("The ledger, one caller, around the round trip", head, rows)
    lines += [f"  p99 of a claim under {CLAIM_MS:g} ms: {goal}"]
    rates = ("a second, 32 callers", "submits", "claims handed on")
    each = [(f"{d.queued:,} jobs wait", *map(_whole, _rates(d))) for d in depths]
    return [*lines, *aligned("The ledger, many callers", rates, each)]


def _rates(depth: Depth) -> tuple[float, float]:
    return depth.submits_per_second, depth.claims_per_second


def _spread(spreads: dict[str, Spread], name: str) -> str:
    found = spreads.get(name)
    return f"{found.p50:.2f} {found.p99:.2f}" if found else "?"


def _memory(depth: Depth) -> list[str]:
    total = depth.bytes_per_job
    told = [kind for kind in depth.kinds if kind.bytes_per_job >= 1]
    rows = [(k.pattern, _whole(k.bytes_per_job), f"{k.bytes_per_job / total:.0%}") for k in told]
    rest = total - sum(kind.bytes_per_job for kind in depth.kinds)
    rows.append(("tables of keys, allocator", _whole(rest), f"{rest / total:.0%}"))
    rows.append(("altogether", _whole(total), ""))
    title = f"Redis' memory for a job that waits, with {depth.queued:,} of them"
    goal = _verdict(total <= BYTES)
    return [
        *aligned(title, ("keys", "bytes", "share"), rows),
        f"  at most {BYTES} bytes: {goal} ({total:,.0f})",
    ]


def _submissions(report: Report) -> list[str]:
    rows: list[Row] = [
        (f"into the ledger, appendfsync {flush}", _whole(rate))
        for flush, rate in report.ledger_submits.items()
    ]
    for system in dict.fromkeys(ran.system for ran in report.ran):
        rates = [lap.submitted for ran in report.ran if ran.system == system for lap in ran.laps]
        rows.append((f"{system}, confirmed by RabbitMQ", _whole(median(rates))))
    return aligned("Submissions, nobody working meanwhile", ("", "a second"), rows)


def _asked(ran: Ran) -> list[str]:
    calls = {name: ran.middle(_times(name)) for name in ran.laps[0].calls}
    most = sorted(calls, key=lambda name: -calls[name])
    rows = [(name, f"{calls[name]:.2f}") for name in most if calls[name] >= 0.05]
    title = f"What one job of {ran.system}, {ran.form}, asks of Redis"
    return aligned(title, ("script or command", "calls"), rows)


def _race(ran: Sequence[Ran], jobs: int) -> list[str]:
    parts = ("submitter", "workers", "redis", "rabbitmq")
    head = ("", "jobs/s", "lowest-highest", "told/s", *parts, "calls")
    rows = []
    for each in sorted(ran, key=lambda one: one.processes):
        rates = sorted(lap.done for lap in each.laps)
        told = _whole(each.middle(_told)) if each.system == "reelway" else "-"
        costs = (f"{each.middle(_cpu(part)):.2f}" for part in parts)
        name = f"{each.processes} x {each.system}, {each.form}"
        around = f"{_whole(rates[0])}-{_whole(rates[-1])}"
        calls = f"{each.middle(_calls):.1f}"
        rows.append((name, _whole(each.middle(_done)), around, told, *costs, calls))
    flush = ran[0].appendfsync
    title = f"{jobs:,} jobs that do nothing, appendfsync {flush}; for a job, ms of processor time"
    return [*aligned(f"{title} and calls to Redis", head, rows), *_ratios(ran)]


def _ratios(ran: Sequence[Ran]) -> Iterator[str]:
    for processes in sorted({each.processes for each in ran}):
        group = [each for each in ran if each.processes == processes]
        ours = _best(group, "reelway")
        for other in ("celery", "taskiq"):
            theirs = _best(group, other)
            if ours and theirs:
                ratio = ours.middle(_done) / theirs.middle(_done)
                cost = ours.middle(_all_cpu) / theirs.middle(_all_cpu)
                goal = f"at least 1: {_verdict(ratio >= 1)}"
                yield (
                    f"  {processes} x reelway / {other}: {ratio:.2f} in jobs/s, {goal}; "
                    f"{cost:.1f} in processor time"
                )


def _best(ran: Sequence[Ran], system: str) -> Ran | None:
    forms = [each for each in ran if each.system == system]
    return max(forms, key=lambda each: each.middle(_done), default=None)


def _done(lap: Lap) -> float:
    return lap.done


def _told(lap: Lap) -> float:
    return lap.told


def _all_cpu(lap: Lap) -> float:
    return sum(lap.cpu_ms.values())


def _calls(lap: Lap) -> float:
    return sum(lap.calls.values())


def _times(name: str) -> Callable[[Lap], float]:
    return lambda lap: lap.calls.get(name, 0.0)


def _cpu(part: str) -> Callable[[Lap], float]:
    return lambda lap: lap.cpu_ms[part]


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
