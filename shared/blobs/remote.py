"""How stores that are not on this machine are spoken to: deadlines, repetitions, sizes of parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from shared.settings import SettingsError, redact

_MEBI = 1024 * 1024
LEAST_PART: Final = 5 * _MEBI
"""S3 takes no smaller part of an upload, but for the last one, …"""
MOST_PARTS: Final = 10_000
"""… and no more parts."""
USUAL_MOST: Final = 64 * 1024 * _MEBI
"""How large a blob may be whose writer does not say, in bytes."""
AHEAD: Final = 8 * _MEBI
"""How much is asked for at a time by who needs all of a blob: an answer takes a while to begin."""

Around = Callable[[str], AbstractAsyncContextManager[object]]
"""What is around each access to a store, by the key that is accessed."""


def unguarded(_key: str) -> AbstractAsyncContextManager[object]:
    """Nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take, in seconds, and how often it is asked again. Only what may be
    asked twice is: S3 has no other requests in use here.
    """

    connect: float = 5.0
    silence: float = 60.0
    request: float = 120.0
    retries: int = 2
    first_rest: float = 0.2
    longest_rest: float = 2.0
    give_up: float = 60.0

    def client(self) -> Any:  # obstore has its types only for those who check them
        """As obstore's ``client_options``."""
        return {
            "connect_timeout": timedelta(seconds=self.connect),
            "read_timeout": timedelta(seconds=self.silence),
            "timeout": timedelta(seconds=self.request),
        }

    def retry(self) -> Any:
        """As obstore's ``retry_config``. After ``give_up`` seconds nothing is asked again."""
        return {
            "max_retries": self.retries,
            "retry_timeout": timedelta(seconds=self.give_up),
            "backoff": {
                "init_backoff": timedelta(seconds=self.first_rest),
                "max_backoff": timedelta(seconds=self.longest_rest),
                "base": 2,
            },
        }


def part_bytes(at_most: int) -> int:
    """How large the parts of an upload of so many bytes are: whole MiB, and few enough."""
    least = -(-at_most // MOST_PARTS)
    return max(LEAST_PART, -(-least // _MEBI) * _MEBI)


def other_store(url: str, patience: Patience) -> ObjectStore:
    """A store of Google's, Microsoft's and so on; :class:`SettingsError` when the URL is none."""
    try:
        return from_url(url, client_options=patience.client(), retry_config=patience.retry())
    except (BaseError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise SettingsError(f"REELWAY_BLOBS_URL={redact(url)!r} is not valid: {reason}") from error
