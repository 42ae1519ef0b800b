"""What becomes of a delivery after its handler: five outcomes, closed."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import Later, Rejected


@dataclass(frozen=True, slots=True)
class Done:
    """Acknowledge it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Deliver it again after ``delay`` seconds; ``counted`` makes it another attempt."""

    delay: float
    counted: bool


@dataclass(frozen=True, slots=True)
class Bury:
    """Park it with the reason. ``alarming`` tells a broken deployment from a refused request."""

    reason: str
    alarming: bool = True


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Back to the queue, unchanged: this process is leaving."""


Outcome = Done | Again | Bury | GiveBack


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed message is tried, and how long it rests in between: exponential back-off
    from ``first`` to ``longest`` seconds, each between half and the whole of it by chance.
    """

    attempts: int = 5
    first: float = 1.0
    longest: float = 120.0
    chance: Callable[[], float] = random.random

    def delay(self, attempt: int) -> float:
        """Seconds to rest after this attempt has failed."""
        whole = min(self.longest, self.first * 2.0 ** min(attempt - 1, 32))
        return whole * (0.5 + self.chance() / 2)

    def after(self, error: BaseException, attempt: int) -> Outcome:
        """The outcome of an attempt that raised ``error``."""
        if isinstance(error, Later):
            return Again(error.delay, counted=False)
        if isinstance(error, Rejected):
            return Bury(f"{error.code}: {error.detail}", alarming=False)
        if attempt < self.attempts:
            return Again(self.delay(attempt), counted=True)
        return Bury(f"failed {attempt} times, at last with {type(error).__name__}: {error}")


@dataclass(slots=True)
class Brake:
    """Is on for ``pause`` seconds when most of the last ``window`` deliveries were buried for a
    reason that points at the deployment and not at one request.
    """

    clock: Callable[[], float]
    window: int = 20
    pause: float = 30.0
    _last: deque[bool] = field(default_factory=deque)
    _until: float = 0.0

    def note(self, *, is_bad: bool) -> None:
        """How one more delivery ended."""
        self._last.append(is_bad)
        if len(self._last) > self.window:
            self._last.popleft()
        if len(self._last) == self.window and sum(self._last) * 2 > self.window:
            self._last.clear()
            self._until = self.clock() + self.pause

    @property
    def remaining(self) -> float:
        """Seconds until deliveries may be taken again; 0 when they may."""
        return max(0.0, self._until - self.clock())
