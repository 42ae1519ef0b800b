"""Host services in this process: ``python -m services`` all four, ``python -m services jobs drive``
any of them. Other words are commands: for operators beside a store (:mod:`services.gateway.admin`),
and over HTTP (:mod:`services.gateway.cli`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from services.catalog.service import CATALOG
from services.demo import run_demo
from services.drive.service import DRIVE
from services.gateway.admin import COMMANDS, run_command
from services.gateway.cli.run import is_meant, run_client
from services.gateway.service import GATEWAY
from services.jobs.service import JOBS
from services.jobs.simulate import run_simulate
from shared.host import main as host_main
from shared.settings import SERVICES

ALL = (CATALOG, DRIVE, JOBS, GATEWAY)
_USAGE = f"""\
usage: reelway [SERVICE ...]              run services (all of them when none is named)
       reelway tenant create NAME [--tier free|premium|enterprise] [--no-auto-approve]
       reelway tenant list
       reelway key create TENANT [--name TEXT] [--read-only]
       reelway key revoke KEY_OR_PREFIX
       reelway jobs list|show|watch|cancel|pause|resume|retry|priority|timeline …   over HTTP
       reelway jobs dead list|summary|retry|discard …
       reelway pools list|pause|resume|limit …
       reelway demo [VIDEO]               show the main job on a video, or on a clip made for it
       reelway simulate [--mix 80/25/5]   what a mix of demand does to waits; --help for more

services: {", ".join(service.name for service in ALL)}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; the process ends with an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_USAGE)
        return
    if words and words[0] in COMMANDS:
        sys.exit(run_command(words))
    if is_meant(words, SERVICES):
        sys.exit(run_client(words))
    if words and words[0] == "demo":
        sys.exit(run_demo(words[1] if len(words) > 1 else ""))
    if words and words[0] == "simulate":
        sys.exit(run_simulate(words[1:]))
    known = {service.name: service for service in ALL}
    unknown = [word for word in words if word not in known]
    if unknown:
        sys.stderr.write(f"reelway: there is no service or command {unknown[0]!r}\n\n{_USAGE}")
        sys.exit(2)
    host_main(*(known[word] for word in dict.fromkeys(words)) if words else ALL)


if __name__ == "__main__":
    main()
