"""Brings back jobs whose worker is gone and those whose time has come, forgets those that ended
long ago. Needs no leader.
"""

from __future__ import annotations

import asyncio
import logging
import random

from shared.clock import Clock
from shared.errors import Unavailable
from shared.work.governor import Governor
from shared.work.ledger import Ledger

_AT_ONCE = 100
_DAY_MS = 24 * 3600 * 1000
_log = logging.getLogger(__name__)


async def reap_forever(ledger: Ledger, every: float = 1.0) -> None:
    """Look about once every ``every`` seconds, for ever."""
    while True:
        try:
            reaped = await ledger.reap(_AT_ONCE)
            if reaped.lost:
                _log.warning("%d jobs had lost their worker", reaped.lost)
            if _AT_ONCE in reaped:
                continue  # there are more: a host full of workers may have died
        except Unavailable as away:
            _log.warning("the ledger cannot be reaped: %s", away.detail)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))


async def forget_forever(
    governor: Governor, days: float, clock: Clock, every: float = 300.0
) -> None:
    """Forget jobs that ended more than ``days`` ago, for ever."""
    while True:
        try:
            while forgotten := await governor.forget(int(clock() - days * _DAY_MS), _AT_ONCE):
                _log.info("forgot %d jobs that ended more than %g days ago", forgotten, days)
        except Unavailable as away:
            _log.warning("old jobs cannot be forgotten: %s", away.detail)
        await asyncio.sleep(every * random.uniform(0.8, 1.2))
