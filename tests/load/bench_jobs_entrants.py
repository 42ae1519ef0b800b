"""Who takes part in the race of ``make bench-jobs``, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Literal

from tests.load import bench_jobs_ours as ours
from tests.load.bench_jobs_line import PREFETCH, SLOTS
from tests.load.bench_jobs_servers import Servers
from tests.support.processes import Process

ROOT = Path(__file__).parents[2]
OTHERS = str(ROOT / ".venv-bench" / "bin" / "python")
System = Literal["reelway", "celery", "taskiq"]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One way to run one of the systems. ``work`` has the words of each command to be started
    after the name of the Python, ``processes`` counts those that work on jobs.
    """

    system: System
    form: str
    processes: int
    work: tuple[tuple[str, ...], ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """Whose Python: the others' libraries have an environment of their own."""
        return sys.executable if self.system == "reelway" else OTHERS

    @property
    def submit(self) -> tuple[str, ...]:
        """The words of the command that submits."""
        if self.system == "reelway":
            return ("-m", "tests.load.bench_jobs_ours", "submit")
        return ("-m", f"tests.load.bench_jobs_{self.system}")

    @property
    def queue(self) -> str:
        """Where its jobs wait at the broker."""
        return ours.QUEUE if self.system == "reelway" else self.system

    @property
    def database(self) -> int:
        """The number of its database in Redis."""
        return {"reelway": 1, "celery": 2, "taskiq": 3}[self.system]

    def environment(self, servers: Servers) -> dict[str, str]:
        """What its programs find in the environment."""
        store = servers.database(self.database)
        kept = {name: text for name, text in environ.items() if not name.startswith("REELWAY_")}
        own = {"BENCH_AMQP_URL": servers.amqp, "BENCH_REDIS_URL": store}
        if self.system == "reelway":
            own |= {"REELWAY_BUS_URL": servers.amqp, "REELWAY_STORE_URL": store}
        return {**kept, "PYTHONPATH": str(ROOT), **own, **self.settings}

    @contextmanager
    def working(self, servers: Servers, folder: Path) -> Iterator[list[int]]:
        """Its worker processes, as long as the block is open; gives their process ids."""
        with ExitStack() as stack:
            pids = []
            for number, words in enumerate(self.work):
                own = {"REELWAY_DATA_DIR": str(folder / str(number))}
                environment = self.environment(servers) | own
                log = folder / f"{self.system}-{number}.log"
                process = Process([self.python, *words], environment, log)
                stack.callback(process.end)
                pids.append(process._process.pid)
            yield pids


def _reelway(form: str, *processes: str) -> Entrant:
    work = tuple(("-m", "tests.load.bench_jobs_ours", *words.split()) for words in processes)
    settings = {
        "REELWAY_LOG_LEVEL": "warning",
        "REELWAY_JOBS_SLOTS": "1",  # the pool of media has nothing to do here
    }
    return Entrant(
        system="reelway", form=form, processes=len(processes), work=work, settings=settings
    )


def _celery(form: str, pool: str, concurrency: int, processes: int = 1) -> Entrant:
    words = ("-m", "celery", "-A", "tests.load.bench_jobs_celery", "worker")
    options = (f"--pool={pool}", f"-c{concurrency}", "--without-gossip", "--without-mingle")
    multiplier = str(max(1, PREFETCH // (concurrency // processes)))
    return Entrant(
        system="celery",
        form=form,
        processes=processes,
        work=((*words, *options),),
        settings={"BENCH_MULTIPLIER": multiplier},
    )


def _taskiq(form: str, processes: int) -> Entrant:
    words = ("-m", "taskiq", "worker", "tests.load.bench_jobs_taskiq:broker")
    options = ("--workers", str(processes), "--max-async-tasks", str(SLOTS))
    quiet = ("--log-level", "WARNING", "--ack-type", "when_saved")
    return Entrant(
        system="taskiq", form=form, processes=processes, work=((*words, *options, *quiet),)
    )


ENTRANTS = (
    _reelway("all in one", "ledger pool"),
    _celery("prefork -c 1", "prefork", 1),
    _celery("threads -c 16", "threads", SLOTS),
    _taskiq("--workers 1", 1),
    _reelway("two of all in one", "ledger pool", "ledger pool"),
    _reelway("ledger, pool", "ledger", "pool"),
    _celery("prefork -c 2", "prefork", 2, 2),
    _taskiq("--workers 2", 2),
)
