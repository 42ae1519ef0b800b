"""The log of one box, read as its operator reads it."""

from __future__ import annotations

import asyncio
import collections
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from services.gateway.app import SLOW_SECONDS
from services.jobs.media.clip import DEMO, make_clip
from tests.support.client import Client, client_of
from tests.support.media import fresh
from tests.support.stack import PATIENT, ROOT, Stack, _environment, embedded

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>\w+) +(?P<message>.+?) (?P<fields>\w+=.*)\n"
)
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')
PROBES = ("/livez", "/readyz", "/health", "/metrics")
ROUNDS = 40


class Said(NamedTuple):
    """One line, taken apart."""

    level: str
    message: str
    fields: dict[str, str]
    raw: str

    @property
    def action(self) -> str:
        return self.fields.get("action", "")


class Day(NamedTuple):
    """A day in the life of one box, from its first start to its stop with a job in hand."""

    lines: list[Said]
    answers: list[int]
    middle: float


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("day")
    clip = folder / "clip.mp4"
    make_clip(clip, DEMO[:3], duration=10.0)
    with embedded(folder, **PATIENT) as stack:
        answers, middle = asyncio.run(_live(stack, clip))
    return Day([parsed(line) for line in _whole(stack)], answers, middle)


async def _live(stack: Stack, clip: Path) -> tuple[list[int], float]:
    async with client_of(stack.url, stack.key) as client:
        probing = asyncio.create_task(_probe(client))
        video = (await client.upload(clip))["video"]
        await client.captioned(video["id"])
        answers, middle = await probing
        job = (await client.upload(fresh(clip)))["job"]
        # Not between two steps, where nobody has the job in hand.
        await client.until(
            f"/v1/jobs/{job['id']}",
            lambda it: it["state"] == "running" and it["step"] not in {"store", "describe"},
        )
        return answers, middle


async def _probe(client: Client) -> tuple[list[int], float]:
    answers, seconds = list[int](), list[float]()
    for _ in range(ROUNDS):
        for path in PROBES:
            began = time.monotonic()
            answers.append((await client.call("GET", path)).status)
            seconds.append(time.monotonic() - began)
    return answers, statistics.median(seconds)


def _whole(stack: Stack) -> list[str]:
    """The log to its last line, which a thread still reads."""
    log = stack.members["all"].log
    end = time.monotonic() + 60
    while "action=stopped" not in log[-1] and time.monotonic() < end:
        time.sleep(0.02)
    return log


def parsed(line: str) -> Said:
    found = LINE.fullmatch(line)
    assert found, line
    fields = {name: text.strip('"') for name, text in FIELD.findall(found["fields"])}
    return Said(found["level"], found["message"], fields, line)


def test_the_log_tells_what_happened_and_nothing_else(day: Day) -> None:
    told = collections.Counter(line.action for line in day.lines)
    assert told.pop("request") >= 4
    assert told == {
        "started": 4,
        "key_made": 1,
        "job_started": 3,
        "job_finished": 2,
        "job_returned": 1,
        "stopping": 1,
        "stopped": 1,
    }


def is_slow(line: Said) -> bool:
    """Whether all that is wrong is a machine that stalled."""
    return line.action == "request" and float(line.fields["duration_ms"]) > SLOW_SECONDS * 1000


def test_nothing_is_alarming_but_the_line_with_the_key(day: Day) -> None:
    loud = [line for line in day.lines if line.level != "info" and not is_slow(line)]
    assert [line.action for line in loud] == ["key_made"]


def test_no_line_comes_twice(day: Day) -> None:
    said = [line.raw.partition(" ")[2] for line in day.lines]
    assert len(said) == len(set(said))


def test_a_line_fits_on_a_screen(day: Day) -> None:
    assert max(len(line.raw) for line in day.lines) < 320


def test_jobs_say_flow_video_and_seconds(day: Day) -> None:
    for line in day.lines:
        if line.action.startswith("job_"):
            assert line.fields["flow"] in {"process_video", "caption_video"}
            assert line.fields["video"]
            assert line.fields["tenant"] == "default"
            assert line.fields["correlation_id"]
            assert line.action == "job_started" or float(line.fields["seconds"]) >= 0


def test_requests_say_who_asked_for_what_and_how_long_it_took(day: Day) -> None:
    for line in day.lines:
        if line.action == "request":
            assert line.fields.keys() >= {"request_id", "path", "status_code", "duration_ms"}
            assert line.fields["tenant"] == "default"
            assert float(line.fields["duration_ms"]) < 60_000


def test_probes_are_not_in_the_log(day: Day) -> None:
    paths = {line.fields.get("path") for line in day.lines}
    assert not paths & set(PROBES)


def test_probes_answer_alike_while_the_machine_works(day: Day) -> None:
    assert len(day.answers) == ROUNDS * len(PROBES)
    ready = slice(PROBES.index("/readyz"), None, len(PROBES))
    assert day.answers[ready].count(200) > ROUNDS * 0.9  # a check has 2 s, a stall may take more
    assert {each for at, each in enumerate(day.answers) if at % len(PROBES) != ready.start} == {200}
    assert day.middle < 2.0


def test_where_the_key_lies_is_told_also_where_only_warnings_are(tmp_path: Path) -> None:
    settings = {
        "REELWAY_DATA_DIR": str(tmp_path),
        "REELWAY_GATEWAY_PORT": "0",
        "REELWAY_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services"],
        cwd=ROOT,
        env=_environment(settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr
        try:
            line = parsed(process.stderr.readline())
            process.send_signal(signal.SIGTERM)
            rest, code = process.stderr.read(), process.wait(90)
        finally:
            process.kill()
    assert (line.level, line.action) == ("warning", "key_made")
    assert line.message.startswith("FIRST START: the API key of the tenant default is in ")
    assert line.message.endswith(str(tmp_path / "default.key"))
    assert (rest, code) == ("", 0)
