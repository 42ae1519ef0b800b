"""The commands over HTTP, against a real gateway: what they say, print as JSON and exit with."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.ids import new_id
from tests.support.client import Client, client_of
from tests.support.processes import free_port
from tests.support.stack import ADMIN_KEY, ROOT, Stack
from tests.support.stacks import shared_stack
from tests.support.tenants import new_key
from tests.support.terminal import Said, clean, on_terminal, reelway

DRIVE = "/v1/admin/pools/drive"


@pytest.fixture
def stack() -> Stack:
    """What the commands see is the same on every form."""
    return shared_stack("embedded")


@pytest_asyncio.fixture
async def key(stack: Stack) -> str:
    return await new_key(stack, f"cli-{new_id()[-12:]}")


@pytest_asyncio.fixture
async def client(stack: Stack, key: str) -> AsyncIterator[Client]:
    async with client_of(stack.url, key) as made:
        yield made


@pytest.fixture
def environ(stack: Stack, key: str) -> dict[str, str]:
    return {
        "REELWAY_URL": stack.url,
        "REELWAY_API_KEY": key,
        "REELWAY_GATEWAY_ADMIN_KEY": ADMIN_KEY,
    }


async def said(environ: dict[str, str], *words: str) -> Said:
    return await asyncio.to_thread(reelway, [*words], environ)


async def document(environ: dict[str, str], *words: str, code: int = 0) -> Any:
    """The one JSON document that a command prints."""
    done = await said(environ, *words, "--json")
    assert (done.code, done.errors) == (code, ""), done
    return json.loads(done.out)


async def failed(client: Client) -> str:
    """A job that has failed."""
    job_id = str((await client.upload(b"no video"))["job"]["id"])
    await client.job_end(job_id)
    return job_id


async def test_jobs_are_listed_and_shown(client: Client, environ: dict[str, str]) -> None:
    empty = await said(environ, "jobs", "list")
    assert (empty.code, empty.out) == (0, "no such jobs\n")
    first, second = await failed(client), await failed(client)
    head, *lines = (await said(environ, "jobs", "list", "--state", "failed")).out.splitlines()
    assert head.split()[:4] == ["job", "state", "flow", "step"]
    assert [line.split()[:2] for line in lines] == [[second, "failed"], [first, "failed"]]
    listed = await document(environ, "jobs", "list", "--limit", "1")
    assert ([job["id"] for job in listed["items"]], listed["next"]) == ([second], second)
    shown = await said(environ, "jobs", "show", first)
    assert "not_a_video (bad_input)" in shown.out
    assert await document(environ, "jobs", "show", first) == await client.get(f"/v1/jobs/{first}")


async def test_the_desk_is_worked_through(client: Client, environ: dict[str, str]) -> None:
    first, second = await failed(client), await failed(client)
    summary = await document(environ, "jobs", "dead", "summary")
    assert [(group["code"], group["count"]) for group in summary["items"]] == [("not_a_video", 2)]
    dry = await said(environ, "jobs", "dead", "discard", "--code", "not_a_video", "--dry-run")
    assert dry.code == 0
    assert dry.out.endswith("2 matched\nnothing was changed: this was a dry run\n")
    listed = await document(environ, "jobs", "dead", "list", "--step", "store")
    assert [job["id"] for job in listed["items"]] == [second, first]
    done = await document(environ, "jobs", "dead", "discard", "--id", first)
    assert [item["outcome"] for item in done["items"]] == ["discarded"]
    again = await document(environ, "jobs", "dead", "discard", "--id", first, code=1)
    assert [item["outcome"] for item in again["items"]] == ["missing"]
    retried = await document(environ, "jobs", "dead", "retry", "--all")
    assert [(item["id"], item["outcome"]) for item in retried["items"]] == [(second, "retried")]
    nobody = await said(environ, "jobs", "dead", "retry")
    assert (nobody.code, nobody.out) == (2, "")
    assert "--all" in nobody.errors


@asynccontextmanager
async def held(stack: Stack) -> AsyncIterator[None]:
    """The pool ``drive``, which nobody else uses any more, takes no jobs meanwhile."""
    async with client_of(stack.url, ADMIN_KEY) as operator:
        await operator.until(DRIVE, lambda pool: not pool["waiting"] and not pool["running"])
        await operator.tell("PATCH", DRIVE, {"paused": True})
        try:
            yield
        finally:
            await operator.tell("PATCH", DRIVE, {"paused": False})


@pytest_asyncio.fixture
async def resting(stack: Stack, client: Client, environ: dict[str, str]) -> AsyncIterator[str]:
    """A job in the line of the pool ``drive``, which an operator lets rest meanwhile."""
    async with client_of(stack.url, ADMIN_KEY) as operator:
        await operator.until(DRIVE, lambda pool: not pool["waiting"] and not pool["running"])
    assert (await said(environ, "pools", "pause", "drive")).code == 0
    try:
        job = str((await client.upload(b"no video"))["job"]["id"])
        await client.until(f"/v1/jobs/{job}", lambda shown: shown["state"] == "ready")
        yield job
    finally:
        assert (await document(environ, "pools", "limit", "drive", "0"))["limit"] == 0
        assert (await document(environ, "pools", "resume", "drive"))["paused"] is False


async def test_a_job_is_paused_made_urgent_and_goes_on(
    resting: str, environ: dict[str, str]
) -> None:
    assert (await said(environ, "jobs", "pause", resting)).out == f"{resting} is paused\n"
    urgent = ("--base", "90", "--boost", "2/60/9")
    law = await document(environ, "jobs", "priority", resting, *urgent)
    assert (law["base"], law["law"]["rate"], law["state"]) == (90, 2, "paused")
    off = await said(environ, "jobs", "priority", resting, "--age-boosting", "off")
    assert "ageing         off" in off.out
    assert (await said(environ, "jobs", "resume", resting)).out == f"{resting} is ready\n"
    shown = await said(environ, "jobs", "priority", resting)
    assert "the pool drive is paused (pool_paused)" in shown.out


async def test_a_pool_is_limited_and_shown(resting: str, environ: dict[str, str]) -> None:
    assert (await document(environ, "pools", "limit", "drive", "3"))["limit"] == 3
    pools = (await said(environ, "pools", "list")).out.splitlines()
    assert [line.split()[:4] for line in pools if line.startswith("drive")] == [
        ["drive", "paused", "0", "3"]
    ]
    listed = (await document(environ, "pools", "list"))["items"]
    assert [pool["waiting"] >= 1 for pool in listed if pool["pool"] == "drive"] == [True]


async def test_a_job_is_cancelled_once(resting: str, environ: dict[str, str]) -> None:
    gone = await said(environ, "jobs", "cancel", resting)
    assert (gone.code, gone.out) == (0, f"{resting} is cancelled\n")
    refused = await said(environ, "jobs", "cancel", resting)
    assert (refused.code, refused.out) == (1, "")
    assert refused.errors == "reelway: the job has ended: it is cancelled\n"


async def test_a_job_is_retried_from_a_step(client: Client, environ: dict[str, str]) -> None:
    job = await failed(client)
    again = await said(environ, "jobs", "retry", job, "--step", "store")
    assert again.out == f"{job} is ready, from step store\n"
    await client.job_end(job)
    timeline = (await said(environ, "jobs", "timeline", job)).out.splitlines()
    assert [line.split()[0] for line in timeline] == ["epoch", "1", "2"]
    assert "not_a_video" in timeline[1]


async def test_a_job_is_watched_to_its_end(
    client: Client, environ: dict[str, str], demo_clip: Path
) -> None:
    job = (await client.upload(demo_clip))["job"]["id"]
    done = await said(environ, "jobs", "watch", job)
    lines = done.out.splitlines()
    assert (done.code, done.errors) == (0, "")
    assert lines[-1] == f"{job} succeeded describe 100%"
    assert all(line.startswith(job) for line in lines)
    assert len(lines) == len(set(lines))
    assert "\x1b" not in done.out


async def test_watching_prints_json_lines_for_programs(
    client: Client, environ: dict[str, str]
) -> None:
    job = await failed(client)
    done = await said(environ, "jobs", "watch", job, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert [line["event"] for line in lines] == ["snapshot", "end"]
    assert {line["job"] for line in lines} == {job}
    assert lines[-1]["data"]["error"]["code"] == "not_a_video"


async def test_a_watch_outlives_a_gateway_that_is_started_again(tmp_path: Path) -> None:
    from tests.support.stack import embedded

    with embedded(tmp_path, REELWAY_GATEWAY_PORT=str(free_port())) as own:
        environ = {"REELWAY_URL": own.url, "REELWAY_DATA_DIR": str(tmp_path / "data")}
        async with client_of(own.url, ADMIN_KEY) as operator:
            await operator.tell("PATCH", DRIVE, {"paused": True})
        async with client_of(own.url, own.key) as client:
            job = (await client.upload(b"no video"))["job"]["id"]
            watching = asyncio.create_task(said(environ, "jobs", "watch", job))
            await _is_watched(own)
        assert own.member("gateway").stop() == 0
        own.member("gateway").start()
        async with client_of(own.url, ADMIN_KEY) as operator:
            await operator.tell("PATCH", DRIVE, {"paused": False})
        done = await watching
        assert (done.code, done.errors) == (1, "")
        assert done.out.count("failed store") == 1


async def _is_watched(stack: Stack) -> None:
    async with client_of(stack.url, "") as anybody:
        for _ in range(600):
            metrics = (await anybody.call("GET", "/metrics")).body.decode()
            if re.search(r"reelway_sse_subscribers [1-9]", metrics):
                return
            await asyncio.sleep(0.1)
    raise AssertionError("nobody watches")


async def test_all_jobs_are_watched_until_somebody_interrupts(
    resting: str, client: Client, environ: dict[str, str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "jobs", "watch", "--json"),
        env=clean(environ),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 120))
    assert (first["job"], first["event"], first["data"]["state"]) == (resting, "snapshot", "ready")
    await client.tell("POST", f"/v1/jobs/{resting}/cancel", status=202)
    last = json.loads(await asyncio.wait_for(process.stdout.readline(), 120))
    assert (last["job"], last["event"], last["data"]["state"]) == (resting, "end", "cancelled")
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), 90)
    assert (process.returncode, errors) == (130, b"")


@pytest.mark.parametrize("columns", [24, 60, 120])
async def test_a_terminal_of_any_width_gets_bars(
    stack: Stack, client: Client, environ: dict[str, str], demo_clip: Path, columns: int
) -> None:
    async with held(stack):  # until somebody watches
        job = (await client.upload(demo_clip))["job"]["id"]
        words = ["jobs", "watch", job]
        watching = asyncio.create_task(asyncio.to_thread(on_terminal, words, environ, columns))
        await _is_watched(stack)
    done = await watching
    assert done.code == 0, done
    assert "\x1b[" in done.out
    assert "━" in done.out
    assert "100%" in done.out
    assert "[progress" not in done.out
    assert "Traceback" not in done.out
    assert "succeeded" in done.out.replace("\r\n", "")


@pytest.mark.parametrize("odd", [{"TERM": "dumb"}, {"TERM": "dumb", "NO_COLOR": "1"}])
async def test_a_terminal_that_can_draw_nothing_gets_lines(
    client: Client, environ: dict[str, str], odd: dict[str, str]
) -> None:
    job = await failed(client)
    words = ["jobs", "watch", job]
    done = await asyncio.to_thread(on_terminal, words, {**environ, **odd}, 80)
    assert done.code == 1
    assert "\x1b" not in done.out
    assert done.out.startswith(f"{job} failed store 0%\r\n")


async def test_colours_are_left_out_when_nobody_wants_them(
    client: Client, environ: dict[str, str]
) -> None:
    await failed(client)
    plain = {**environ, "NO_COLOR": "1"}
    coloured = await asyncio.to_thread(on_terminal, ["jobs", "list"], environ, 200)
    bare = await asyncio.to_thread(on_terminal, ["jobs", "list"], plain, 200)
    assert "\x1b[31m" in coloured.out
    assert "\x1b[31m" not in bare.out


@pytest.mark.parametrize("odd", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
async def test_a_place_that_knows_few_letters_gets_what_it_can_show(
    client: Client, environ: dict[str, str], odd: dict[str, str]
) -> None:
    job = await failed(client)
    done = await said({**environ, **odd}, "jobs", "show", job)
    assert (done.code, done.errors) == (0, "")
    assert job in done.out


async def test_a_reader_that_has_seen_enough_leaves_no_traceback(
    client: Client, environ: dict[str, str]
) -> None:
    await failed(client)
    command = f"{sys.executable} -m services jobs list --json | true"
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", command],
        env=clean(environ),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""


class Stranger(BaseHTTPRequestHandler):
    """A server that is no gateway."""

    def do_GET(self) -> None:
        self.send_response(302 if "302" in self.path else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def one_line(environ: dict[str, str], *words: str) -> str:
    """The one line that a command which failed says on standard error."""
    done = await said(environ, *words)
    assert (done.code, done.out) == (1, "")
    assert done.errors.startswith("reelway: ")
    assert done.errors.count("\n") == 1
    return done.errors


async def test_what_is_wrong_is_one_line_with_its_cure(
    environ: dict[str, str], stranger: str, tmp_path: Path
) -> None:
    wrong = {**environ, "REELWAY_API_KEY": "rw_" + "a" * 12 + "_" + "b" * 43}
    assert "the key in REELWAY_API_KEY is not valid at" in await one_line(wrong, "jobs", "list")
    nowhere = await one_line({**environ, "REELWAY_URL": "http://127.0.0.1:1"}, "jobs", "list")
    assert "no gateway answers at http://127.0.0.1:1" in nowhere
    assert "start it with `reelway`" in nowhere
    html = await one_line({**environ, "REELWAY_URL": stranger}, "jobs", "list")
    assert "is no gateway: 200 text/html" in html
    away = await one_line({**environ, "REELWAY_URL": f"{stranger}/302"}, "jobs", "list")
    assert "is no gateway: 302 text/html" in away
    watched = await one_line({**environ, "REELWAY_URL": stranger}, "jobs", "watch", new_id())
    assert "is no gateway" in watched
    unknown = await one_line(environ, "jobs", "show", new_id())
    assert unknown == "reelway: there is no such job\n"
    tenants = {**environ, "REELWAY_GATEWAY_ADMIN_KEY": environ["REELWAY_API_KEY"]}
    assert "lacks the scope 'admin'" in await one_line(tenants, "pools", "list")
    keyless = {"REELWAY_URL": environ["REELWAY_URL"], "REELWAY_DATA_DIR": str(tmp_path)}
    assert "REELWAY_API_KEY" in await one_line(keyless, "jobs", "list")


async def test_the_key_of_the_first_start_opens_the_gateway_beside_it(stack: Stack) -> None:
    environ = {"REELWAY_URL": stack.url, "REELWAY_DATA_DIR": str(stack.blobs.parent)}
    assert (await said(environ, "jobs", "list", "--limit", "1")).code == 0


async def test_what_is_for_clients_does_not_keep_a_host_from_starting(tmp_path: Path) -> None:
    from tests.support.stack import embedded

    with embedded(tmp_path, REELWAY_URL="http://elsewhere", REELWAY_API_KEY="hush") as own:
        pid = own.member("gateway").pid
        assert "hush" not in " ".join(own.member("gateway").log)
        assert os.kill(pid, 0) is None  # type: ignore[func-returns-value]
