"""The queues inside :mod:`shared.bus.memory`: who holds which copy of a message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from shared.bus.transport import Buried, Delivery

DEAD_LETTERS = 1000
FANOUT_LENGTH = 20_000
RING_LENGTH = 1000
RING_SECONDS = 60.0


class Letter:
    """One copy of a message in one queue; ``settled`` is what its publisher waits for."""

    __slots__ = ("expires", "raw", "redelivered", "settled")

    def __init__(self, raw: bytes, *, expires: float = 0.0) -> None:
        self.raw = raw
        self.redelivered = False
        self.expires = expires
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Inbox:
    """One subscriber's end of a queue: what it was given and what it has in hand."""

    def __init__(
        self,
        room: int,
        wrap: Callable[[Letter, Inbox], Delivery],
        left: Callable[[Inbox], None],
    ) -> None:
        self._room = room
        self._wrap = wrap
        self._left = left
        self._given: deque[Letter] = deque()
        self._held: dict[Letter, None] = {}
        self._news = asyncio.Event()
        self.is_stopped = False

    @property
    def has_room(self) -> bool:
        """Whether another letter may be given."""
        return not self.is_stopped and len(self._held) < self._room

    def give(self, letter: Letter) -> None:
        """Hand a letter over."""
        self._held[letter] = None
        self._given.append(letter)
        self._news.set()

    def drop_oldest(self) -> None:
        """Forget the letter that waits longest."""
        self.release(self._given.popleft())

    def release(self, letter: Letter) -> bool:
        """Take a letter out of this subscriber's hands; False when it was not in them."""
        if letter not in self._held:
            return False
        del self._held[letter]
        return True

    def take_all(self) -> list[Letter]:
        """Everything not settled, oldest first; nothing is left in hand."""
        held = list(self._held)
        self._held.clear()
        self._given.clear()
        return held

    def take_untouched(self) -> list[Letter]:
        """What was given but never taken, oldest first."""
        untouched = [letter for letter in self._given if self.release(letter)]
        self._given.clear()
        return untouched

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        while not self._given:
            if self.is_stopped:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._wrap(self._given.popleft(), self)

    async def stop(self) -> None:
        """End the iteration; what was not taken goes back."""
        if not self.is_stopped:
            self.is_stopped = True
            self._news.set()
            self._left(self)


class SharedQueue:
    """Letters that each go to one of several subscribers."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.dead: deque[Buried] = deque(maxlen=DEAD_LETTERS)
        self._ready: deque[Letter] = deque()
        self._delayed: dict[Letter, asyncio.TimerHandle] = {}
        self._inboxes: deque[Inbox] = deque()

    def put(self, letter: Letter) -> None:
        """Queue a letter behind the others."""
        self._ready.append(letter)
        self.dispatch()

    def put_later(self, letter: Letter, delay: float) -> None:
        """Queue a letter after a delay."""
        loop = asyncio.get_running_loop()
        self._delayed[letter] = loop.call_later(max(delay, 0.0), self._due, letter)

    def put_back(self, letters: list[Letter]) -> None:
        """Return letters that a subscriber had, in front of the others."""
        for letter in reversed(letters):
            letter.redelivered = True
            self._ready.appendleft(letter)
        self.dispatch()

    def withdraw(self, letter: Letter) -> None:
        """Forget a letter unless a subscriber has it in hand."""
        timer = self._delayed.pop(letter, None)
        if timer is not None:
            timer.cancel()
        elif letter in self._ready:
            self._ready.remove(letter)

    def join(self, inbox: Inbox) -> None:
        """Another subscriber."""
        self._inboxes.append(inbox)
        self.dispatch()

    def leave(self, inbox: Inbox) -> None:
        """A subscriber less; what it had in hand is there again."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)
        self.put_back(inbox.take_all())

    def stop(self, inbox: Inbox) -> None:
        """A subscriber takes no more; it keeps what it has in hand."""
        self._inboxes.remove(inbox)
        self.put_back(inbox.take_untouched())

    def dispatch(self) -> None:
        """Give waiting letters to subscribers with room, in turn."""
        self._drop_expired()
        while self._ready:
            inbox = next((one for one in self._inboxes if one.has_room), None)
            if inbox is None:
                return
            self._inboxes.remove(inbox)
            self._inboxes.append(inbox)
            inbox.give(self._ready.popleft())

    def limit(self, length: int) -> None:
        """Forget the oldest letters over this number."""
        while len(self._ready) > length:
            self._ready.popleft()

    def close(self) -> None:
        """Release every publisher; nothing is delivered any more."""
        for timer in self._delayed.values():
            timer.cancel()
        held = [letter for inbox in self._inboxes for letter in inbox.take_all()]
        for letter in (*self._ready, *self._delayed, *held):
            letter.settled.cancel()
        self._ready.clear()
        self._delayed.clear()

    def _due(self, letter: Letter) -> None:
        del self._delayed[letter]
        self.put(letter)

    def _drop_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._ready and 0 < self._ready[0].expires <= now:
            self._ready.popleft()
