"""Commands that are under way at the same time share one write and one read.

Most of what a command costs is the way, not the server: a system call for each, and a connection
taken and given back. What comes up while others are on their way travels with the next lot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from shared.errors import Unavailable

FLIGHTS: Final = 2
"""How many lots are under way at a time."""

MOST: Final = 128
"""How many commands go in one lot."""


class Call(NamedTuple):
    """A command with its arguments, the library's options, and where its answer goes."""

    args: Sequence[Any]
    options: Mapping[str, Any]
    answer: asyncio.Future[Any]


Send = Callable[[Sequence[Call]], Awaitable[Sequence[Any]]]
"""Carries a lot out; answers in order, what failed by its exception. Raises ``Unavailable``, which
all of the lot get."""


@dataclass(eq=False)
class Together:
    """Collects commands into lots. One that is cancelled may have been carried out; one that was
    given up on its way gets ``ConnectionError``, which the client turns into its own.
    """

    send: Send
    _waiting: list[Call] = field(default_factory=list)
    _flights: set[asyncio.Task[None]] = field(default_factory=set)

    async def call(self, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """The answer to one command."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(Call(args, options, answer))
        self._depart()
        return await answer

    async def landed(self) -> None:
        """Wait until nothing is under way."""
        while self._flights:
            await asyncio.wait(self._flights)

    def _depart(self) -> None:
        if self._waiting and len(self._flights) < FLIGHTS:
            flight = asyncio.create_task(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._depart()
        if not flight.cancelled():
            flight.result()

    async def _fly(self) -> None:
        lot, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        lot = [call for call in lot if not call.answer.done()]
        try:
            for call, answer in zip(lot, await self.send(lot) if lot else (), strict=True):
                _give(call, answer)
        except Unavailable as away:
            for call in lot:
                _give(call, type(away)(away.detail))
        finally:
            for call in lot:
                _give(call, ConnectionError("the command was given up on its way"))


def _give(call: Call, answer: Any) -> None:
    """Hand over an answer, unless there is one or nobody waits for it any more."""
    if call.answer.done():
        return
    if isinstance(answer, BaseException):
        call.answer.set_exception(answer)
    else:
        call.answer.set_result(answer)
