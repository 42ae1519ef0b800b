from __future__ import annotations

import pytest

from shared.bus.outcomes import Again, Brake, Bury, RetryPolicy
from shared.errors import Conflict, Invalid, Later, NotFound, Rejected, Unavailable


@pytest.mark.parametrize("error", [Rejected(), Invalid(), NotFound(), Conflict()])
def test_what_is_rejected_is_buried_at_once(error: Rejected) -> None:
    outcome = RetryPolicy().after(error, 1)
    assert outcome == Bury(f"{error.code}: {error.detail}", alarming=False)


def test_later_is_again_and_no_attempt() -> None:
    assert RetryPolicy(attempts=1).after(Later(7.5), 1) == Again(7.5, counted=False)


@pytest.mark.parametrize("error", [RuntimeError("x"), Unavailable(), TimeoutError(), KeyError(1)])
def test_anything_else_is_tried_again(error: Exception) -> None:
    policy = RetryPolicy(first=1, chance=lambda: 1.0)
    assert policy.after(error, 1) == Again(1.0, counted=True)


def test_the_last_attempt_is_buried_with_its_error() -> None:
    outcome = RetryPolicy(attempts=3).after(ValueError("no good"), 3)
    assert outcome == Bury("failed 3 times, at last with ValueError: no good")


def test_rests_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first=1, longest=10, chance=lambda: 1.0)
    assert [policy.delay(attempt) for attempt in (1, 2, 3, 4, 5, 500)] == [1, 2, 4, 8, 10, 10]


def test_chance_takes_up_to_half_of_a_rest() -> None:
    assert RetryPolicy(first=4, chance=lambda: 0.0).delay(1) == 2
    delays = {RetryPolicy().delay(3) for _ in range(50)}
    assert len(delays) > 10
    assert all(2 <= delay <= 4 for delay in delays)


def test_the_brake_is_on_when_most_were_buried_and_comes_off_again() -> None:
    now = 0.0
    brake = Brake(lambda: now, window=4, pause=10)
    for is_bad in (True, True, True, False):
        assert brake.remaining == 0
        brake.note(is_bad=is_bad)
    assert brake.remaining == 10
    now = 9
    assert brake.remaining == 1
    now = 11
    assert brake.remaining == 0
    brake.note(is_bad=True)
    assert brake.remaining == 0


def test_the_brake_stays_off_when_half_were_buried() -> None:
    brake = Brake(lambda: 0.0, window=4)
    for is_bad in (True, False) * 10:
        brake.note(is_bad=is_bad)
    assert brake.remaining == 0
