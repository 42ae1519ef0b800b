"""Which gateway a command talks to, and with which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.gateway.cli.failures import CommandFailed, Misused
from services.gateway.service import KEY_FILE
from shared.settings import HostSettings

URL_VARIABLE: Final = "REELWAY_URL"
KEY_VARIABLE: Final = "REELWAY_API_KEY"
ADMIN_VARIABLE: Final = "REELWAY_GATEWAY_ADMIN_KEY"
DEFAULT_URL: Final = "http://127.0.0.1:8080"
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """Where the gateway is, the key, and where that came from, as errors name it."""

    url: str
    key: str
    origin: str


def access(url: str, key_file: str, environ: Mapping[str, str], *, is_admin: bool) -> Access:
    """What the command line and the environment say. Empty texts are not given.

    The key is that of ``key_file``, else of the environment, else, for a gateway on this machine,
    the one that the first start left in the data folder. It is not sent to other machines.
    """
    chosen = (url or environ.get(URL_VARIABLE, "") or DEFAULT_URL).rstrip("/")
    parts = urlsplit(chosen)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Misused(f"{chosen!r} is no address of a gateway", f"it looks like {DEFAULT_URL}")
    variable = ADMIN_VARIABLE if is_admin else KEY_VARIABLE
    if key_file:
        return Access(chosen, _read(Path(key_file)), f"the key in {key_file}")
    if given := environ.get(variable, "").strip():
        return Access(chosen, given, f"the key in {variable}")
    if is_admin:
        raise CommandFailed("this needs the admin key", f"set {ADMIN_VARIABLE} or --key-file")
    left = _first_start(environ)
    if parts.hostname in _HERE and left.exists():
        return Access(chosen, _read(left), f"the key in {left}")
    raise CommandFailed("no key was given", f"set {KEY_VARIABLE} or --key-file")


def _first_start(environ: Mapping[str, str]) -> Path:
    """Where the embedded default leaves the key of its first tenant."""
    folder = environ.get("REELWAY_DATA_DIR", "").strip() or HostSettings().data_dir
    return Path(folder) / KEY_FILE


def _read(path: Path) -> str:
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CommandFailed(f"the key file {path} cannot be read: {reason}") from error
    if not key.isascii() or not key.isprintable() or not key:
        raise CommandFailed(f"there is no key in {path}", "it holds one line, the key")
    return key
