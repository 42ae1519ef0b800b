"""The history is read from an append-only file write by write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.aof import Group, commands, grouped, groups
from tests.support.history import EFFECTS, TOLD, TOUCHES, Effect, Entry, History
from tests.support.teller import told_by

JOB = "rw:t:acme:job:1"


def raw(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


def test_commands_are_read_whatever_their_words_contain() -> None:
    file = raw("SET", "a", "two\r\nlines") + b"#TS:1700000000\r\n" + raw("DEL", "größe")
    assert list(commands(file)) == [("SET", "a", "two\r\nlines"), ("DEL", "größe")]


def test_what_was_cut_off_by_a_death_is_left_out() -> None:
    whole, half = raw("SET", "a", "1"), raw("SET", "b", "2")
    for cut in range(1, len(half)):
        assert list(commands(whole + half[:cut])) == [("SET", "a", "1")]


def test_what_a_script_writes_is_one_group() -> None:
    writes = [("SET", "a", "1"), ("MULTI",), ("SET", "b", "2"), ("DEL", "a"), ("EXEC",)]
    assert list(grouped(iter(writes))) == [
        (("SET", "a", "1"),),
        (("SET", "b", "2"), ("DEL", "a")),
    ]


def test_a_script_that_was_cut_off_has_not_happened() -> None:
    assert list(grouped(iter([("MULTI",), ("SET", "b", "2")]))) == []


@pytest.mark.parametrize("name", ["appendonly.aof", "appendonlydir/appendonly.aof.1.incr.aof"])
def test_the_file_is_found_where_old_and_new_servers_put_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(raw("SET", "a", "1"))
    assert list(groups(tmp_path)) == [(("SET", "a", "1"),)]


def submitted(at: int = 1) -> Group:
    fields = ("state", "accepted", "epoch", "1", "fence", "0", "tenant", "acme", "lock", "v")
    return (
        ("HSET", JOB, "updated_at", str(at), *fields),
        ("HSET", JOB, "updated_at", str(at), "state", "ready"),
    )


def claimed(at: int, until: int) -> Group:
    return (
        ("HSET", JOB, "updated_at", str(at), "state", "running"),
        ("HINCRBY", JOB, "fence", "1"),
        ("HSET", JOB, "updated_at", str(at), "worker", "w1", "pool", "media"),
        ("ZADD", "rw:jobs:leases", str(until), JOB),
    )


def renewed(at: int, until: int) -> Group:
    return (
        ("HSET", JOB, "updated_at", str(at), "lease_until", str(until)),
        ("ZADD", "rw:jobs:leases", str(until), JOB),
    )


def let_go(at: int) -> Group:
    return (
        ("HSET", JOB, "updated_at", str(at), "state", "ready"),
        ("ZREM", "rw:jobs:leases", JOB),
        ("HDEL", JOB, "worker"),
    )


def reaped(at: int) -> Group:
    return (("ZREM", "rw:jobs:leases", JOB), ("HINCRBY", JOB, "fence", "1"), *let_go(at))


def tell(*happened: Group) -> History:
    return told_by(happened)


def test_states_are_told_with_epoch_and_fence_after_them() -> None:
    history = tell(submitted(), claimed(10, 100), let_go(20))
    moves = [(move.was, move.state, move.epoch, move.fence, move.at) for move in history.moves]
    assert moves == [
        ("", "accepted", 1, 0, 1),
        ("accepted", "ready", 1, 0, 1),
        ("ready", "running", 1, 1, 10),
        ("running", "ready", 1, 1, 20),
    ]


def test_a_hold_is_told_from_claim_to_release() -> None:
    (hold,) = tell(submitted(), claimed(10, 100), renewed(50, 150), let_go(70)).holds
    assert (hold.job, hold.lock, hold.worker, hold.pool) == (JOB, "acme v", "w1", "media")
    assert (hold.fence, hold.live(), hold.ended, hold.was_taken) == (1, [(10, 70)], 70, False)


def test_a_hold_that_was_taken_away_is_told_from_one_that_was_let_go() -> None:
    (hold,) = tell(submitted(), claimed(10, 100), reaped(110)).holds
    assert (hold.was_taken, hold.ended, hold.live()) == (True, 110, [(10, 100)])


def test_a_heartbeat_that_came_too_late_begins_a_new_time() -> None:
    (hold,) = tell(submitted(), claimed(10, 100), renewed(120, 200)).holds
    assert hold.live() == [(10, 100), (120, 200)]


def test_a_claim_of_a_job_that_is_held_is_a_second_hold() -> None:
    first, second = tell(submitted(), claimed(10, 100), claimed(50, 150)).holds
    assert (first.fence, first.live()) == (1, [(10, 100)])
    assert (second.fence, second.live()) == (2, [(50, 150)])


def test_events_effects_and_what_was_told_are_noted_in_their_order() -> None:
    history = tell(
        (
            ("RPUSH", f"{JOB}:events", '[1, 7, "state", 5]'),
            ("LTRIM", f"{JOB}:events", "-500", "-1"),
        ),
        (("XADD", "rw:t:acme:events", "MAXLEN", "~", "9", "1-3", "entry", '[1, 7, "end", 5]'),),
        (("XADD", EFFECTS, "1-1", "job", JOB, "what", "cut", "epoch", "1", "fence", "4"),),
        (("XADD", TOUCHES, "1-2", "job", JOB, "what", "cut", "epoch", "1", "fence", "4"),),
        (("XADD", TOLD, "2-0", "job", JOB, "what", "finished:1"),),
        (("HINCRBY", "rw:jobs:illegal", "failed>running", "2"),),
    )
    assert history.entries == [Entry(JOB, 1, 7, "state"), Entry("rw:t:acme", 1, 3, "end")]
    assert history.effects == [Effect(JOB, "cut", 1, 4, 0)]
    assert history.touches == history.effects
    assert (history.told, history.illegal) == ([(JOB, "finished:1")], {"failed>running": 2})


def test_a_forgotten_job_keeps_the_fields_that_it_had() -> None:
    history = tell(submitted(), (("DEL", JOB, f"{JOB}:events"),))
    assert history.forgotten == [JOB]
    assert history.state(JOB) == "ready"


@pytest.mark.parametrize(
    "write", [("HSETNX", JOB, "state", "failed"), ("ZPOPMIN", "rw:jobs:leases", "1")]
)
def test_a_write_that_is_not_understood_is_said(write: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="is not understood"):
        tell(submitted(), (write,))
