"""A soak while it goes on: everybody at their posts, killed and replaced.

Whoever ends is started again at once, whatever it ended of: that is what an operator's supervisor
is for. What it ended of is judged afterwards.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import redis

from shared.contracts.records import Tenant
from shared.store.keys import tenant_key
from tests.recovery.clerk import CLOSING
from tests.recovery.figures import End, Life, Log, Span
from tests.recovery.leftovers import is_all_told
from tests.recovery.porter import OPEN, TENANTS
from tests.recovery.soak_plan import POSTS, Plan, Post
from tests.support.forks import Forks
from tests.support.processes import RedisProcess
from tests.support.servers import Broker

SETTLE_SECONDS = 90.0
_CALM_SECONDS = 2.0
"""At the beginning, so that there is work to be killed at."""
_RECONNECT_MS = 5000
"""How long after a server has come back its clients may still be without it."""


@dataclass
class Run:
    """One soak: ``prepare``, ``disturb`` and ``settle`` in this order."""

    plan: Plan
    forks: Forks
    broker: Broker
    store: RedisProcess
    chance: random.Random
    log: Log = field(default_factory=Log)
    _folder: Path = Path()
    _common: dict[str, str] = field(default_factory=dict)
    _posts: dict[int, Life] = field(default_factory=dict)
    _still: dict[int, Span] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        """Two tenants, and everybody at their post."""
        with redis.Redis.from_url(self.store.url) as eyes:
            for tenant in TENANTS:
                record = Tenant(id=tenant, tier="premium", created_at=_now())
                eyes.set(tenant_key(tenant), msgspec.json.encode(record))
            eyes.set(OPEN, self.plan.uploads_open)
        self._common = {
            "bus_url": self.broker.url,
            "store_url": self.store.url,
            "blobs_url": (folder / "blobs").as_uri(),
            "lease_seconds": str(self.plan.lease),
            "retry_seconds": "0.2",
            "log_level": "warning",
        }
        self._folder = folder
        self._fill_posts()
        self._mind(time.monotonic() + _CALM_SECONDS)

    def disturb(self) -> None:
        """Kill and hold still, at moments that only chance knows, but so often in all."""
        began, plan = time.monotonic(), self.plan
        acts: list[tuple[float, Callable[[], object]]] = []
        act: Callable[[], object]
        for act, number in ((self._kill, plan.kills), (self._hold_still, plan.stalls)):
            acts += [(self.chance.random(), act) for _ in range(number)]
        with ThreadPoolExecutor(2) as threads:
            servers: list[Future[None]] = []
            for away, number in (
                (self._kill_broker, plan.broker_kills),
                (self._kill_store, plan.store_kills),
            ):
                begin = partial(lambda away: servers.append(threads.submit(away)), away)
                acts += [((n + 0.5) / number, begin) for n in range(number)]
            for share, act in sorted(acts, key=lambda each: each[0]):
                self._mind(began + share * plan.seconds)
                act()
            self._mind(began + plan.seconds)
        for server in servers:
            server.result()

    def settle(self) -> None:
        """Let everything come to its end, then let everybody leave."""
        for pid in list(self._still):
            self._let_go_on(pid)
        with redis.Redis.from_url(self.store.url) as eyes:
            eyes.set(CLOSING, 1)
        self._mind(time.monotonic() + SETTLE_SECONDS, self._has_door_left)
        self._mind(time.monotonic() + SETTLE_SECONDS, lambda: is_all_told(self.store))
        leaving = [life for at, life in self._posts.items() if at]
        for life in leaving:
            _tell(life.pid, signal.SIGTERM)
        for life in leaving:
            self._note_end(life)

    def _fill_posts(self) -> None:
        """Put a process at every post where there is none."""
        for at, post in enumerate(POSTS):
            life = self._posts.get(at)
            if life is not None and not self.forks.has_ended(life.pid):
                continue
            if life is not None:
                if at == 0 and self._has_door_left():
                    continue
                self._note_end(life)
            self._posts[at] = self._start(at, post)

    def _start(self, at: int, post: Post) -> Life:
        if post.role == "door":
            pid = self.forks.start("door", **self._common)
        else:
            own = {"data_dir": str(self._folder / f"post-{at}"), **post.settings}
            pid = self.forks.start("service", name=post.role, **self._common, **own)
        life = Life(pid, post.role, dict(post.slots), since=_now())
        self.log.lives.append(life)
        return life

    def _mind(self, end: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Replace whoever has ended, let go on whoever has stood still long enough."""
        while time.monotonic() < end and not is_over():
            self._fill_posts()
            for pid, span in list(self._still.items()):
                if _now() >= span.until:
                    self._let_go_on(pid)
            time.sleep(0.01)

    def _kill(self) -> None:
        life = self._somebody(POSTS)
        life.until, life.was_killed = _now(), True
        _tell(life.pid, signal.SIGKILL)

    def _hold_still(self) -> None:
        life = self._somebody([post for post in POSTS if post.slots])
        _tell(life.pid, signal.SIGSTOP)
        seconds = self.plan.lease * self.chance.uniform(1.2, 2.0)
        span = Span(str(life.pid), _now(), _now() + int(seconds * 1000))
        self._still[life.pid] = span
        self.log.stalls.append(span)

    def _let_go_on(self, pid: int) -> None:
        del self._still[pid]
        _tell(pid, signal.SIGCONT)

    def _somebody(self, posts: Sequence[Post]) -> Life:
        """A process that runs, at one of these posts."""
        self._fill_posts()
        running = [
            life
            for at, post in enumerate(POSTS)
            if post in posts
            and not (life := self._posts[at]).was_killed
            and life.pid not in self._still
        ]
        return self.chance.choice(running)

    def _kill_broker(self) -> None:
        since = _now()
        self.broker.kill()
        time.sleep(1.0)
        self.broker.start()
        self.log.outages.append(Span("RabbitMQ", since, _now() + _RECONNECT_MS))

    def _kill_store(self) -> None:
        since = _now()
        self.store.kill()
        time.sleep(0.5)
        self.store.start()
        self.log.outages.append(Span("Redis", since, _now() + _RECONNECT_MS))

    def _has_door_left(self) -> bool:
        pid = self._posts[0].pid
        return self.forks.has_ended(pid) and self.forks.status(pid) == 0

    def _note_end(self, life: Life) -> None:
        """How somebody ended who was not killed, but told to leave or gave up by itself."""
        life.until = min(life.until, _now())
        status = self.forks.status(life.pid)
        if not life.was_killed and status:
            logs = self.forks.folder.glob(f"*-{life.pid}.log")
            said = "".join(log.read_text(errors="replace") for log in logs)
            self.log.ends.append(End(life, status, said))


def _tell(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _now() -> int:
    return int(time.time() * 1000)
