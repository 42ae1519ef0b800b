"""A death, a lost reply, a silence, a repetition, at every point where that matters: nothing is
lost, nothing is done twice, nothing sticks.

All of it is one run (:mod:`tests.recovery.matrix`), which the tests here look at. ``CRASH_SEED``
chooses another order of faults.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.recovery.clerk import is_settled
from tests.recovery.matrix import strike_everywhere
from tests.recovery.outcome import Outcome
from tests.recovery.parcels import DONE
from tests.support import checks
from tests.support.points import all_points
from tests.support.strikes import FAULTS, Fault

pytestmark = pytest.mark.timeout(240)  # whichever test comes first waits for the run


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    seed = int(os.environ.get("CRASH_SEED", "1"))
    return strike_everywhere(tmp_path_factory.mktemp("crash-points"), seed)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", all_points())
def test_the_work_comes_to_the_point_and_the_fault_strikes(
    outcome: Outcome, point: str, fault: Fault
) -> None:
    assert (point, fault) in outcome.struck


@pytest.mark.parametrize("check", checks.ALWAYS, ids=lambda check: check.__name__)
def test_what_happened_keeps_the_rule(outcome: Outcome, check: checks.Check) -> None:
    assert check(outcome.history) == []


def test_no_job_that_was_accepted_is_lost(outcome: Outcome) -> None:
    assert checks.lost(outcome.history, {order.key for order in outcome.orders}) == []


def test_every_job_that_succeeded_has_done_all_it_was_for(outcome: Outcome) -> None:
    jobs = outcome.history.jobs
    assert checks.missing_effects(outcome.history, {j: DONE[jobs[j]["flow"]] for j in jobs}) == []


def test_every_order_came_to_the_end_that_it_has(outcome: Outcome) -> None:
    ends = {order: outcome.history.job(order.key) for order in outcome.orders}
    assert [str(job) for order, job in ends.items() if not is_settled(order, job)] == []
    assert len(Counter(order.kind for order in ends)) > 1


def test_the_ledger_keeps_nothing_as_if_jobs_still_waited_or_ran(outcome: Outcome) -> None:
    assert outcome.left_over == ()


def test_no_message_was_given_up(outcome: Outcome) -> None:
    assert outcome.buried == ()


def test_every_file_that_a_step_passed_on_is_whole(outcome: Outcome) -> None:
    assert outcome.damaged == ()


def test_every_process_ended_by_a_strike_or_by_leaving(outcome: Outcome) -> None:
    assert outcome.failures == ()


def test_the_history_is_what_redis_holds(outcome: Outcome) -> None:
    told, forgotten = outcome.history.jobs, set(outcome.history.forgotten)
    assert {job: told[job] for job in told if job not in forgotten} == outcome.held
    assert forgotten
