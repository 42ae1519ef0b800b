from __future__ import annotations

import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import now_ms, rfc3339
from shared.ids import derived_id, derived_id_at, is_id, new_id

AN_ID = "0191d8a0-7c1e-7b3a-8f00-5a1d2c3b4e0f"


def test_a_new_id_is_a_uuid_of_version_7() -> None:
    made = UUID(new_id())
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


def test_a_new_id_begins_with_the_time_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(new_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_new_ids_differ() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_ids_sort_by_time() -> None:
    earlier, later = new_id(), new_id()
    while later[:13] == earlier[:13]:
        later = new_id()
    assert earlier < later


def test_a_derived_id_is_always_the_same_and_an_id() -> None:
    assert derived_id("file", "u1") == derived_id("file", "u1")
    assert is_id(derived_id("file", "u1"))
    assert is_id(new_id())


@given(st.lists(st.text("ab", max_size=3), max_size=3), st.lists(st.text("ab", max_size=3)))
def test_derived_ids_of_other_parts_are_others(one: list[str], other: list[str]) -> None:
    is_same = "\x1f".join(one) == "\x1f".join(other)
    assert (derived_id(*one) == derived_id(*other)) == is_same


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        AN_ID.upper(),
        AN_ID.replace("-", ""),
        f"{AN_ID}\n",
        f" {AN_ID}",
        f"{{{AN_ID}}}",
        "../" + AN_ID,
        "0191d8a0-7c1e-7b3a-8f00-5a1d2c3b4e0g",
    ],
)
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_709_208_000_500, "2024-02-29T12:00:00.500Z"),
        (1_763_625_600_000, "2025-11-20T08:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(milliseconds: int, text: str) -> None:
    assert rfc3339(milliseconds) == text


def test_the_clock_gives_milliseconds_since_the_epoch() -> None:
    assert abs(now_ms() - time.time() * 1000) < 1000


def test_a_derived_id_sorts_with_the_fresh_ids_of_its_moment() -> None:
    early, late = derived_id_at(1000, "a"), derived_id_at(1001, "a")
    assert early < late < new_id()
    assert early == derived_id_at(1000, "a") != derived_id_at(1000, "b")
    assert is_id(early)
    assert UUID(early).version == 7
