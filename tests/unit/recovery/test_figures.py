"""How long a job of a killed worker took to be in other hands, and when that is fair to judge."""

from __future__ import annotations

import pytest

from tests.recovery.figures import (
    End,
    Life,
    Log,
    Recovery,
    Span,
    gave_up_waiting,
    percentile,
    recoveries,
)
from tests.support.history import History, Hold, Move

JOB, OTHER = "rw:t:acme:job:1", "rw:t:acme:job:2"


def hold(job: str, fence: int, pid: int, since: int, until: int) -> Hold:
    return Hold(job, "", fence, [(since, until)], f"media-p{pid}", "media", ended=until)


def a_history() -> History:
    """Worker 1 had a job when it was killed at 10,500; worker 2 had it from 12,800 on."""
    held = hold(JOB, 1, 1, 10_000, 12_000)
    held.ended, held.was_taken = 12_500, True
    return History(
        moves=[
            Move(JOB, "ready", "running", 1, 1, 10_000),
            Move(JOB, "running", "ready", 1, 2, 12_500),
            Move(JOB, "ready", "running", 1, 3, 12_800),
        ],
        holds=[
            held,
            hold(JOB, 3, 2, 12_800, 14_000),
        ],
    )


def a_log() -> Log:
    return Log(
        lives=[
            Life(1, "jobs", {"media": 2}, since=0, until=10_500, was_killed=True),
            Life(2, "jobs", {"media": 1}, since=5000),
        ]
    )


def test_it_counts_from_the_kill_to_the_next_claim() -> None:
    assert recoveries(a_history(), a_log()) == [Recovery(JOB, 2300, 300, was_free=True, outage="")]


def test_a_worker_that_was_told_to_leave_is_none_that_was_killed() -> None:
    log = a_log()
    log.lives[0].was_killed = False
    assert recoveries(a_history(), log) == []


def test_a_job_that_was_let_go_before_the_kill_does_not_count() -> None:
    history = a_history()
    history.holds[0].was_taken = False
    assert recoveries(history, a_log()) == []


def test_a_job_that_ended_because_its_worker_died_too_often_is_not_claimed_again() -> None:
    history = a_history()
    history.moves[1] = Move(JOB, "running", "failed", 1, 2, 12_500)
    assert recoveries(history, a_log()) == []


@pytest.mark.parametrize(
    ("since", "until", "is_free"), [(11_000, 12_500, True), (12_400, 12_700, False)]
)
def test_a_slot_is_not_free_while_another_job_is_in_it(
    since: int, until: int, is_free: bool
) -> None:
    history = a_history()
    history.holds.append(hold(OTHER, 1, 2, since, until))
    assert recoveries(history, a_log())[0].was_free == is_free


def test_a_worker_that_stood_still_was_not_free() -> None:
    log = a_log()
    log.stalls.append(Span("2", 11_000, 12_600))
    assert not recoveries(a_history(), log)[0].was_free


def test_a_worker_that_has_just_begun_or_ended_meanwhile_was_not_free() -> None:
    for change in ({"since": 11_000}, {"until": 12_700}):
        log = a_log()
        for name, value in change.items():
            setattr(log.lives[1], name, value)
        assert not recoveries(a_history(), log)[0].was_free


def test_another_pools_worker_is_no_help() -> None:
    log = a_log()
    log.lives[1].slots = {"drive": 4}
    assert not recoveries(a_history(), log)[0].was_free


@pytest.mark.parametrize(
    ("since", "until", "away"),
    [(9000, 10_400, ""), (9000, 10_600, "Redis"), (12_700, 20_000, "Redis"), (12_900, 20_000, "")],
)
def test_an_outage_meanwhile_is_named(since: int, until: int, away: str) -> None:
    log = a_log()
    log.outages.append(Span("Redis", since, until))
    assert recoveries(a_history(), log)[0].outage == away


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile(range(100, 0, -1), share) == value
    assert percentile([], share) == 0


@pytest.mark.parametrize(
    ("code", "said", "since", "is_excused"),
    [
        (1, "ERROR amqp://… cannot be reached: no answer", 8000, True),
        (1, "ERROR amqp://… cannot be reached: no answer", 10_600, False),
        (1, "ERROR the reaper has ended unexpectedly", 8000, False),
        (2, "ERROR amqp://… cannot be reached: no answer", 8000, False),
    ],
)
def test_only_who_waited_for_a_server_that_was_away_may_give_up(
    code: int, said: str, since: int, is_excused: bool
) -> None:
    log = a_log()
    log.outages.append(Span("RabbitMQ", since, since + 1000))
    assert gave_up_waiting(End(Life(3, "drive", {}, 5000, 10_500), code, said), log) == is_excused
