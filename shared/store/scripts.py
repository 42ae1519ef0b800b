"""Lua scripts that lie beside the code which calls them.

A script is one ``.lua`` file. Its first line may name shared parts, which are put before it::

    -- include: prelude transitions

A part is ``include/<name>.lua`` in the same folder and may include others. A script refuses with
``return redis.error_reply("RW CONFLICT the job is already done")``; the word after ``RW`` decides
which exception the caller gets.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NoReturn

from redis.exceptions import NoScriptError, ResponseError

from shared.errors import Conflict, Invalid, NotFound, ReelwayError
from shared.faults import through
from shared.store.redis import Store

_INCLUDE = "-- include:"
_REFUSAL = "RW "

Refusal = Callable[[str], ReelwayError]
"""Makes the exception for a refusal from its detail; any class of the error tree that needs no
more than its detail is one.
"""

STANDARD: Mapping[str, Refusal] = {
    "NOT_FOUND": NotFound,
    "CONFLICT": Conflict,
    "INVALID": Invalid,
}
"""What scripts may say without declaring it."""


@dataclass(frozen=True)
class Script:
    """One script with its shared parts, under the name that the server gives it."""

    name: str
    text: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha1", digest)


def read_scripts(package: str, folder: str) -> dict[str, Script]:
    """Every script of a package's folder by name, from a checkout or from a wheel."""
    root = files(package).joinpath(folder)
    return {
        name: Script(name, _assembled(root, entry.read_text("utf-8"), set()))
        for entry in sorted(root.iterdir(), key=lambda entry: entry.name)
        if (name := entry.name.removesuffix(".lua")) != entry.name
    }


_read_once = cache(read_scripts)
"""For those who call them, of whom there are many in a process."""


def _assembled(root: Traversable, text: str, included: set[str]) -> str:
    """The text after the parts it names, each part once."""
    first, _, _ = text.partition("\n")
    parts: list[str] = []
    for name in first.removeprefix(_INCLUDE).split() if first.startswith(_INCLUDE) else ():
        if name not in included:
            included.add(name)
            part = root.joinpath("include", f"{name}.lua").read_text("utf-8")
            parts.append(_assembled(root, part, included))
    return "\n".join((*parts, text))


class Scripts:
    """The scripts of one folder, ready to be called on a store."""

    def __init__(
        self,
        store: Store,
        package: str,
        folder: str,
        errors: Mapping[str, Refusal] | None = None,
    ) -> None:
        self._store = store
        self._scripts = _read_once(package, folder)
        self._errors = {**STANDARD, **(errors or {})}

    @property
    def names(self) -> frozenset[str]:
        """What can be called."""
        return frozenset(self._scripts)

    async def call(
        self,
        name: str,
        keys: Sequence[str | bytes] = (),
        args: Sequence[str | bytes | int | float] = (),
    ) -> Any:
        """Run a script once and give its reply.

        Raises what the script's refusal stands for; :class:`~shared.store.redis.StoreUnavailable`
        when the server is away: whether the script ran is then unknown.
        """
        script = self._scripts[name]
        started, answered = time.monotonic(), False
        try:
            given = (len(keys), *keys, *args)
            reply = await through(f"script:{name}", lambda: self._run(script, given))
            answered = True
        except ResponseError as error:
            answered = True
            self._refuse(name, error)
        finally:
            if self._store.observe is not None:
                self._store.observe(f"script:{name}", time.monotonic() - started, answered)
        return reply

    async def _run(self, script: Script, given: Sequence[Any]) -> Any:
        send: Callable[..., Awaitable[Any]] = self._store.commands.execute_command
        try:
            return await send("EVALSHA", script.sha1, *given)
        except NoScriptError:  # certain not to have run: the server was restarted or flushed
            await send("SCRIPT LOAD", script.text)
            return await send("EVALSHA", script.sha1, *given)

    def _refuse(self, name: str, error: ResponseError) -> NoReturn:
        if not str(error).startswith(_REFUSAL):
            raise ReelwayError(f"script {name} failed: {error}", code="script_failed") from error
        code, _, detail = str(error).removeprefix(_REFUSAL).partition(" ")
        if code not in self._errors:
            raise ReelwayError(f"script {name} refused: {code} {detail}") from error
        raise self._errors[code](detail) from error
