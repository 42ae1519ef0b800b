"""Every check of a history sees a history that is wrong, and lets a right one pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import checks
from tests.support.history import Effect, Entry, History, Hold, Move

JOB, OTHER = "rw:t:acme:job:1", "rw:t:acme:job:2"


def right() -> History:
    """A job that lost its worker once, failed, was retried and succeeded; beside it another one of
    the same video that was cancelled in line.
    """
    return History(
        jobs={
            JOB: {"state": "succeeded", "epoch": "2", "fence": "5"},
            OTHER: {"state": "cancelled", "epoch": "1", "fence": "0"},
        },
        moves=[
            Move(JOB, "", "accepted", 1, 0),
            Move(JOB, "accepted", "ready", 1, 0),
            Move(JOB, "ready", "running", 1, 1),
            Move(OTHER, "", "ready", 1, 0),
            Move(JOB, "running", "ready", 1, 2),
            Move(JOB, "ready", "running", 1, 3),
            Move(JOB, "running", "failed", 1, 3),
            Move(JOB, "failed", "ready", 2, 4),
            Move(JOB, "ready", "running", 2, 5),
            Move(OTHER, "ready", "cancelled", 1, 0),
            Move(JOB, "running", "succeeded", 2, 5),
        ],
        holds=[
            Hold(JOB, "acme v", 1, [(0, 1000)], "w1", ended=1200, was_taken=True),
            Hold(JOB, "acme v", 3, [(1300, 2800)], "w2", ended=2500),
            Hold(JOB, "acme v", 5, [(3000, 4000), (4100, 5100)], "w1", ended=4600),
        ],
        entries=[
            *(Entry(JOB, 1, seq, "state") for seq in (1, 2, 3, 4)),
            Entry(JOB, 1, 5, "end"),
            Entry(OTHER, 1, 1, "state"),
            Entry(JOB, 2, 6, "state"),
            Entry(OTHER, 1, 2, "end"),
            Entry(JOB, 2, 7, "end"),
        ],
        effects=[
            Effect(JOB, "cut", 1, 1, 1),
            Effect(JOB, "paste", 1, 3, 3),
            Effect(JOB, "file", 2, 5, 5),
        ],
        told=[
            *((JOB, f"1-{seq}") for seq in (1, 2, 4, 3, 5)),
            *((JOB, what) for what in ("finished:1", "2-6", "2-7", "finished:2")),
            *((OTHER, what) for what in ("1-1", "1-2", "finished:1")),
        ],
    )


Wrong = Callable[[History], None]


def hold(job: str, fence: int, begin: int, end: int) -> Hold:
    return Hold(job, "acme v", fence, [(begin, end)], "w9", ended=end)


def end_twice(history: History) -> None:
    history.entries += [Entry(OTHER, 1, 3, "end")]


def forget_to_end(history: History) -> None:
    history.entries = [entry for entry in history.entries if entry.type != "end"]


def go_on_after_the_end(history: History) -> None:
    history.entries += [Entry(OTHER, 1, 3, "state")]


def have_an_epoch_without_events(history: History) -> None:
    history.jobs[OTHER]["epoch"] = "2"


def take_too_early(history: History) -> None:
    history.holds[0].ended = 999


WRONG: tuple[tuple[checks.Check, Wrong], ...] = (
    (checks.doubled_effects, lambda h: h.effects.append(Effect(JOB, "cut", 2, 5, 5))),
    (checks.fences, lambda h: h.effects.append(Effect(JOB, "late", 1, 1, 1))),
    (checks.fences, lambda h: h.holds.append(hold(JOB, 5, 6000, 7000))),
    (checks.fences, lambda h: h.holds.append(hold(JOB, 4, 6000, 7000))),
    (checks.fences, lambda h: h.moves.append(Move(JOB, "succeeded", "ready", 3, 4))),
    (checks.one_lease_per_job, lambda h: h.holds.append(hold(JOB, 6, 2400, 2450))),
    (checks.one_lease_per_job, lambda h: h.holds.append(hold(JOB, 6, 4599, 7000))),
    (checks.one_lease_per_video, lambda h: h.holds.append(hold(OTHER, 1, 2400, 2450))),
    (checks.one_lease_per_video, lambda h: h.holds.append(hold(OTHER, 1, 1250, 1301))),
    (checks.taken_only_when_run_out, take_too_early),
    (checks.one_end_per_epoch, end_twice),
    (checks.one_end_per_epoch, forget_to_end),
    (checks.one_end_per_epoch, go_on_after_the_end),
    (checks.one_end_per_epoch, have_an_epoch_without_events),
    (checks.gapless_events, lambda h: h.entries.append(Entry(OTHER, 1, 4, "state"))),
    (checks.gapless_events, lambda h: h.entries.append(Entry(OTHER, 1, 2, "state"))),
    (checks.gapless_events, lambda h: h.entries.append(Entry(JOB, 1, 8, "state"))),
    (checks.ends_are_final, lambda h: h.moves.append(Move(OTHER, "cancelled", "failed", 1, 0))),
    (checks.ends_are_final, lambda h: h.moves.append(Move(OTHER, "cancelled", "ready", 1, 0))),
    (checks.ends_are_final, lambda h: h.moves.append(Move(JOB, "succeeded", "running", 3, 6))),
    (checks.ends_are_final, lambda h: h.moves.insert(5, Move(JOB, "ready", "ready", 2, 3))),
    (checks.nothing_illegal, lambda h: h.illegal.update({"failed>running": 1})),
    (checks.told_once, lambda h: h.told.remove((JOB, "1-4"))),
    (checks.told_once, lambda h: h.told.remove((JOB, "finished:2"))),
    (checks.told_once, lambda h: h.told.append((JOB, "finished:2"))),
    (checks.told_once, lambda h: h.told.append((OTHER, "1-3"))),
    (checks.effects_of_the_holder, lambda h: h.touches.append(Effect(JOB, "late", 1, 4, 5))),
    (checks.fences, lambda h: h.touches.extend([Effect(JOB, "a", 1, n, n) for n in (3, 1)])),
    (checks.effects_of_the_holder, lambda h: h.effects.append(Effect(JOB, "late", 1, 4, 5))),
)


@pytest.mark.parametrize("check", checks.ALWAYS, ids=lambda check: check.__name__)
def test_the_check_lets_a_right_history_pass(check: checks.Check) -> None:
    assert check(right()) == []


@pytest.mark.parametrize(("check", "wrong"), WRONG)
def test_the_check_sees_what_is_wrong(check: checks.Check, wrong: Wrong) -> None:
    history = right()
    wrong(history)
    assert len(check(history)) >= 1


def test_every_check_has_a_history_that_it_catches() -> None:
    assert {check for check, _ in WRONG} == set(checks.ALWAYS)


def test_leases_that_only_touch_do_not_overlap() -> None:
    history = right()
    history.holds += [hold(JOB, 6, 4600, 4700), hold(OTHER, 1, 4700, 4800)]
    assert checks.one_lease_per_job(history) == []
    assert checks.one_lease_per_video(history) == []


def test_jobs_without_a_lock_may_be_held_side_by_side() -> None:
    history = right()
    history.holds += [Hold(job, "", 9, [(9000, 9900)]) for job in (JOB, OTHER)]
    assert checks.one_lease_per_video(history) == []


def test_a_lease_that_has_run_out_holds_nobody_off() -> None:
    history = right()
    history.holds.insert(1, hold(OTHER, 1, 1000, 1100))
    assert checks.one_lease_per_video(history) == []


def test_a_job_that_was_accepted_and_is_not_there_is_lost() -> None:
    assert checks.lost(right(), {JOB, OTHER}) == []
    assert len(checks.lost(right(), {JOB, "rw:t:acme:job:3"})) == 1


@pytest.mark.parametrize("state", ["ready", "running", "blocked", "retrying", "cancelling"])
def test_a_job_that_has_not_ended_is_lost(state: str) -> None:
    history = right()
    history.jobs[JOB]["state"] = state
    assert len(checks.lost(history, set())) == 1


def test_an_effect_that_is_missing_is_seen_only_where_the_job_succeeded() -> None:
    wanted = {JOB: ("cut", "paste", "file"), OTHER: ("cut",)}
    assert checks.missing_effects(right(), wanted) == []
    history = right()
    del history.effects[1]
    assert checks.missing_effects(history, wanted) == [f"{JOB} succeeded without paste"]
