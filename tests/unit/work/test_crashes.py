"""When content is blamed for crashes, and what texts become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.records import JobError
from shared.work.failures import RetryPolicy, is_crash, verdict
from shared.work.ledger import cut

POLICY = RetryPolicy()
CRASH = JobError(code="step_crashed", error_class="transient", detail="SIGSEGV")


@pytest.mark.parametrize(("crashes", "blamed"), [(1, False), (2, False), (3, True), (4, True)])
def test_only_crashes_count_against_the_content(crashes: int, blamed: bool) -> None:
    kept, delay = verdict(CRASH, 4, POLICY, crashes=crashes)
    assert (kept.error_class == "bad_input") == blamed == (delay is None)


def test_a_child_that_says_it_is_our_defect_blames_nobody_else() -> None:
    ours = JobError(code="step_crashed", error_class="bug", detail="KeyError")
    assert not is_crash(ours)
    assert verdict(ours, 4, POLICY, crashes=4) == (ours, None)


def test_the_last_attempt_is_the_last_for_crashes_too() -> None:
    assert verdict(CRASH, POLICY.attempts, POLICY, crashes=1) == (CRASH, None)


@given(st.text(st.characters(), max_size=50), st.integers(0, 60))
def test_any_text_is_cut_to_something_utf8_can_say(text: str, length: int) -> None:
    short = cut(text, length)
    short.encode()
    assert len(short) == min(length, len(text))
    if text.isascii():
        assert short == text[:length]
