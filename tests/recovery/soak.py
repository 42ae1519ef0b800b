"""Everything is killed at random for a while, and nothing is lost: ``make soak SECONDS=600``.

Services and workers in processes of their own, a private RabbitMQ and a private Redis. Processes
are killed with SIGKILL and held still longer than their leases; both servers are killed and come
back with what they had. Afterwards the whole history is checked, and it is said how long it took
until a job whose worker was killed was in other hands.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.integration.work.bench import programs
from tests.recovery.report import Report, report_of
from tests.recovery.soak_plan import SLACK_MS, Plan, planned
from tests.recovery.soak_run import Run
from tests.support.forks import forking
from tests.support.processes import own_redis
from tests.support.servers import own_broker


def soak(plan: Plan, folder: Path) -> Report:
    """Do it, and say what came of it."""
    with (
        own_broker() as broker,
        own_redis(next(iter(programs().values())), appendonly=True) as store,
        forking("tests.recovery.soak_crew", folder / "logs") as forks,
    ):
        run = Run(plan, forks, broker, store, random.Random(plan.seed))
        run.prepare(folder)
        run.disturb()
        run.settle()
        lease_ms = int(plan.lease * 1000)
        limit_ms = lease_ms + SLACK_MS if plan.is_timed else None
        return report_of(store, broker.url, run.log, lease_ms, limit_ms)


def main() -> int:
    """Soak for the seconds that are told; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rw-soak-", ignore_cleanup_errors=True) as folder:
        plan = planned(told.seconds, seed=told.seed, is_timed=True)
        report = soak(plan, Path(folder))
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
