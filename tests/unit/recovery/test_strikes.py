"""Faults strike once, where they wait, and as they are called."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.bus.transport import Disconnected, PublishTimeout
from shared.errors import Unavailable
from shared.store.records import StaleFence
from shared.store.redis import StoreUnavailable
from tests.support.strikes import Board, Fault, Strikes, away

POINT = "script:claim"


class Counter:
    """Counts, and answers what it is told to."""

    def __init__(self, *answers: object) -> None:
        self.number = 0
        self._answers = list(answers)

    async def __call__(self) -> object:
        self.number += 1
        answer = self._answers.pop(0) if self._answers else b"ok"
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path / "board")
    made.prepare()
    return made


@pytest.fixture
def strikes(board: Board) -> Strikes:
    return Strikes(board, latest=5.0)


async def test_where_no_fault_waits_nothing_happens(strikes: Strikes) -> None:
    act = Counter()
    assert await strikes.play(POINT, act) == b"ok"
    assert act.number == 1


async def test_a_lost_reply_is_done_and_not_answered(strikes: Strikes, board: Board) -> None:
    act = Counter()
    board.put(POINT, "lost_reply")
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, act)
    assert act.number == 1
    assert board.has_struck(POINT, "lost_reply")


async def test_a_timeout_is_neither_done_nor_answered(strikes: Strikes, board: Board) -> None:
    act = Counter()
    board.put(POINT, "timeout")
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, act)
    await asyncio.sleep(10)
    assert act.number == 0


async def test_what_is_late_is_done_when_the_caller_has_gone_on(
    strikes: Strikes, board: Board
) -> None:
    act = Counter(StaleFence("gone"))
    board.put(POINT, "late_after_timeout")
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, act)
    assert act.number == 0
    await asyncio.sleep(10)
    assert act.number == 1


async def test_what_is_repeated_is_done_twice_and_the_second_answer_counts(
    strikes: Strikes, board: Board
) -> None:
    act = Counter(b"first", b"second")
    board.put(POINT, "repeated")
    assert await strikes.play(POINT, act) == b"second"
    assert act.number == 2


async def test_a_fault_strikes_once(strikes: Strikes, board: Board) -> None:
    board.put(POINT, "timeout")
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, Counter())
    assert await strikes.play(POINT, Counter()) == b"ok"
    assert [(strike.point, strike.fault) for strike in board.strikes()] == [(POINT, "timeout")]


@pytest.mark.parametrize(
    "answer",
    [None, 0, [0, 0, 0], [], b"gone", [b"pass", 0, 0], [b"open", 90, 2], [b"finished", b"{}"]],
)
async def test_a_script_that_found_nothing_to_do_is_not_worth_a_strike(
    strikes: Strikes, board: Board, answer: object
) -> None:
    board.put(POINT, "lost_reply")
    assert await strikes.play(POINT, Counter(answer)) == answer
    assert not board.has_struck(POINT, "lost_reply")
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, Counter())


async def test_a_call_that_was_refused_is_not_worth_a_strike(
    strikes: Strikes, board: Board
) -> None:
    board.put(POINT, "repeated")
    with pytest.raises(StaleFence):
        await strikes.play(POINT, Counter(StaleFence("gone")))
    act = Counter()
    await strikes.play(POINT, act)
    assert act.number == 2


async def test_what_a_process_had_taken_when_it_died_waits_for_another(board: Board) -> None:
    board.put(POINT, "timeout")
    assert board.take(POINT) == "timeout"
    assert board.take(POINT) is None
    board.inherit(os.getpid())
    assert board.take(POINT) == "timeout"


@pytest.mark.parametrize(("fault", "done"), [("killed_before", ""), ("killed_after", "done")])
def test_a_kill_ends_the_process_there_and_then(board: Board, fault: Fault, done: str) -> None:
    board.put(POINT, fault)
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.support.strikes import Board, Strikes\n"
        "async def act(): print('done', end='', flush=True); return True\n"
        f"asyncio.run(Strikes(Board(Path(sys.argv[1])), 1).play({POINT!r}, act))\n"
        "print('alive')"
    )
    folder = str(board._waiting.parent)
    ran = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout.decode()) == (-signal.SIGKILL, done), ran.stderr
    assert board.has_struck(POINT, fault)


@pytest.mark.parametrize(
    ("point", "may_be_there", "error"),
    [
        ("script:claim", True, StoreUnavailable),
        ("script:claim", False, StoreUnavailable),
        ("relay:publish", True, PublishTimeout),
        ("bus:publish", False, Disconnected),
        ("blob:put", True, Unavailable),
        ("consumer:settle", True, Unavailable),
    ],
)
def test_the_caller_sees_what_it_would_see(
    point: str, may_be_there: bool, error: type[Unavailable]
) -> None:
    assert isinstance(away(point, may_be_there=may_be_there), error)


async def test_a_point_is_free_when_its_fault_has_struck_or_was_taken_down(
    strikes: Strikes, board: Board
) -> None:
    assert board.is_free(POINT)
    board.put(POINT, "timeout")
    assert not board.is_free(POINT)
    assert board.take(POINT)
    assert not board.is_free(POINT)
    board.put_back(POINT)
    with pytest.raises(StoreUnavailable):
        await strikes.play(POINT, Counter())
    assert board.is_free(POINT)
    board.put(POINT, "repeated")
    board.clear()
    assert board.is_free(POINT)
