"""RFC 9110 sections 13 to 15 as a table: what is asked, what is decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from shared.http.ranges import (
    Decision,
    NotModified,
    Partial,
    PreconditionFailed,
    Several,
    Unsatisfiable,
    Whole,
    combined,
    decide,
    select,
)

ETAG = '"v1"'
MODIFIED = 784111777
AT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
PART = Partial(0, 2)


def asked(headers: dict[str, str], method: str = "GET", size: int = 10) -> Decision:
    fields = combined(CIMultiDict(headers))
    return decide(method, fields, size=size, etag=ETAG, modified=MODIFIED)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-1", Partial(0, 2)),
        ("bytes=0-", Partial(0, 10)),
        ("bytes=9-", Partial(9, 10)),
        ("bytes=5-99", Partial(5, 10)),
        ("bytes=-3", Partial(7, 10)),
        ("bytes=-99", Partial(0, 10)),
        ("bytes=0-0", Partial(0, 1)),
        ("bytes=9-9", Partial(9, 10)),
        ("Bytes=0-1", Partial(0, 2)),
        ("bytes=00000-0001", Partial(0, 2)),
        (" bytes= 0-1 ", Partial(0, 2)),
        ("bytes=,,0-1,,", Partial(0, 2)),
        ("bytes=0-1,5-6", Several((Partial(0, 2), Partial(5, 7)))),
        ("bytes=5-6 ,\t0-1", Several((Partial(5, 7), Partial(0, 2)))),
        ("bytes=0-0,-1", Several((Partial(0, 1), Partial(9, 10)))),
        ("bytes=0-1,50-60", Partial(0, 2)),
        ("bytes=0-1,-0", Partial(0, 2)),
        ("bytes=0-,0-", Whole()),
        ("bytes=0-9,0-9", Whole()),
        ("bytes=" + ",".join(["0-0"] * 8), Several((Partial(0, 1),) * 8)),
        ("bytes=" + ",".join(["0-0"] * 9), Whole()),
        ("bytes=" + ",".join(["0-0"] * 2000), Whole()),
        ("bytes=10-", Unsatisfiable(10)),
        ("bytes=10-20", Unsatisfiable(10)),
        ("bytes=-0", Unsatisfiable(10)),
        ("bytes=-00", Unsatisfiable(10)),
        ("bytes=-0,50-", Unsatisfiable(10)),
        ("bytes=" + "9" * 6000 + "-", Unsatisfiable(10)),
        ("bytes=0-" + "9" * 6000, Partial(0, 10)),
        ("bytes=-" + "9" * 6000, Partial(0, 10)),
        ("items=0-5", Whole()),
        ("bytes", Whole()),
        ("bytes=", Whole()),
        ("bytes=,", Whole()),
        ("bytes=-", Whole()),
        ("bytes=1", Whole()),
        ("bytes=2-1", Whole()),
        ("bytes=0-1,2-1", Whole()),
        ("bytes=a-b", Whole()),
        ("bytes=0x0-1", Whole()),
        ("bytes=+0-1", Whole()),
        ("bytes=0--1", Whole()),
        ("bytes=0-1-2", Whole()),
        ("bytes=1_0-", Whole()),
        ("bytes=\u0661-\u0662", Whole()),
        ("bytes=0 - 1", Whole()),
        ("bytes: 0-1", Whole()),
        ("bytes=0-1;5-6", Whole()),
        ("bytes=0-1\x00", Whole()),
        ("", Whole()),
        ("bytes=0-1, bytes=5-6", Whole()),
    ],
)
def test_range_selects(field: str, expected: Decision) -> None:
    assert asked({"Range": field}) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-", Unsatisfiable(0)),
        ("bytes=0-0", Unsatisfiable(0)),
        ("bytes=-0", Unsatisfiable(0)),
        ("bytes=-5", Whole()),
    ],
)
def test_empty_content_has_no_range_but_satisfies_a_suffix(field: str, expected: Decision) -> None:
    assert asked({"Range": field}, size=0) == expected


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_range_means_nothing_for_other_methods(method: str) -> None:
    assert asked({"Range": "bytes=0-1"}, method) == Whole()


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (ETAG, PART),
        (f" {ETAG} ", PART),
        ('"other"', Whole()),
        (f"W/{ETAG}", Whole()),
        (f'{ETAG}, "other"', Whole()),
        ("*", Whole()),
        ("", Whole()),
        ("v1", Whole()),
        (AT, PART),
        ("Sunday, 06-Nov-94 08:49:37 GMT", PART),
        ("Sun Nov  6 08:49:37 1994", PART),
        (BEFORE, Whole()),
        (AFTER, Whole()),
        ("yesterday", Whole()),
    ],
)
def test_if_range_takes_only_what_is_exactly_the_same(field: str, expected: Decision) -> None:
    assert asked({"Range": "bytes=0-1", "If-Range": field}) == expected


def test_if_range_keeps_an_unsatisfiable_range_away_from_other_content() -> None:
    assert asked({"Range": "bytes=50-", "If-Range": '"other"'}) == Whole()
    assert asked({"Range": "bytes=50-", "If-Range": ETAG}) == Unsatisfiable(10)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"If-Match": ETAG}, Whole()),
        ({"If-Match": "*"}, Whole()),
        ({"If-Match": f'"a" , {ETAG}'}, Whole()),
        ({"If-Match": f'"with,comma",{ETAG}'}, Whole()),
        ({"If-Match": f"W/{ETAG}"}, PreconditionFailed()),
        ({"If-Match": '"a"'}, PreconditionFailed()),
        ({"If-Match": '"*"'}, PreconditionFailed()),
        ({"If-Match": "v1"}, PreconditionFailed()),
        ({"If-Match": f"junk {ETAG}"}, PreconditionFailed()),
        ({"If-Match": ""}, PreconditionFailed()),
        ({"If-Match": '"' + "a" * 8000}, PreconditionFailed()),
        ({"If-Unmodified-Since": AT}, Whole()),
        ({"If-Unmodified-Since": AFTER}, Whole()),
        ({"If-Unmodified-Since": BEFORE}, PreconditionFailed()),
        ({"If-Unmodified-Since": "junk"}, Whole()),
        ({"If-Match": ETAG, "If-Unmodified-Since": BEFORE}, Whole()),
        ({"If-None-Match": ETAG}, NotModified()),
        ({"If-None-Match": f"W/{ETAG}"}, NotModified()),
        ({"If-None-Match": f'"a",{ETAG}'}, NotModified()),
        ({"If-None-Match": "*"}, NotModified()),
        ({"If-None-Match": '"a"'}, Whole()),
        ({"If-None-Match": "v1"}, Whole()),
        ({"If-None-Match": '"a"', "If-Modified-Since": AT}, Whole()),
        ({"If-Modified-Since": AT}, NotModified()),
        ({"If-Modified-Since": AFTER}, NotModified()),
        ({"If-Modified-Since": BEFORE}, Whole()),
        ({"If-Modified-Since": f"{AT}, {AT}"}, Whole()),
        ({"If-Modified-Since": "Sun, 31 Feb 1994 08:49:37 GMT"}, Whole()),
        ({"If-None-Match": ETAG, "Range": "bytes=0-1"}, NotModified()),
        ({"If-None-Match": ETAG, "Range": "bytes=50-"}, NotModified()),
        ({"If-Match": '"a"', "If-None-Match": ETAG}, PreconditionFailed()),
        ({"If-Match": '"a"', "Range": "bytes=0-1"}, PreconditionFailed()),
        ({"If-Match": ETAG, "Range": "bytes=0-1"}, PART),
    ],
)
def test_preconditions_in_the_order_of_the_standard(
    headers: dict[str, str], expected: Decision
) -> None:
    assert asked(headers) == expected


def test_head_evaluates_preconditions_like_get() -> None:
    assert asked({"If-None-Match": ETAG}, "HEAD") == NotModified()
    assert asked({"If-Match": '"a"'}, "HEAD") == PreconditionFailed()


def test_changing_methods_fail_where_reading_would_be_not_modified() -> None:
    assert asked({"If-None-Match": "*"}, "PUT") == PreconditionFailed()
    assert asked({"If-Modified-Since": AT}, "PUT") == Whole()


def test_dates_are_ignored_where_the_content_has_none() -> None:
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        assert decide("GET", {name: BEFORE}, size=1, etag=ETAG) == Whole()
    fields = {"Range": "bytes=0-0", "If-Range": AT}
    assert decide("GET", fields, size=1, etag=ETAG) == Whole()


def test_repeated_fields_are_one_list() -> None:
    headers = CIMultiDict([("if-none-match", '"a"'), ("If-None-Match", ETAG)])
    assert decide("GET", combined(headers), size=1, etag=ETAG) == NotModified()


@given(st.text(max_size=60), st.integers(0, 1000))
def test_any_text_selects_something_inside_the_content(text: str, size: int) -> None:
    check_inside(select(f"bytes={text}", size), size)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=10), st.integers(0, 40))
def test_any_ranges_select_something_inside_the_content(
    pairs: list[tuple[int, int]], size: int
) -> None:
    check_inside(select("bytes=" + ",".join(f"{a}-{b}" for a, b in pairs), size), size)


def check_inside(decision: Decision, size: int) -> None:
    parts = decision.parts if isinstance(decision, Several) else (decision,)
    for part in parts:
        if isinstance(part, Partial):
            assert 0 <= part.start < part.stop <= size
    if isinstance(decision, Several):
        assert sum(part.stop - part.start for part in decision.parts) <= size
