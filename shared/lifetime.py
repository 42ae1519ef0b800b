"""When a process ends: by the first signal in order, by the second at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shared.errors import Unavailable
from shared.telemetry.names import Action

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CUT_AGAIN_SECONDS = 1.0
_BACKSTOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Lifetime:
    """The life of the task that makes one.

    ``stopping`` is set by the first signal, or by whoever finds that the process cannot go on.
    Stopping may take ``seconds``; then, or by a second signal, whatever is still being left is
    cancelled, again and again, until the task is through.
    """

    def __init__(self, seconds: float) -> None:
        self.stopping = asyncio.Event()
        self.is_up = False
        self.signals = 0
        self.was_cut = False
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._backstop = threading.Timer(seconds + _BACKSTOP_SECONDS, os._exit, (1,))
        self._backstop.daemon = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Signals are ours inside the block."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            self._backstop.cancel()
            if self._timer is not None:
                self._timer.cancel()
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def until_stopping(self) -> None:
        """Everything is up; return when it shall end. From then on the time for stopping runs."""
        self.is_up = True
        await self.stopping.wait()
        self.is_up = False
        with suppress(RuntimeError):  # it runs already
            self._backstop.start()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._overrun)

    async def check(self) -> None:
        """Raise unless everything is up."""
        if not self.is_up:
            raise Unavailable("not everything is up")

    def _signalled(self, number: signal.Signals) -> None:
        self.signals += 1
        extra = {"action": Action.STOPPING}
        if self.signals > 1:
            _log.warning("%s again: stopping at once", number.name, extra=extra)
            self._cut()
            return
        _log.info("%s: stopping", number.name, extra=extra)
        self.stopping.set()
        if not self.is_up and self._task is not None:
            self._task.cancel()

    def _overrun(self) -> None:
        extra = {"action": Action.STOP_OVERRUN}
        _log.error("stopping took over %g s: cutting it short", self._seconds, extra=extra)
        self._cut()

    def _cut(self) -> None:
        self.was_cut = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(_CUT_AGAIN_SECONDS, self._cut)
