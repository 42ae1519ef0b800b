"""The history that the writes of a Redis tell (:mod:`tests.support.aof`).

Nothing of the ledger's own view is taken over: states, fences, leases and events are followed
write by write, with the server's time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.aof import Command, Group
from tests.support.history import (
    EFFECTS,
    ILLEGAL,
    LEASES,
    TOLD,
    TOUCHES,
    Effect,
    Entry,
    History,
    Hold,
    Move,
)

_JOB = re.compile(r"rw:t:[^:]+:job:[^:]+")
_OUTBOX = "rw:outbox:"


def told_by(writes: Iterable[Group]) -> History:
    """What these writes tell."""
    teller = _Teller()
    for group in writes:
        teller.follow(group)
    return teller.history


@dataclass
class _Leases:
    """What one group of writes does to the leases."""

    kept: dict[str, int] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    refenced: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Step:
    """A state that was written, before it is known what else the group writes."""

    job: str
    was: str
    state: str


@dataclass
class _Teller:
    history: History = field(default_factory=History)
    _now: int = 0
    _held: dict[str, Hold] = field(default_factory=dict)
    _leases: _Leases = field(default_factory=_Leases)
    _steps: list[_Step] = field(default_factory=list)

    def follow(self, group: Group) -> None:
        """One script, or one command alone."""
        self._now = max([self._now, *_times(group)])
        self._leases, self._steps = _Leases(), []
        for command in group:
            self._write(command[0].upper(), command[1] if len(command) > 1 else "", command)
        self._settle()
        for step in self._steps:
            epoch, fence = (self.history.number(step.job, name) for name in ("epoch", "fence"))
            move = Move(step.job, step.was, step.state, epoch, fence, self._now)
            self.history.moves.append(move)

    def _write(self, name: str, key: str, command: Command) -> None:
        if key == LEASES:
            self._lease(name, command[2:])
        elif _JOB.fullmatch(key):
            self._job(name, key, command[2:])
        elif name == "RPUSH" and key.endswith(":events"):
            epoch, seq, kind, *_ = json.loads(command[2])
            self.history.entries.append(Entry(key.removesuffix(":events"), epoch, seq, kind))
        elif name == "XADD":
            self._append(key, *_entry(command))
        elif key == ILLEGAL:
            refused = self.history.illegal
            refused[command[2]] = refused.get(command[2], 0) + int(command[3])

    def _lease(self, name: str, words: Command) -> None:
        if name == "ZREM":
            self._leases.dropped |= set(words)
        elif name == "ZADD":
            self._leases.kept[words[-1]] = int(float(words[-2]))
        else:
            raise AssertionError(f"{name} of {LEASES} is not understood")

    def _settle(self) -> None:
        """Who holds what after a group of writes."""
        for job in self._leases.dropped & set(self._held):
            hold = self._held.pop(job)
            hold.ended = self._now
            hold.was_taken = job in self._leases.refenced
        for job, until in self._leases.kept.items():
            held = self._held.get(job)
            if held and held.fence == self.history.number(job, "fence"):
                held.renew(self._now, until)
            else:
                self._claimed(job, until)

    def _claimed(self, job: str, until: int) -> None:
        fields = self.history.jobs.get(job, {})
        lock = fields.get("lock", fields.get("subject", ""))
        hold = Hold(
            job=job,
            lock=f"{fields.get('tenant', '')} {lock}" if lock else "",
            fence=self.history.number(job, "fence"),
            spans=[(self._now, until)],
            worker=fields.get("worker", ""),
            pool=fields.get("pool", ""),
        )
        self._held[job] = hold
        self.history.holds.append(hold)

    def _job(self, name: str, key: str, words: Command) -> None:
        fields = self.history.jobs.setdefault(key, {})
        if name in ("HSET", "HMSET"):
            self._set(key, fields, dict(zip(words[::2], words[1::2], strict=True)))
        elif name == "HINCRBY":
            fields[words[0]] = str(int(fields.get(words[0]) or 0) + int(words[1]))
            if words[0] == "fence":
                self._leases.refenced.add(key)
        elif name == "HDEL":
            for word in words:
                fields.pop(word, None)
        elif name in ("DEL", "UNLINK"):
            self.history.forgotten.append(key)
        else:
            raise AssertionError(f"{name} of a job is not understood")

    def _set(self, key: str, fields: dict[str, str], written: dict[str, str]) -> None:
        if "state" in written:
            self._steps.append(_Step(key, fields.get("state", ""), written["state"]))
        fields |= written

    def _append(self, key: str, entry: str, fields: dict[str, str]) -> None:
        if key.endswith(":events"):
            epoch, _, seq = entry.partition("-")
            kind = json.loads(fields["entry"])[2]
            self.history.entries.append(
                Entry(key.removesuffix(":events"), int(epoch), int(seq), kind)
            )
        elif key == EFFECTS:
            self.history.effects.append(self._effect(fields))
        elif key == TOUCHES:
            self.history.touches.append(self._effect(fields))
        elif key == TOLD:
            self.history.told.append((fields["job"], fields["what"]))

    def _effect(self, fields: dict[str, str]) -> Effect:
        job, epoch, fence = fields["job"], int(fields["epoch"]), int(fields["fence"])
        return Effect(job, fields["what"], epoch, fence, self.history.number(job, "fence"))


def _entry(command: Command) -> tuple[str, dict[str, str]]:
    """Id and fields of a stream's new entry; the id comes after limits on the length."""
    at = next(n for n, word in enumerate(command) if n > 1 and re.fullmatch(r"\d+-\d+", word))
    rest = command[at + 1 :]
    return command[at], dict(zip(rest[::2], rest[1::2], strict=True))


def _times(group: Group) -> Iterator[int]:
    """The server's times that a group of writes names, in milliseconds."""
    for command in group:
        if command[0].upper() == "HSET" and "updated_at" in command[2::2]:
            yield int(command[command.index("updated_at") + 1])
        elif command[0].upper() == "XADD" and command[1].startswith(_OUTBOX):
            yield int(_entry(command)[0].partition("-")[0])
