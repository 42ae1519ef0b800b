"""Steps in child processes: a crash of a decoder is one failed attempt, not the end of a service.

The child gets its own session (so that the whole group can be killed), a bare environment without
secrets, and limits on memory and file size. It leaves by itself when its standard input ends, so
it does not outlive a parent that was killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from shared.blobs.library import FileMissing
from shared.contracts.records import StepOutput
from shared.errors import NotFound
from shared.faults import through
from shared.work.child_limits import ChildLimits, environment
from shared.work.context import StepContext, made_earlier
from shared.work.step import (
    BadInput,
    CheckpointLine,
    ErrorLine,
    Line,
    ProgressLine,
    ResultLine,
    StepFailed,
    StepTask,
)

_log = logging.getLogger(__name__)
_LINE_LIMIT = 1024 * 1024
_PIECE = 64 * 1024
_LINES: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_TAIL_LINES = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ChildSteps:
    """Runs steps as ``command`` in child processes; :meth:`run` is a step function."""

    def __init__(self, command: Sequence[str], limits: ChildLimits) -> None:
        self._command = tuple(command)
        self._limits = limits

    async def run(self, context: StepContext) -> StepOutput:
        """Run the context's step in a child and give what it left behind."""
        folder = context.folder / context.step
        folder.mkdir(parents=True, exist_ok=True)
        task = await _prepare(context, folder)
        limit = self._total(context)
        try:
            async with asyncio.timeout(limit), self._child(folder) as child:
                await through("child:start", lambda: _tell(child, task))
                return await self._converse(child, context, folder)
        except TimeoutError as error:
            raise StepFailed(
                "step_too_slow", f"it took more than {limit:g} s", error_class="transient"
            ) from error

    def _total(self, context: StepContext) -> float:
        """How long the step may take: the longer the video, the longer."""
        probed = context.outputs.get("probe")
        told = probed.result if probed else context.job.params
        return self._limits.total + self._limits.total_per_second * float(told.get("duration", 0))

    @asynccontextmanager
    async def _child(self, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                cwd=folder,
                env=environment(self._limits),
                limit=_LINE_LIMIT,
            )
        except OSError as error:  # no memory, no process, no descriptor left
            detail = f"its process could not be started: {error.strerror}"
            raise StepFailed("step_not_started", detail, error_class="transient") from error
        try:
            yield child
        finally:
            await asyncio.shield(_end(child, self._limits.grace))

    async def _converse(
        self, child: asyncio.subprocess.Process, context: StepContext, folder: Path
    ) -> StepOutput:
        """Follow what the child says until it has a result or fails."""
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        listening = asyncio.create_task(_keep_tail(child, tail))
        try:
            while raw := await self._read_line(child, tail):
                output = await _take(_line(raw, tail), context, folder, tail)
                if output is not None:
                    return output
            await asyncio.wait({listening}, timeout=1)
            await self._crashed(child, tail)
        finally:
            listening.cancel()

    async def _read_line(self, child: asyncio.subprocess.Process, tail: Sequence[str]) -> bytes:
        assert child.stdout
        try:
            async with asyncio.timeout(self._limits.silence):
                return await child.stdout.readline()
        except TimeoutError:
            detail = f"nothing was heard of it for {self._limits.silence:g} s"
            raise _transient("step_hung", detail, tail) from None
        except ValueError:
            detail = f"it wrote a line of more than {_LINE_LIMIT} bytes"
            raise _transient("step_garbled", detail, tail) from None

    async def _crashed(self, child: asyncio.subprocess.Process, tail: Sequence[str]) -> NoReturn:
        """Its output has ended without a result: say how it died, if it did."""
        waiting = asyncio.create_task(child.wait())
        done, _ = await asyncio.wait({waiting}, timeout=self._limits.silence)
        if not done:
            waiting.cancel()
            raise _transient("step_hung", "it closed its output and did not end", tail)
        code = waiting.result()
        if code == -signal.SIGKILL:
            # A decoder does not do that to itself; the system does when memory is short.
            detail = "the system killed the process of the step, probably for want of memory"
            raise _transient("step_killed", detail, tail)
        name = _signal_name(-code) if code < 0 else f"exit code {code}"
        raise _transient("step_crashed", f"the process of the step died with {name}", tail)


async def _tell(child: asyncio.subprocess.Process, task: StepTask) -> None:
    assert child.stdin
    child.stdin.write(msgspec.json.encode(task) + b"\n")
    with suppress(ConnectionError):  # it died at once: its silence will tell
        await child.stdin.drain()


