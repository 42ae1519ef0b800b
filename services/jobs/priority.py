"""What each tier gets: its base priority, how much it may run, and how much may wait."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.contracts.records import Tier

LONGEST_WAIT_SECONDS = 24 * 3600
"""Where more than this is to be expected, no further work is taken on."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """``running`` jobs at a time in one pool, ``queued`` jobs that may wait in all; ``weight`` is
    how many turns it gets where another of the same priority gets one.
    """

    base: int
    running: int
    queued: int
    weight: int = 1


Shares = Mapping[Tier, Share]

SHARES: dict[Tier, Share] = {
    "free": Share(base=50, running=4, queued=200),
    "premium": Share(base=70, running=16, queued=2_000),
    "enterprise": Share(base=90, running=64, queued=20_000),
}
