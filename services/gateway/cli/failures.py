"""How a command can end badly: one line that names the cause and the cure."""

from __future__ import annotations


class CommandFailed(Exception):
    """The command could not be done, or was refused."""

    exit_code = 1

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what} ({cure})" if cure else what)


class Misused(CommandFailed):
    """The command cannot be meant like that."""

    exit_code = 2


class Away(CommandFailed):
    """The gateway cannot be reached at the moment; it may be tried again."""
