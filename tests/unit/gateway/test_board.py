"""Progress: the latest of each job, bounded, and never after the state that followed it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.board import AT_A_TIME, MOST_JOBS, Board
from services.gateway.entries import MOVING, Entry, Position


def progress(seq: int, job: str = "j", state: str = "running", epoch: int = 1) -> Entry:
    return Entry(
        position=(0, 0),
        at=(epoch, seq),
        type="progress",
        job=job,
        video="v",
        flow="f",
        state=state,
        frame=b"",
    )


def state(name: str, seq: int, job: str = "j", epoch: int = 1) -> Entry:
    return msgspec.structs.replace(progress(seq, job, name, epoch), type="state")


def shown(board: Board, version: int = 0) -> list[Position]:
    return [entry.at for _, entry in board.after(version)]


def moving(*jobs: str) -> Board:
    board = Board()
    board.seen(state("running", 1, job) for job in jobs or ("j",))
    return board


def test_only_the_latest_of_a_job_is_kept() -> None:
    board = moving()
    assert all(board.moved(progress(seq)) for seq in (2, 3, 4))
    assert shown(board) == [(1, 4)]


def test_a_reader_gets_what_is_new_since_it_looked() -> None:
    board = moving("a", "b")
    board.moved(progress(2, "a"))
    board.moved(progress(2, "b"))
    version = board.after(0)[-1][0]
    assert shown(board, version) == []
    board.moved(progress(3, "a"))
    assert shown(board, version) == [(1, 3)]


def test_progress_waits_until_the_stream_says_that_the_job_moves() -> None:
    board = Board()
    assert not board.moved(progress(2))
    assert not board.moved(progress(3))
    board.seen([state("ready", 1)])
    assert shown(board) == []
    board.seen([state("running", 2)])
    assert shown(board) == [(1, 3)]


def test_progress_of_a_state_that_is_over_is_gone_also_when_it_comes_late() -> None:
    for name in ("succeeded", "failed", "cancelled", "ready", "retrying", "paused"):
        board = moving()
        board.moved(progress(2))
        board.seen([state(name, 3)])
        assert shown(board) == []
        board.moved(progress(2))
        assert shown(board) == []
        board.seen([state("running", 4)])
        assert shown(board) == []


def test_a_straggler_of_an_earlier_attempt_is_passed_over() -> None:
    board = moving()
    board.seen([state("ready", 5), state("running", 6)])
    assert not board.moved(progress(4))
    assert board.moved(progress(7))
    board.seen([state("running", 9, epoch=2)])
    assert shown(board) == []
    assert not board.moved(progress(8))


def test_newer_progress_is_held_back_while_an_older_state_is_read() -> None:
    board = moving()
    board.moved(progress(10))
    board.seen([state("ready", 8)])
    assert shown(board) == []
    board.seen([state("running", 9)])
    assert shown(board) == [(1, 10)]


def test_the_order_of_the_bus_does_not_matter() -> None:
    board = moving()
    assert board.moved(progress(5))
    assert not board.moved(progress(4))
    assert shown(board) == [(1, 5)]


def test_what_was_missed_may_have_been_the_end() -> None:
    board = moving()
    board.moved(progress(2))
    board.clear()
    board.moved(progress(3))
    assert shown(board) == []


def test_jobs_of_the_ledger_move_from_their_latest_event_on() -> None:
    board = Board()
    plain = {"epoch": 1, "seq": 5}
    board.unfinished(
        [{"job": "j", "state": "running", **plain}, {"job": "k", "state": "ready"} | plain]
    )
    assert not board.moved(progress(4))
    assert board.moved(progress(6))
    assert not board.moved(progress(6, "k"))
    assert shown(board) == [(1, 6)]


def test_those_that_moved_last_stay_when_there_are_too_many() -> None:
    board = moving(*(str(n) for n in range(MOST_JOBS)))
    for n in range(MOST_JOBS):
        assert board.moved(progress(2, str(n)))
    board.seen([state("running", 1, "one more")])
    assert not board.moved(progress(3, "0"))
    assert board.moved(progress(3, "2"))
    assert len(board._jobs) == MOST_JOBS


def test_much_progress_comes_in_lots_the_oldest_first() -> None:
    board = moving(*(str(n) for n in range(MOST_JOBS)))
    for n in range(MOST_JOBS):
        board.moved(progress(2, str(n)))
    version, jobs = 0, []
    while lot := board.after(version):
        assert len(lot) <= AT_A_TIME
        jobs += [entry.job for _, entry in lot]
        version = lot[-1][0]
    assert jobs == [str(n) for n in range(MOST_JOBS)]


STATES = ("ready", "running", "cancelling", "retrying", "failed")
Steps = list[tuple[bool, float]]
"""Whether the stream is read on or the bus tells something, and what of all that happened."""


@given(
    st.lists(st.sampled_from([*STATES, "progress", "progress"]), max_size=30),
    st.lists(st.tuples(st.booleans(), st.floats(0, 1, exclude_max=True)), max_size=60),
)
def test_whatever_is_late_or_doubled_nothing_is_shown_after_a_later_state(
    kinds: list[str], steps: Steps
) -> None:
    board, now = Board(), ""
    states, moves = list[Entry](), list[Entry]()
    for seq, kind in enumerate(kinds, 1):
        now = now if kind == "progress" else kind
        if kind != "progress":
            states.append(state(now, seq))
        elif now in MOVING:
            moves.append(progress(seq, state=now))
    read = 0
    for is_reading, what in steps:
        if is_reading and read < len(states):
            board.seen([states[read]])
            read += 1
        elif moves:
            board.moved(moves[int(what * len(moves))])
        last = states[read - 1] if read else None
        assert all(last and last.state in MOVING and at > last.at for at in shown(board))
    board.seen(states[read:])
    for move in moves:
        board.moved(move)
    due = moves and states and now in MOVING and moves[-1].at > states[-1].at
    assert shown(board) == ([moves[-1].at] if due else [])
