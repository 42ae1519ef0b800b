"""The child program: ``python -m services.jobs.steps``.

Reads one task as a JSON line from standard input and writes the step's lines to standard output,
which is kept from whatever libraries print. Standard input stays open: when it ends, the parent
is gone, and so is the child.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

import av
import msgspec

from services.jobs.steps import limits
from services.jobs.steps.lines_out import LineReport
from services.jobs.steps.table import find
from shared.work.step import ErrorLine, Line, Report, ResultLine, StepFailed, StepTask

_PARENT_GONE = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    """Run one step and leave."""
    output = _private_stdout()
    limits.apply(os.environ)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=StepTask)
    done = threading.Event()
    threading.Thread(
        target=_leave_with_parent, args=(done,), daemon=True, name="parent-watch"
    ).start()
    report = LineReport(output)
    sys.excepthook = confessing(task.step, report)
    line = outcome(task, report)
    done.set()
    report.send(line)


def _private_stdout() -> BinaryIO:
    """The real standard output; what is printed from now on goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def _leave_with_parent(done: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    # A parent that has its answer may let go first.
    if not done.is_set():
        os._exit(_PARENT_GONE)


def outcome(task: StepTask, report: Report) -> Line:
    """Run the step; its last line."""
    try:
        done = find(task.step)(task, report)
    except StepFailed as failure:
        return ErrorLine(failure.code, failure.error_class, failure.detail, failure.hint)
    except MemoryError:
        return _out_of_memory()
    except (OSError, av.error.FFmpegError) as error:
        if error.errno in _FULL:
            return _full_disk()
        return _failed_disk(error) if isinstance(error, OSError) else _bad_data(error)
    return ResultLine(done.result, done.artifacts)


def _full_disk() -> ErrorLine:
    traceback.print_exc()
    return ErrorLine(
        "storage_full",
        "dependency",
        "the disk of the work folder is full",
        "Make room; the job goes on by itself.",
    )


def _failed_disk(error: OSError) -> ErrorLine:
    # FFmpeg's own errors of this kind are among them; bad data never is.
    traceback.print_exc()
    return ErrorLine(
        "file_failed",
        "transient",
        f"a file could not be read or written: {error.strerror or error}",
        "Check the space and the rights of the work folder.",
    )


def _bad_data(error: av.error.FFmpegError) -> ErrorLine:
    traceback.print_exc()
    return ErrorLine(
        "undecodable",
        "bad_input",
        f"the video cannot be decoded: {error.strerror}",
        "Check that the file plays and was uploaded completely.",
    )


def _out_of_memory() -> ErrorLine:
    traceback.print_exc()
    return ErrorLine(
        "out_of_memory",
        "quota",
        "the step needed more memory than a child may use",
        f"Raise {limits.MEMORY_VARIABLE} if the machine allows it.",
    )


def confessing(
    step: str, report: LineReport
) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What happens to an exception that nobody expected: a child always says how it ended."""

    def confess(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        traceback.print_exception(kind, error, trace)
        line = ErrorLine(
            "step_crashed",
            "bug",
            f"the step {step} crashed: {kind.__name__}: {error}",
            "The log of the jobs service has the traceback; please report it.",
        )
        report.send(line)

    return confess


if __name__ == "__main__":
    main()
