"""Named points at which a death or a lost reply matters, for tests to strike there.

A point is a call that has an effect outside this process: a script, a publish, a blob, a delivery.
The product only names them. Where nothing is installed, and nothing of the product installs
anything, :func:`through` is the call itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Faults(Protocol):
    """Decides what becomes of the calls at the points."""

    async def play(self, point: str, act: Callable[[], Awaitable[T]]) -> T:
        """What the caller at ``point`` sees; ``act`` makes the call, any number of times."""
        ...


_installed: list[Faults] = []


def through(point: str, act: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    """Make the call ``act``, unless installed faults decide otherwise."""
    return _installed[-1].play(point, act) if _installed else act()


@contextmanager
def installed(faults: Faults) -> Iterator[None]:
    """Let these faults decide while the block is open."""
    _installed.append(faults)
    try:
        yield
    finally:
        _installed.remove(faults)