async def _prepare(context: StepContext, folder: Path) -> StepTask:
    """Lay out inputs and the last checkpoint as local files."""
    source = source_of(context)
    try:
        await context.blobs.head(source)
    except FileMissing:
        raise  # it is not ours, and may come back
    except NotFound:
        raise BadInput(
            "source_gone", "the bytes of this video are no longer here", hint="upload it again"
        ) from None
    checkpoint = await context.resume()
    for artifact in checkpoint.artifacts if checkpoint else ():
        with made_earlier(artifact.name):
            await context.blobs.fetch(artifact.key, folder / artifact.name)
    inputs = {"source": await _local(context, source, "source")}
    for output in context.inputs.values():
        for artifact in output.artifacts:
            with made_earlier(artifact.name):
                inputs[artifact.name] = await _local(context, artifact.key, artifact.name)
    return StepTask(
        step=context.step,
        params=context.params,
        inputs=inputs,
        workdir=str(folder.absolute()),
        checkpoint=checkpoint.state if checkpoint else None,
    )


def source_of(context: StepContext) -> str:
    """The blob key of the video: where the store step put it, or where the submitter said."""
    stored = context.outputs.get("store")
    return str(stored.result["location"] if stored else context.job.params["location"])


async def _local(context: StepContext, key: str, name: str) -> str:
    """A local path to a blob: its own where it lies on this disk, else a copy."""
    if path := await context.blobs.on_disk(key):
        if not path.exists():
            raise NotFound(f"there is no blob {key}")
        return str(path.absolute())
    copy = context.folder / f"input-{name}"
    if not copy.exists():
        await context.blobs.fetch(key, copy)
    return str(copy.absolute())


async def _take(
    line: Line, context: StepContext, folder: Path, tail: Sequence[str]
) -> StepOutput | None:
    match line:
        case ProgressLine():
            await context.progress(line.fraction, line.message)
        case CheckpointLine():
            await context.checkpoint(line.state, _files(folder, line.artifacts))
        case ResultLine(result, names):
            kept = await through("child:result", lambda: context.keep(_files(folder, names)))
            return StepOutput(result=result, artifacts=kept)
        case ErrorLine():
            raise StepFailed(
                line.code,
                line.detail,
                error_class=line.error_class,
                hint=line.hint,
                tail=tuple(tail),
            )
    return None


def _line(raw: bytes, tail: Sequence[str]) -> Line:
    """What a line says; a library that prints, or a decoder gone wild, may say anything."""
    try:
        return _LINES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"it wrote what is no line of a step: {error}"
        raise _transient("step_garbled", detail, tail) from error


def _files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of these names in the workdir, and in no other place: content may have taken the
    child over, and what is named here is stored and shown.
    """
    paths = [folder / name for name in names]
    for name, path in zip(names, paths, strict=True):
        is_there = _PLAIN_NAME.fullmatch(name) and path.is_file() and not path.is_symlink()
        if not is_there:
            detail = f"it named {name[:200]!r}, which is no file of its own"
            raise StepFailed("step_garbled", detail, error_class="transient")
    return paths


def _transient(code: str, detail: str, tail: Sequence[str]) -> StepFailed:
    hint = f"its last words: {tail[-1]}" if tail else ""
    return StepFailed(code, detail, error_class="transient", hint=hint, tail=tuple(tail))


def _signal_name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")


async def _keep_tail(child: asyncio.subprocess.Process, tail: deque[str]) -> None:
    """Empty standard error, however much it is and however long its lines are."""
    assert child.stderr
    rest = b""
    while piece := await child.stderr.read(_PIECE):
        *lines, rest = (rest + piece).splitlines(keepends=True) or [b""]
        if rest.endswith((b"\n", b"\r")) or len(rest) > _PIECE:
            lines, rest = [*lines, rest], b""
        for raw in lines:
            _note(raw, tail)
    _note(rest, tail)


def _note(raw: bytes, tail: deque[str]) -> None:
    if line := raw[:2000].decode(errors="replace").strip()[:500]:
        tail.append(line)
        _log.debug("step: %s", line)


async def _end(child: asyncio.subprocess.Process, grace: float) -> None:
    """Make sure that the child and whatever it started are gone."""
    if child.stdin:
        child.stdin.close()
    if child.returncode is None:
        _signal(child.pid, signal.SIGTERM)
        waiting = asyncio.create_task(child.wait())
        await asyncio.wait({waiting}, timeout=grace)
    _signal(child.pid, signal.SIGKILL)
    await child.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
