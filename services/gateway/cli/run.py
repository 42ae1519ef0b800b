"""One command of the command line, from its words to its exit code."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from services.gateway.cli import commands
from services.gateway.cli.access import access
from services.gateway.cli.failures import CommandFailed
from services.gateway.cli.gateway import opened
from services.gateway.cli.parser import COMMANDS, parser
from services.gateway.cli.screen import plain, screen

_INTERRUPTED = 130


def is_meant(words: Sequence[str], services: Sequence[str]) -> bool:
    """Whether these words are one of these commands; ``reelway jobs`` alone hosts the service."""
    if not words or words[0] not in COMMANDS:
        return False
    return words[0] not in services or (len(words) > 1 and words[1] not in services)


def run_client(words: Sequence[str]) -> int:
    """Do it. What is wrong is one line on standard error."""
    asked = parser().parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know every letter
    try:
        return asyncio.run(_run(asked, os.environ))
    except CommandFailed as failed:
        sys.stderr.write(f"reelway: {plain(failed)}\n")
        return failed.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


async def _run(asked: Namespace, environ: Mapping[str, str]) -> int:
    way = access(asked.url, asked.key_file, environ, is_admin=asked.thing == "pools")
    async with opened(way) as gateway:
        return await commands.run(gateway, asked, screen(is_json=asked.is_json))
