"""Which names in a folder are videos, and which are of files that somebody is still writing."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_CONTAINERS = "3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogm ogv ts vob webm wmv"
EXTENSIONS: Final = frozenset(_CONTAINERS.split())
"""Of containers that the first step can tell from their bytes."""

_ENDINGS = "!qb !ut aria2 crdownload download filepart opdownload part partial temp tmp ytdl"
_UNFINISHED: Final = frozenset(_ENDINGS.split())
"""How browsers, download and sync tools end the names of what they have not finished."""

_NOT_OURS: Final = frozenset(
    (
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@tmp",
        "lost+found",
        "system volume information",
    )
)
"""Folders in which systems keep what they removed, or their own thumbnails."""

_LONGEST = 255
# What would break a line or turn the reading direction where a name is shown.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def reason_to_skip(name: str, kind: str) -> str:
    """Why an entry of a folder is left out: a stable word; empty when it is not."""
    if kind in {"symlink", "special"}:
        return kind
    if not is_text(name):
        return "name_not_utf8"
    if name.startswith((".", "~")) or name.endswith("~"):
        return "hidden"
    if kind == "folder":
        return "hidden" if name.lower() in _NOT_OURS else ""
    parts = name.lower().split(".")
    if any(part in _UNFINISHED for part in parts[1:]):
        return "unfinished"
    return "" if len(parts) > 1 and parts[-1] in EXTENSIONS else "not_a_video"


def is_text(name: str) -> bool:
    """Whether a name is UTF-8; one that is not has surrogates in it (PEP 383)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str) -> str:
    """A path as it may be shown, with escapes for bytes that are no UTF-8."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def name_of(path: str) -> str:
    """The name of the video that lies there."""
    name = unicodedata.normalize("NFC", path.rpartition("/")[2])
    return _UNFIT.sub("_", name)[:_LONGEST]
