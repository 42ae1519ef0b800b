"""The command ``reelway simulate``: what a mix of demand would do to the waits of each tier."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.jobs.simulation import Demand, Rules, arrivals, replay
from services.jobs.simulation_report import Report, report, table
from shared.contracts.records import Tier
from shared.work.priority import GUARD_EVERY

TIERS: tuple[Tier, ...] = ("enterprise", "premium", "free")
MOST_JOBS = 2_000_000
"""More would take minutes and gigabytes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the words of the command ask for."""

    demand: Demand
    rules: Rules
    is_json: bool


def run_simulate(words: Sequence[str]) -> int:
    """Replay what the words ask for and print what came of it; wrong words end the process."""
    asked = parse(words)
    demand, rules = asked.demand, asked.rules
    outcome = replay(arrivals(demand), rules, demand.slots, demand.until)
    found = report(demand, rules, outcome)
    sys.stdout.write(_json(found) if asked.is_json else table(found))
    return 0


def parse(words: Sequence[str]) -> Asked:
    """What the words ask for; wrong words end the process with what is wrong."""
    parser = _parser()
    asked = parser.parse_args(words)
    demand = _demand(asked)
    if demand.expected_jobs > MOST_JOBS:
        parser.error(f"about {demand.expected_jobs:.0f} jobs would come, at most {MOST_JOBS} may")
    rules = Rules(guard_every=asked.guard, has_limits=asked.limits, has_admission=asked.admission)
    return Asked(demand, rules, asked.json)


def _demand(asked: argparse.Namespace) -> Demand:
    """The mix as it is, or scaled to the load when one is given."""
    parts: Mapping[Tier, float] = asked.mix
    scale = asked.load / sum(parts.values()) if asked.load else 1
    return Demand(
        parts={tier: part * scale for tier, part in parts.items()},
        slots=asked.slots,
        minutes=asked.minutes,
        days=asked.days,
        tenants=asked.tenants,
        is_fixed=asked.service == "fixed",
        seed=asked.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reelway simulate",
        description="Replay arrivals through the priority law and print the waits of each tier.",
    )
    add = parser.add_argument
    add("--mix", type=_mix, default="80/25/5", metavar="E/P/F", help=_MIX)
    add("--load", type=_positive, metavar="PART", help="scale the mix to this, 1.1 being 110 %%")
    add("--slots", type=_count, default=10, help="jobs at a time (%(default)s)")
    add("--minutes", type=_positive, default=6, help="what a job takes (%(default)s)")
    add("--service", choices=("exponential", "fixed"), default="exponential", help=_SERVICE)
    add("--days", type=_positive, default=21, help="how long (%(default)s)")
    add("--tenants", type=_count, default=3, help="of each tier (%(default)s)")
    add("--guard", type=_guard, default=GUARD_EVERY, metavar="N|off", help=_GUARD)
    add("--limits", type=_switch, default=True, metavar="on|off", help="of running jobs")
    add("--admission", type=_switch, default=True, metavar="on|off", help="refuse what is too much")
    add("--seed", type=int, default=1, help="of the chances (%(default)s)")
    add("--json", action="store_true", help="data instead of a table")
    return parser


_MIX = "demand of enterprise, premium and free in %% of capacity (%(default)s)"
_SERVICE = "whether each job takes just that or so much on average (%(default)s)"
_GUARD = "every so many claims take the longest wait (%(default)s)"


def _mix(text: str) -> Mapping[Tier, float]:
    parts = [_number(part) / 100 for part in text.split("/")]
    if len(parts) != len(TIERS) or min(parts) < 0 or not sum(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers as in 80/25/5")
    return dict(zip(TIERS, parts, strict=True))


def _positive(text: str) -> float:
    number = _number(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return number


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _guard(text: str) -> int:
    if text == "off":
        return 0
    try:
        return _count(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither off nor from 1 to 1000") from error


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text == "on"


def _json(found: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
