"""What is told beside the jobs is read from the writes, and what is wrong in it is seen."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from shared.contracts.records import StepOutput
from shared.contracts.results import Result
from tests.support.aof import Command, Group
from tests.support.dues import Due, dues_in, used_twice, wrong_jobs
from tests.support.replies import (
    HEARD,
    MADE,
    Reply,
    contradictions,
    done_twice,
    out_of_nothing,
    replies_in,
)
from tests.support.rights import PROBE_MS, REQUEST_MS, Right, rights_in, two_at_a_time
from tests.support.shelves import kept_by_strangers, orphans, shelf_in

REQUEST, BREAKER = "rw:t:acme:idempotency:ab", "rw:breaker:post:acme"
SCHEDULE, JOB = "rw:t:acme:schedule:nightly", "rw:t:acme:job:j1"
SOURCE, RESULT, INDEX = "rw:t:acme:source:aa", "rw:t:acme:result:aa:bb", "rw:t:acme:results:aa"


def alone(*commands: Command) -> list[Group]:
    return [(command,) for command in commands]


def begun(owner: str, at: int) -> Command:
    return ("HSET", REQUEST, "owner", owner, "until", str(at + REQUEST_MS))


def asked(token: str, at: int) -> Command:
    return ("HSET", BREAKER, "probe", token, "probe_until", str(at + PROBE_MS))


def test_a_right_lasts_until_it_is_given_back_or_has_run_out() -> None:
    kept = ("HSET", REQUEST, "until", "4000")
    given_back = ("HDEL", REQUEST, "owner", "until")
    assert rights_in(alone(begun("a", 1000), kept, begun("b", 4000), given_back)) == [
        Right(REQUEST, "a", 1000, 4000),
        Right(REQUEST, "b", 4000, 4000 + REQUEST_MS, was_given_back=True),
    ]


@pytest.mark.parametrize("end", [("DEL", "other", BREAKER), ("HDEL", BREAKER, "probe")])
def test_a_probe_ends_when_the_breaker_is_closed_or_opened_again(end: Command) -> None:
    rights = rights_in(alone(asked("a", 1000), end, asked("b", 1001)))
    assert [right.was_given_back for right in rights] == [True, False]
    assert two_at_a_time(rights) == []


@pytest.mark.parametrize(("take", "lasts"), [(begun, REQUEST_MS), (asked, PROBE_MS)])
def test_two_who_have_the_same_right_are_seen(
    take: Callable[[str, int], Command], lasts: int
) -> None:
    assert two_at_a_time(rights_in(alone(take("a", 0), take("b", lasts)))) == []
    assert len(two_at_a_time(rights_in(alone(take("a", 0), take("b", lasts - 1))))) == 1


def test_rights_about_different_things_may_be_had_at_a_time() -> None:
    assert two_at_a_time(rights_in(alone(begun("a", 0), asked("b", 0)))) == []


def test_what_was_made_kept_and_heard_is_told() -> None:
    note = ("MAXLEN", "~", "9", "1-1", "request", REQUEST, "what", "t")
    kept = ("HSET", REQUEST, "answer", "t")
    assert replies_in(alone(("XADD", MADE, *note), kept, ("XADD", HEARD, *note))) == [
        Reply(sort, REQUEST, "t") for sort in ("made", "kept", "heard")
    ]


RIGHT = [Reply("made", REQUEST, "t"), Reply("kept", REQUEST, "t"), Reply("heard", REQUEST, "t")]


def test_an_answer_that_is_heard_again_is_no_second_one() -> None:
    for check in (contradictions, done_twice, out_of_nothing):
        assert check([*RIGHT, RIGHT[-1]]) == []


def test_replies_that_are_wrong_are_seen() -> None:
    assert len(contradictions([*RIGHT, Reply("heard", REQUEST, "u")])) == 1
    assert len(contradictions([*RIGHT, Reply("made", REQUEST, "u")])) == 1
    assert len(done_twice([*RIGHT, RIGHT[0]])) == len(done_twice([*RIGHT, RIGHT[1]])) == 1
    assert len(out_of_nothing(RIGHT[1:])) == 2


def fired(at: int, *jobs: str, outcome: str = "fired") -> Group:
    made = [("ZADD", "rw:t:acme:jobs", "0", job) for job in jobs]
    return (("HSET", SCHEDULE, "last_at", str(at), "last_outcome", outcome), *made)


def test_a_time_is_told_with_the_jobs_of_the_same_moment() -> None:
    put = (("HSET", SCHEDULE, "next_at", "10"),)
    gone = (("DEL", SCHEDULE),)
    late = fired(10, outcome="overlap")
    assert dues_in([put, fired(10, "j1"), gone, late]) == [
        Due(SCHEDULE, 0, 10, "fired", (JOB,)),
        Due(SCHEDULE, 1, 10, "overlap", ()),
    ]


def test_a_time_that_is_used_twice_is_seen() -> None:
    dues = dues_in([fired(10, "j1"), fired(20, "j2")])
    assert used_twice(dues) == []
    assert len(used_twice([*dues, dues[0]])) == 1


@pytest.mark.parametrize(
    ("outcome", "jobs"), [("fired", ()), ("fired", ("j1", "j2")), ("overlap", ("j1",))]
)
def test_a_time_with_a_wrong_number_of_jobs_is_seen(outcome: str, jobs: tuple[str, ...]) -> None:
    assert wrong_jobs(dues_in([fired(10, "j1"), fired(20, outcome="overlap")])) == []
    assert len(wrong_jobs(dues_in([fired(10, *jobs, outcome=outcome)]))) == 1


def kept(fence: int) -> Group:
    result = Result(
        key="bb",
        source="aa",
        step="weigh",
        output=StepOutput(),
        job_id="j1",
        fence=fence,
        made_at=0,
    )
    return (("SET", RESULT, msgspec.json.encode(result).decode()), ("SADD", INDEX, "bb"))


CLAIMED: Group = (("HINCRBY", JOB, "fence", "1"),)
STORED: Group = (("ZADD", SOURCE, "0", "f1"),)
DROPPED: Group = (("ZREM", SOURCE, "f1"), ("DEL", RESULT), ("DEL", INDEX, "rw:t:acme:resting:aa"))


def test_a_result_is_told_with_who_kept_it_and_whether_there_were_files() -> None:
    shelf = shelf_in([CLAIMED, STORED, kept(1)])
    assert [(each.job, each.fence, each.source) for each in shelf.kept] == [(JOB, 1, SOURCE)]
    assert (kept_by_strangers(shelf), orphans(shelf), set(shelf.there)) == ([], [], {RESULT})
    assert orphans(shelf_in([CLAIMED, STORED, kept(1), DROPPED])) == []


def test_results_that_are_wrong_are_seen() -> None:
    assert len(kept_by_strangers(shelf_in([CLAIMED, CLAIMED, STORED, kept(1)]))) == 1
    assert len(orphans(shelf_in([CLAIMED, kept(1), STORED]))) == 1
    assert len(orphans(shelf_in([CLAIMED, STORED, kept(1), DROPPED[:1]]))) == 1
