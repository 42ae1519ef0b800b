"""Unit tests run in virtual time: a loop whose clock jumps to the next timer when it is idle.

A back-off of five attempts or a delay of an hour takes no time. While a thread of the executor, a
socket or a child process is being waited for, the clock runs as everywhere.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

import pytest


class JumpingSelector(selectors.DefaultSelector):
    """Does not wait for a timer; tells how far it jumped instead."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0
        self.is_real: Callable[[], bool] = lambda: True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None or self.is_real():
            start = time.monotonic()
            events = super().select(timeout)
            self.elapsed += time.monotonic() - start
            return events
        self.elapsed += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        self._in_threads = 0
        super().__init__(self._jumping)
        own = len(self._jumping.get_map())  # the loop's pipe to itself
        self._jumping.is_real = lambda: self._in_threads > 0 or len(self._jumping.get_map()) > own

    def time(self) -> float:
        return self._jumping.elapsed

    def run_in_executor(  # type: ignore[override] # the base's types are not expressible here
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._in_threads -= 1

    def _came_back(self, _: object) -> None:
        self._in_threads -= 1


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every unit test's loop."""
    return {"virtual": JumpingLoop}
