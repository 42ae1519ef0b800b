"""How many event streams may be open: per key, per tenant, and in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from services.gateway.settings import Settings
from shared.errors import TooMany
from shared.http.context import Principal

COME_BACK_SECONDS: Final = 10.0


class TooManyStreams(TooMany):
    """Too many event streams are open."""

    default_code = "too_many_streams"


@dataclass(frozen=True, slots=True)
class Places:
    """Counts the streams that are open in this process."""

    settings: Settings
    _taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def taken(self, principal: Principal) -> Iterator[None]:
        """Have a place while the block is open; :class:`TooManyStreams` when there is none."""
        limits = {
            f"key {principal.credential}": (self.settings.streams_per_key, "with this key"),
            f"tenant {principal.tenant}": (self.settings.streams_per_tenant, "by this tenant"),
            "": (self.settings.streams, "on this server"),
        }
        for name, (most, whose) in limits.items():
            if self._taken[name] >= most:
                detail = f"{most} event streams are open {whose}"
                raise TooManyStreams(
                    COME_BACK_SECONDS, detail, hint="close one, or come back later"
                )
        self._taken.update(limits.keys())
        try:
            yield
        finally:
            self._taken.subtract(limits.keys())
            for name in limits:
                if not self._taken[name]:
                    del self._taken[name]
