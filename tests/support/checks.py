"""What must be true of every history; each check answers sentences about what is not.

The rules are those of ``ARCHITECTURE.md``, stated here a second time and without its code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

from tests.support.history import History, Hold

T = TypeVar("T")
Check = Callable[[History], list[str]]
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def lost(history: History, accepted: Collection[str]) -> list[str]:
    """No job that was accepted is missing, and none has not come to an end. (One that was forgotten
    had ended.)
    """
    missing = [f"{job} was accepted and is not there" for job in accepted if not history.state(job)]
    return missing + [
        f"{job} is still {fields.get('state')} at step {fields.get('step')}"
        for job, fields in history.jobs.items()
        if fields.get("state") not in TERMINAL
    ]


def missing_effects(history: History, wanted: Mapping[str, Collection[str]]) -> list[str]:
    """Every job that succeeded has done all that it was for."""
    done = defaultdict(set)
    for effect in history.effects:
        done[effect.job].add(effect.what)
    return [
        f"{job} succeeded without {what}"
        for job, whats in wanted.items()
        if history.state(job) == "succeeded"
        for what in whats
        if what not in done[job]
    ]


def doubled_effects(history: History) -> list[str]:
    """Nothing is done twice, whoever tries."""
    done = Counter((effect.job, effect.what) for effect in history.effects)
    return [f"{job} did {what} {n} times" for (job, what), n in done.items() if n > 1]


def fences(history: History) -> list[str]:
    """Fences only grow: with every claim, and in what was done under them."""
    return [
        f"{job} has fence {second} after {first} ({kind})"
        for kind, found, is_strict in (
            ("claims", _by_job((hold.job, hold.fence) for hold in history.holds), True),
            ("effects", _by_job((done.job, done.fence) for done in history.effects), False),
            ("touches", _by_job((done.job, done.fence) for done in history.touches), False),
            ("moves", _by_job((move.job, move.fence) for move in history.moves), False),
        )
        for job, numbers in found.items()
        for first, second in pairwise(numbers)
        if second < first or (is_strict and second == first)
    ]


def one_lease_per_job(history: History) -> list[str]:
    """At no time do two leases of one job live."""
    return _overlaps(history.holds, lambda hold: hold.job)


def one_lease_per_video(history: History) -> list[str]:
    """At no time do two leases of jobs live that lock the same video."""
    return _overlaps([hold for hold in history.holds if hold.lock], lambda hold: hold.lock)


def taken_only_when_run_out(history: History) -> list[str]:
    """A job is taken from its worker only after the lease has run out."""
    return [
        f"{hold.job} was taken from {hold.worker} {hold.until - hold.ended} ms too early"
        for hold in history.holds
        if hold.was_taken and hold.ended is not None and hold.ended < hold.until
    ]


def one_end_per_epoch(history: History) -> list[str]:
    """Every epoch of a job ends exactly once, and nothing of it happens after that."""
    found: list[str] = []
    entries = _by_job((entry.stream, entry) for entry in history.entries)
    for job in history.jobs:
        for epoch in range(1, history.number(job, "epoch") + 1):
            types = [entry.type for entry in entries[job] if entry.epoch == epoch]
            if types.count("end") != 1:
                found.append(f"epoch {epoch} of {job} ended {types.count('end')} times")
            elif types[-1] != "end":
                found.append(f"{types[-1]} of {job} after the end of epoch {epoch}")
    return found


def gapless_events(history: History) -> list[str]:
    """The numbers of events have no gaps and no doubles, and epochs only grow."""
    return [
        f"{stream} has event {second.epoch}-{second.seq} after {first.epoch}-{first.seq}"
        for stream, entries in _by_job((entry.stream, entry) for entry in history.entries).items()
        for first, second in pairwise(entries)
        if second.seq != first.seq + 1 or second.epoch < first.epoch
    ]


def ends_are_final(history: History) -> list[str]:
    """A terminal state is left only for a new epoch, which begins in line."""
    found: list[str] = []
    for job, moves in _by_job((move.job, move) for move in history.moves).items():
        for before, after in pairwise(moves):
            is_reopened = after.state == "ready" and after.epoch == before.epoch + 1
            if before.state in TERMINAL and not is_reopened:
                found.append(f"{job} went from {before.state} to {after.state}")
            if before.state not in TERMINAL and after.epoch != before.epoch:
                found.append(f"{job} began epoch {after.epoch} while it was {before.state}")
    return found


def nothing_illegal(history: History) -> list[str]:
    """No transition was even tried that the table does not have."""
    return [f"{what} was tried {n} times" for what, n in history.illegal.items()]


def told_once(history: History) -> list[str]:
    """Whoever listens is told of each end and takes it in once, and of each event, which may be
    told again: it is a bell.
    """
    told, said = Counter(history.told), set(_said(history))
    return [
        f"{what} of {job} was {'' if (job, what) in said else 'never '}said, and taken in {n} times"
        for job, what in sorted(said | set(told))
        if not (n := told[job, what])
        or (n > 1 and what.startswith("finished:"))
        or (job, what) not in said
    ]


def _said(history: History) -> Iterator[tuple[str, str]]:
    for entry in history.entries:
        if entry.stream in history.jobs:
            yield entry.stream, f"{entry.epoch}-{entry.seq}"
            if entry.type == "end":
                yield entry.stream, f"finished:{entry.epoch}"


def effects_of_the_holder(history: History) -> list[str]:
    """Only who holds a job at the moment has effects."""
    return [
        f"{effect.job} did {effect.what} under fence {effect.fence}, which was {effect.current}"
        for effect in (*history.effects, *history.touches)
        if effect.fence != effect.current
    ]


ALWAYS: tuple[Check, ...] = (
    doubled_effects,
    effects_of_the_holder,
    fences,
    one_lease_per_job,
    one_lease_per_video,
    taken_only_when_run_out,
    one_end_per_epoch,
    gapless_events,
    ends_are_final,
    nothing_illegal,
    told_once,
)
"""The checks that need nothing but the history."""


def _by_job(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for job, value in pairs:
        found[job].append(value)
    return found


def _overlaps(holds: Iterable[Hold], about: Callable[[Hold], str]) -> list[str]:
    spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for hold in holds:
        for begin, end in hold.live():
            spans[about(hold)].append((begin, end, f"{hold.job} under fence {hold.fence}"))
    return [
        f"{first[2]} until {first[1]}, {second[2]} from {second[0]}"
        for each in spans.values()
        for first, second in pairwise(sorted(each))
        if second[0] < first[1]
    ]
