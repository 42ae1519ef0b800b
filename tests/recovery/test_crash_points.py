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
from tests.support import cargo, checks, dues, replies, rights, shelves
from tests.support.points import all_points
from tests.support.strikes import FAULTS, Fault

pytestmark = pytest.mark.timeout(400)  # whichever test comes first waits for the run


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


def test_what_one_alone_may_do_is_done_by_one_at_a_time(outcome: Outcome) -> None:
    assert rights.two_at_a_time(outcome.rights) == []
    assert {right.was_given_back for right in outcome.rights} == {True, False}


@pytest.mark.parametrize(
    "check", [replies.contradictions, replies.done_twice, replies.out_of_nothing]
)
def test_a_request_is_carried_out_once_and_answered_so(
    outcome: Outcome, check: replies.Check
) -> None:
    assert check(outcome.replies) == []
    assert {reply.sort for reply in outcome.replies} == {"made", "kept", "heard"}


@pytest.mark.parametrize("check", [dues.used_twice, dues.wrong_jobs])
def test_each_time_of_a_recurring_job_is_used_once(outcome: Outcome, check: dues.Check) -> None:
    assert check(outcome.dues) == []
    assert "fired" in {due.outcome for due in outcome.dues} <= {"fired", "overlap"}


@pytest.mark.parametrize(
    "check", [cargo.went_back, cargo.two_at_a_time, cargo.gaps, cargo.wrongly_said]
)
def test_uploads_in_pieces_only_grow_and_are_told_of_once(
    outcome: Outcome, check: cargo.Check
) -> None:
    assert check(outcome.cargo) == []
    assert outcome.cargo.said


def test_space_is_what_was_taken_and_not_given_back(outcome: Outcome) -> None:
    assert outcome.larder.wrong == []
    assert outcome.larder.changes > len(outcome.cargo.uploads)


@pytest.mark.parametrize("check", [shelves.kept_by_strangers, shelves.orphans])
def test_results_are_kept_by_who_holds_the_job_while_there_are_files(
    outcome: Outcome, check: shelves.Check
) -> None:
    assert check(outcome.shelf) == []
    assert outcome.shelf.kept


def test_results_of_other_jobs_were_taken(outcome: Outcome) -> None:
    jobs = (outcome.history.job(key) for key in outcome.history.jobs)
    assert any(output.taken_from for job in jobs for output in job.outputs.values())


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
