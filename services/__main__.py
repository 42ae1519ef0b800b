"""Host services in this process: ``python -m services`` all four, ``python -m services jobs drive``
any of them. Other words are commands: for operators beside a store (:mod:`services.gateway.admin`),
and over HTTP (:mod:`services.gateway.cli`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from shared.host import main as host_main
from shared.settings import SERVICES

# Loaded when they are wanted: what one service alone needs takes no memory of the others.
_SERVICES = {name: f"services.{name}.service:{name.upper()}" for name in SERVICES}
_COMMANDS = {"demo": "services.demo:run_demo", "simulate": "services.jobs.simulate:run_simulate"}
_USAGE = f"""\
usage: reelway [SERVICE ...]              run services (all of them when none is named)
       reelway tenant create NAME [--tier free|premium|enterprise] [--max-bytes 500G]
       reelway tenant change NAME [--tier …] [--max-bytes …] [--no-auto-approve]
       reelway tenant list
       reelway key create TENANT [--name TEXT] [--read-only]
       reelway key revoke KEY_OR_PREFIX
       reelway jobs list|show|watch|cancel|pause|resume|retry|priority|timeline …   over HTTP
       reelway jobs dead list|summary|retry|discard …
       reelway pools list|pause|resume|limit …
       reelway demo [VIDEO]               show the main job on a video, or on a clip made for it
       reelway simulate [--mix 80/25/5]   what a mix of demand does to waits; --help for more

services: {", ".join(SERVICES)}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; the process ends with an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_USAGE)
        return
    unknown = [word for word in words if word not in SERVICES]
    if not unknown:
        host_main(*(_loaded(_SERVICES[name]) for name in dict.fromkeys(words or SERVICES)))
        return
    if command := _command(words):
        sys.exit(command())
    sys.stderr.write(f"reelway: there is no service or command {unknown[0]!r}\n\n{_USAGE}")
    sys.exit(2)


def _command(words: Sequence[str]) -> Callable[[], int] | None:
    """What these words ask for, if it is a command."""
    if words[0] == "demo":
        return lambda: int(_loaded(_COMMANDS["demo"])(words[1] if len(words) > 1 else ""))
    if words[0] == "simulate":
        return lambda: int(_loaded(_COMMANDS["simulate"])(words[1:]))
    admin, client = import_module("services.gateway.admin"), "services.gateway.cli.run"
    if words[0] in admin.COMMANDS:
        return lambda: int(admin.run_command(words))
    if _loaded(f"{client}:is_meant")(words, SERVICES):
        return lambda: int(_loaded(f"{client}:run_client")(words))
    return None


def _loaded(place: str) -> Any:
    """The object that is so named: ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


if __name__ == "__main__":
    main()
