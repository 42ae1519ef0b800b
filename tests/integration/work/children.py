"""Child programs that behave in every way but the right one: ``python children.py <how>``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

TASK: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
HOME = Path(TASK["workdir"])


def tell(kind: str, **words: Any) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps({"type": kind, **words}) + "\n")
    sys.stdout.flush()


def result(*artifacts: str, **found: Any) -> None:
    """Be done."""
    tell("result", result=found, artifacts=artifacts)


def good() -> None:
    """Everything as it should be, from the checkpoint on."""
    done = (TASK["checkpoint"] or {"parts": 0})["parts"]
    for part in range(done, 3):
        (HOME / f"part-{part}").write_text(f"part {part}")
        names = [f"part-{n}" for n in range(part + 1)]
        tell("progress", fraction=(part + 1) / 3, message=f"part {part}")
        tell("checkpoint", state={"parts": part + 1}, artifacts=names)
        if TASK["params"].get("die_at") == part:
            os.kill(os.getpid(), signal.SIGKILL)
    text = "".join((HOME / f"part-{n}").read_text() for n in range(3))
    (HOME / "whole").write_text(text)
    result("whole", began=done)


def environment() -> None:
    """Show what it was given."""
    result(**dict(os.environ))


def leave() -> None:
    """Exit at once."""


def exit_three() -> None:
    sys.stderr.write("first word\nlast word\n")
    raise SystemExit(3)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def silent() -> None:
    time.sleep(600)


def closed() -> None:
    os.close(1)
    time.sleep(600)


def stubborn() -> None:
    """Do not listen to reason."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (HOME.parent.parent / "stubborn.pid").write_text(str(os.getpid()))
    tell("progress", fraction=0.1)
    time.sleep(600)


def busy() -> None:
    """Have begun, and take long."""
    tell("progress", fraction=0.5)
    time.sleep(600)


def garbage() -> None:
    sys.stdout.write("libfoo: warning, something\n")
    result()


def binary() -> None:
    sys.stdout.buffer.write(b"\xff\xfe\x00{}\n")
    sys.stdout.flush()
    result()


def other_words() -> None:
    sys.stdout.write('{"type": "promise", "fraction": 1}\n')
    result()


def half_a_line() -> None:
    sys.stdout.write('{"type": "result", "res')


def endless_line() -> None:
    sys.stdout.write("x" * 3_000_000)
    sys.stdout.flush()
    time.sleep(600)


def chatter() -> None:
    """Far more on standard error than a pipe holds, without one line's end."""
    sys.stderr.write("e" * 5_000_000)
    sys.stderr.write("\nlast word\n" * 50_000)
    result(survived=True)


def chatter_and_die() -> None:
    sys.stderr.write("e" * 5_000_000 + "\nlast word")
    sys.stderr.flush()
    segfault()


def grandchildren() -> None:
    """Leave others behind that hold the output open."""
    code = "import time; time.sleep(600)"
    pids = [subprocess.Popen([sys.executable, "-c", code]).pid for _ in range(2)]
    (HOME.parent.parent / "pids").write_text(" ".join(map(str, pids)))
    if TASK["params"].get("die"):
        tell("progress", fraction=0.5)
        os._exit(1)
    result()


def missing() -> None:
    result("nowhere.json")


def named() -> None:
    """Name whatever the task says."""
    (HOME.parent / "outside").write_text("secret")
    (HOME / "folder").mkdir()
    (HOME / "link").symlink_to("/etc/passwd")
    (HOME / "a b").write_text("odd")
    line = TASK["params"].get("line", "result")
    words: dict[str, Any] = {"result": {}} if line == "result" else {"state": {}}
    tell(line, artifacts=[TASK["params"]["name"]], **words)
    time.sleep(600)


def refuses() -> None:
    tell("error", code="not_a_video", error_class="bad_input", detail="a picture", hint="a video")


def with_parent() -> None:
    """Live as long as the parent does, as the real child does."""
    (HOME.parent.parent / "child.pid").write_text(str(os.getpid()))

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
    time.sleep(600)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
