"""Following jobs: nothing twice, nothing missed, and an end to patience. In virtual time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.gateway.cli.failures import Away, CommandFailed
from services.gateway.cli.gateway import Gateway
from services.gateway.cli.screen import screen
from services.gateway.cli.stream import Sent, StreamReader
from services.gateway.cli.watching import events_of, events_of_all, watch_all, watch_one


def data(state: str, progress: float = 0.0, step: str = "cut", **more: Any) -> dict[str, Any]:
    return {"state": state, "progress": progress, "step": step, "message": "", **more}


def sent(number: int, state: str, progress: float = 0.0, event: str = "state") -> Sent:
    return Sent(event, f"1-{number}", data(state, progress))


END = sent(9, "succeeded", 1.0, "end")


@dataclass
class Scripted:
    """A gateway that plays connections: each is events, then how it ends."""

    connections: list[list[Sent | Exception]]
    jobs: dict[str, Any] = field(default_factory=dict)
    asked_after: list[str] = field(default_factory=list)

    async def events(self, _: str, reader: StreamReader) -> AsyncGenerator[Sent, None]:
        self.asked_after.append(reader.last_id)
        for part in self.connections.pop(0):
            if isinstance(part, Exception):
                raise part
            reader.is_heard = True
            reader.last_id = part.id or reader.last_id
            yield part

    async def call(self, method: str, path: str) -> Any:
        assert method == "GET"
        job = self.jobs.get(path.rpartition("/")[2], {"finished_at": None})
        if job is None:
            raise CommandFailed("there is no such job")
        return job

    def gateway(self) -> Gateway:
        return cast("Gateway", self)


async def test_a_connection_that_breaks_is_gone_on_with_after_the_last_event() -> None:
    script = Scripted(
        [
            [sent(1, "running"), sent(2, "running", 0.5), Away("broke off")],
            [],
            [sent(3, "running", 0.7), END],
        ]
    )
    found = [each async for each in events_of(script.gateway(), "j")]
    assert [each.id for each in found] == ["1-1", "1-2", "1-3", "1-9"]
    assert script.asked_after == ["", "1-2", "1-2"]


async def test_an_end_that_was_missed_is_looked_up() -> None:
    ended = {**data("failed"), "finished_at": "2026-01-01T00:00:00.000Z"}
    script = Scripted([[sent(1, "running"), Away("broke off")], []], jobs={"j": ended})
    found = [each async for each in events_of(script.gateway(), "j")]
    assert [(each.event, each.data["state"]) for each in found] == [
        ("state", "running"),
        ("end", "failed"),
    ]


async def test_a_gateway_that_stays_away_is_given_up() -> None:
    away: list[list[Sent | Exception]] = [[Away("away")] for _ in range(100)]
    script = Scripted([[sent(1, "running")], *away])
    with pytest.raises(Away):
        async for _ in events_of(script.gateway(), "j"):
            pass
    assert 30 <= len(script.asked_after) <= 40  # every two seconds for a minute
    assert asyncio.get_running_loop().time() < 70


async def test_a_refusal_is_not_tried_again() -> None:
    script = Scripted([[CommandFailed("there is no such job")]])
    with pytest.raises(CommandFailed):
        async for _ in events_of(script.gateway(), "j"):
            pass
    assert script.asked_after == [""]


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
async def test_watching_a_job_answers_whether_it_succeeded(state: str, code: int) -> None:
    out = io.StringIO()
    script = Scripted([[sent(1, "running"), Sent("end", "1-2", data(state))]])
    assert await watch_one(script.gateway(), "j", screen(out)) == code
    assert out.getvalue().splitlines() == ["j running cut 0%", f"j {state} cut 0%"]


async def test_lines_are_written_for_states_steps_and_tenths() -> None:
    out = io.StringIO()
    steps = [sent(n, "running", n / 100, "progress") for n in range(1, 31)]
    script = Scripted([[sent(0, "running"), *steps, END]])
    assert await watch_one(script.gateway(), "j", screen(out)) == 0
    assert out.getvalue().splitlines() == [
        "j running cut 0%",
        "j running cut 10%",
        "j running cut 20%",
        "j running cut 30%",
        "j succeeded cut 100%",
    ]


async def test_a_job_that_had_ended_before_is_shown_once_with_its_reason() -> None:
    out = io.StringIO()
    error = {"code": "torn", "error_class": "bug", "detail": "it tore", "tail": ["\x1b[31mhot"]}
    failed = data("failed", error=error)
    script = Scripted([[Sent("snapshot", "1-1", failed), Sent("end", "1-1", failed)]])
    assert await watch_one(script.gateway(), "j", screen(out)) == 1
    assert out.getvalue().splitlines() == [
        "j failed cut 0%",
        "error  torn (bug)",
        "why    it tore",
        "  | \N{REPLACEMENT CHARACTER}[31mhot",
    ]


def of(job_id: str, number: int, state: str, event: str = "state") -> Sent:
    """An event of one of all jobs."""
    return Sent(event, f"1-{number}", data(state, job=job_id))


def snapshot(number: int, *jobs: Sent, event: str = "snapshot") -> Sent:
    return Sent(event, f"1-{number}", {"jobs": [each.data for each in jobs], "more": False})


async def seen_of_all(script: Scripted) -> list[tuple[str, str, str]]:
    """What is told of all jobs until the script refuses."""
    found: list[tuple[str, str, str]] = []

    async def watch() -> None:
        async for job_id, each in events_of_all(script.gateway()):
            found.append((job_id, each.event, each.data["state"]))

    with pytest.raises(CommandFailed, match="enough"):
        await watch()
    return found


async def test_all_jobs_are_followed_through_broken_connections() -> None:
    script = Scripted(
        [
            [snapshot(3, of("a", 0, "ready"), of("b", 0, "running")), of("a", 4, "running")],
            [Away("for a moment")],
            [of("a", 5, "succeeded", "end"), CommandFailed("enough")],
        ]
    )
    assert await seen_of_all(script) == [
        ("a", "snapshot", "ready"),
        ("b", "snapshot", "running"),
        ("a", "state", "running"),
        ("a", "end", "succeeded"),
    ]
    assert script.asked_after == ["", "1-4", "1-4"]


async def test_what_ended_while_nobody_listened_is_looked_up() -> None:
    over = {**data("failed"), "finished_at": "2026-01-01T00:00:00.000Z"}
    jobs = [of(name, 0, "running") for name in "abcd"]
    script = Scripted(
        [
            [snapshot(3, *jobs)],
            [snapshot(900, jobs[3], event="reset"), CommandFailed("enough")],
        ],
        jobs={"a": over, "b": None},  # b is forgotten, c goes on
    )
    assert (await seen_of_all(script))[4:] == [("a", "end", "failed"), ("d", "snapshot", "running")]


async def test_a_stream_that_is_only_quiet_is_not_given_up() -> None:
    class Quiet(Scripted):
        """Says now and then that it is alive, and nothing else."""

        async def events(self, _: str, reader: StreamReader) -> AsyncGenerator[Sent, None]:
            self.asked_after.append(reader.last_id)
            if len(self.asked_after) > 100:
                yield END
                return
            await asyncio.sleep(30)
            reader.is_heard = True
            raise Away("broke off")

    script = Quiet([])
    assert [each.event async for each in events_of(script.gateway(), "j")] == ["end"]


async def test_a_refusal_ends_watching_all() -> None:
    script = Scripted([[CommandFailed("the key is not valid")]])
    with pytest.raises(CommandFailed):
        await watch_all(script.gateway(), screen(io.StringIO()))
