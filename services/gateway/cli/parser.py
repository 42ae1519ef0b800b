"""The words of the commands."""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Final, TypeAlias, get_args

from shared.contracts.records import JobState
from shared.ids import is_id

COMMANDS: Final = ("jobs", "pools")
_BOOST = re.compile(r"(\d{1,3})/(\d{1,8})/(\d{1,3})")
_ABOUT = """\
The gateway is that of --url or REELWAY_URL. The key is that of --key-file or REELWAY_API_KEY (for
pools REELWAY_GATEWAY_ADMIN_KEY), else the one that the first start left in the data folder.
Exit codes: 0 done, 1 failed or refused, 2 not understood; `watch JOB` is 0 if the job succeeded.
"""


def parser() -> ArgumentParser:
    """Everything that can be said."""
    top = ArgumentParser(prog="reelway", epilog=_ABOUT)
    things = top.add_subparsers(dest="thing", required=True)
    jobs = things.add_parser("jobs", help="jobs, over HTTP", epilog=_ABOUT)
    _jobs(jobs.add_subparsers(dest="verb", required=True))
    pools = things.add_parser("pools", help="pools of workers, for operators", epilog=_ABOUT)
    _pools(pools.add_subparsers(dest="verb", required=True))
    return top


Verbs: TypeAlias = "argparse._SubParsersAction[ArgumentParser]"  # noqa: SLF001 - it has no other name


def _jobs(verbs: Verbs) -> None:
    listing = _verb(verbs, "list", "show jobs, newest first")
    listing.add_argument("--state", type=_states, default="", help=f"of {', '.join(_STATES)}")
    for name in ("flow", "video", "parent"):
        listing.add_argument(f"--{name}", default="")
    listing.add_argument("--limit", type=_positive, default=50)
    _one(verbs, "show", "show a job with its steps and failures")
    watching = _verb(verbs, "watch", "follow a job to its end, or all jobs until interrupted")
    watching.add_argument("job", type=_id, nargs="?")
    _one(verbs, "cancel", "stop a job")
    _one(verbs, "pause", "let a job rest")
    _one(verbs, "resume", "let a paused job go on")
    retry = _one(verbs, "retry", "run a job that has ended again")
    retry.add_argument("--step", default="", help="begin with this one, else with what is not done")
    _priority(_one(verbs, "priority", "show or change how urgent a job is, and why it waits"))
    _one(verbs, "timeline", "show every attempt at a job")
    dead = verbs.add_parser("dead", help="failed jobs: list, summary, retry, discard")
    _dead(dead.add_subparsers(dest="act", required=True))


def _priority(command: ArgumentParser) -> None:
    command.add_argument("--base", type=int, metavar="0..90")
    command.add_argument("--age-boosting", choices=("on", "off"))
    command.add_argument(
        "--boost",
        type=_boost,
        metavar="RATE/SECONDS/CAP",
        help="what waiting adds, such as 1/3600/20",
    )


def _dead(acts: Verbs) -> None:
    listing = _verb(acts, "list", "show failed jobs, newest first")
    _filters(listing)
    listing.add_argument("--limit", type=_positive, default=50)
    _verb(acts, "summary", "count failed jobs by what is wrong with them")
    for name, text in (("retry", "retry failed jobs"), ("discard", "give failed jobs up")):
        command = _verb(acts, name, f"{text}: by id, by filter, or all")
        _filters(command)
        command.add_argument("--id", type=_id, action="append", default=[], dest="ids")
        command.add_argument("--all", action="store_true", help="whatever is wrong with them")
        command.add_argument("--dry-run", action="store_true", help="only say which")
        command.add_argument("--limit", type=_positive, default=100)


def _filters(command: ArgumentParser) -> None:
    for name in ("flow", "step", "code", "error-class", "video"):
        command.add_argument(f"--{name}", default="")
    for name in ("before", "after"):
        command.add_argument(f"--{name}", default="", metavar="TIME", help="failed then, RFC 3339")


def _pools(verbs: Verbs) -> None:
    _verb(verbs, "list", "show what pools do")
    for name, text in (("pause", "let a pool rest"), ("resume", "let a pool go on")):
        _verb(verbs, name, text).add_argument("pool")
    limit = _verb(verbs, "limit", "let at most so many jobs run in a pool; 0 is no limit")
    limit.add_argument("pool")
    limit.add_argument("limit", type=int)


def _one(verbs: Verbs, name: str, text: str) -> ArgumentParser:
    """A command about one job."""
    command = _verb(verbs, name, text)
    command.add_argument("job", type=_id)
    return command


def _verb(verbs: Verbs, name: str, text: str) -> ArgumentParser:
    """A command, with what every command takes."""
    command = verbs.add_parser(name, help=text, description=text)
    command.add_argument("--url", default="", help="where the gateway is")
    command.add_argument("--key-file", default="", help="a file with the key")
    command.add_argument("--json", action="store_true", help="print JSON", dest="is_json")
    return command


_STATES = get_args(JobState)


def _states(text: str) -> str:
    unknown = [state for state in text.split(",") if state not in {*_STATES, ""}]
    if unknown:
        raise ArgumentTypeError(f"{unknown[0]!r} is no state; there are {', '.join(_STATES)}")
    return text


def _id(text: str) -> str:
    if not is_id(text):
        raise ArgumentTypeError(f"{text!r} is no id of a job")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _boost(text: str) -> dict[str, int]:
    found = _BOOST.fullmatch(text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not RATE/SECONDS/CAP, such as 1/3600/20")
    rate, step_seconds, cap = (int(part) for part in found.groups())
    return {"rate": rate, "step_seconds": step_seconds, "cap": cap}
