"""What becomes of failed attempts, and the places from which they go on."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.records import Artifact, Job, JobError, StepStatus
from shared.errors import NotFound, Unavailable
from shared.work.checkpoint import MAX_BYTES, Checkpoint, seal, unseal
from shared.work.context import overall_progress
from shared.work.failures import RetryPolicy, describe, verdict
from shared.work.step import BadInput, StepFailed

POLICY = RetryPolicy()
CHECKPOINT = Checkpoint(
    step="crop",
    state={"parts": 3},
    artifacts=(Artifact(name="a.bin", key="acme/work/j/1/a.bin", size=7, sha256="00"),),
)


def failed(error_class: str = "transient", code: str = "somehow") -> JobError:
    return JobError(code=code, error_class=error_class, detail="it broke", step="crop")


@pytest.mark.parametrize("error_class", ["transient", "dependency"])
def test_what_may_pass_is_tried_again(error_class: str) -> None:
    kept, delay = verdict(failed(error_class), 1, POLICY)
    assert kept == failed(error_class)
    assert delay is not None
    assert 2.5 <= delay <= 5.0


@pytest.mark.parametrize("error_class", ["bad_input", "quota", "bug", "cancelled", "worker_lost"])
def test_what_cannot_pass_is_not_tried_again(error_class: str) -> None:
    assert verdict(failed(error_class), 1, POLICY) == (failed(error_class), None)


def test_after_the_last_attempt_there_is_no_other() -> None:
    assert verdict(failed(), POLICY.attempts - 1, POLICY)[1] is not None
    assert verdict(failed(), POLICY.attempts, POLICY)[1] is None


@pytest.mark.parametrize("code", ["step_crashed", "step_hung"])
def test_content_that_brings_the_child_down_three_times_is_to_blame(code: str) -> None:
    assert verdict(failed(code=code), 2, POLICY)[1] is not None
    kept, delay = verdict(failed(code=code), 3, POLICY)
    assert delay is None
    assert (kept.code, kept.error_class, kept.step) == ("undecodable_video", "bad_input", "crop")
    assert "3 times" in kept.detail
    assert kept.hint


def test_the_wait_doubles_up_to_the_cap() -> None:
    waits = [POLICY.delay(attempt, chance=lambda: 1.0) for attempt in range(1, 12)]
    assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
    assert waits[-1] == POLICY.cap


def test_five_attempts_are_made_within_75_seconds_and_no_sixth() -> None:
    now, begun = 0.0, [0.0]
    while (wait := verdict(failed(), len(begun), POLICY)[1]) is not None:
        now += wait
        begun.append(now)
    assert len(begun) == 5
    assert 37.5 <= now <= 75.0
    waits = [later - sooner for sooner, later in pairwise(begun)]
    assert all(2.5 * 2**n <= wait <= 5 * 2**n for n, wait in enumerate(waits))


@given(st.integers(1, 100), st.floats(0, 1))
def test_chance_shortens_a_wait_by_half_at_most(attempt: int, chance: float) -> None:
    whole = POLICY.delay(attempt, chance=lambda: 1.0)
    assert whole / 2 <= POLICY.delay(attempt, chance=lambda: chance) <= whole


def test_a_step_says_itself_why_it_failed() -> None:
    error = describe(BadInput("not_a_video", "a picture", hint="upload a video"), "store")
    assert error == JobError(
        code="not_a_video",
        error_class="bad_input",
        detail="a picture",
        hint="upload a video",
        step="store",
    )


def test_what_is_away_is_a_dependency() -> None:
    error = describe(Unavailable("no blobs", code="blobs_unavailable"), "crop")
    assert (error.code, error.error_class) == ("blobs_unavailable", "dependency")


def test_any_other_error_is_a_defect_and_keeps_its_words_to_itself() -> None:
    error = describe(ValueError("password=geheim"), "crop")
    assert (error.code, error.error_class) == ("internal", "bug")
    assert "geheim" not in error.detail
    assert describe(NotFound("no such blob"), "crop").detail == "no such blob"


def test_endless_details_are_cut() -> None:
    error = describe(StepFailed("x", "y" * 10_000, error_class="transient"), "crop")
    assert len(error.detail) == 2000


def test_a_checkpoint_comes_back_as_it_was_sealed() -> None:
    assert unseal(seal(CHECKPOINT)) == CHECKPOINT


def test_a_checkpoint_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=f"over {MAX_BYTES}"):
        seal(Checkpoint(step="crop", state={"all": "x" * MAX_BYTES}))


@pytest.mark.parametrize("raw", [None, b"", b"{", b"[]", b"null", b'{"v":1}', b"\xff\xfe"])
def test_what_is_no_checkpoint_is_none(raw: bytes | None) -> None:
    assert unseal(raw) is None


@given(st.integers(0, len(seal(CHECKPOINT)) - 1), st.integers(1, 255))
def test_a_checkpoint_with_a_broken_byte_is_never_another_one(place: int, flip: int) -> None:
    raw = bytearray(seal(CHECKPOINT))
    raw[place] ^= flip
    assert unseal(bytes(raw)) in (None, CHECKPOINT)


def test_a_checkpoint_cut_short_is_none() -> None:
    raw = seal(CHECKPOINT)
    assert all(unseal(raw[:length]) is None for length in range(len(raw)))


def test_a_checkpoint_of_another_version_is_none() -> None:
    raw = msgspec.json.decode(seal(CHECKPOINT), type=dict[str, msgspec.Raw])
    assert unseal(msgspec.json.encode({**raw, "v": msgspec.Raw(b"2")})) is None


def job(*weights: float) -> Job:
    steps = tuple(
        StepStatus(name=f"s{number}", pool="media", weight=weight)
        for number, weight in enumerate(weights)
    )
    return Job(
        id="j",
        tenant="acme",
        flow="process_video",
        subject="v",
        pool="media",
        state="running",
        base=50,
        waiting_since=0,
        created_at=0,
        updated_at=0,
        steps=steps,
    )


@pytest.mark.parametrize(
    ("step", "fraction", "overall"),
    [
        ("s0", 0.0, 0.0),
        ("s0", 1.0, 0.25),
        ("s1", 0.0, 0.25),
        ("s1", 0.5, 0.625),
        ("s1", 1.0, 1.0),
        ("s1", 7.0, 1.0),
        ("s1", -7.0, 0.25),
        ("gone", 0.5, 0.0),
    ],
)
def test_progress_of_a_job_weighs_its_steps(step: str, fraction: float, overall: float) -> None:
    assert overall_progress(job(1, 3), step, fraction) == overall


def test_a_job_without_weights_is_at_its_beginning() -> None:
    assert overall_progress(job(), "s0", 1.0) == 0.0
    assert overall_progress(job(0), "s0", 1.0) == 0.0


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_progress_never_goes_back(weights: list[float], one: float, other: float) -> None:
    work = job(*weights)
    told = [
        overall_progress(work, step.name, fraction)
        for step in work.steps
        for fraction in sorted((one, other))
    ]
    assert all(before <= after + 1e-9 for before, after in pairwise(told))
    assert all(0 <= fraction <= 1 + 1e-9 for fraction in told)
