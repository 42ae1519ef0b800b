"""The folders that are indexed in place: which there are, and whether the right thing lies there.

A folder's identity is in a marker file at its root, written once when it is adopted. Wherever the
folder is mounted later, it is the same library; where the marker is not, nothing is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from shared.blobs.beneath import opened
from shared.errors import Invalid
from shared.settings import HostSettings, SettingsError
from shared.tenancy import TenantId, tenant_id

MARKER = ".reelway-library"
_SETTING = "REELWAY_LIBRARY_DIRS"
_LONGEST = 4096


class Root(NamedTuple):
    """A folder of a tenant, as it was set."""

    tenant: TenantId
    place: str


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What the marker file holds: which library this is, and whose."""

    library: str
    tenant: str


def roots_of(settings: HostSettings) -> tuple[Root, ...]:
    """The folders that a process was given; none may hold, or lie in, what is ours."""
    ours = [Path(settings.data_dir)]
    if settings.blobs_url.startswith("file:"):
        ours.append(Path(unquote(urlsplit(settings.blobs_url).path)))
    return read_roots(settings.library_dirs, never=ours)


def read_roots(given: Iterable[str], *, never: Collection[Path] = ()) -> tuple[Root, ...]:
    """The folders in ``tenant=/path`` items. :class:`SettingsError` when one is not valid, when two
    of them overlap, or one overlaps a folder of ours (``never``), also by way of links.
    """
    roots = tuple(_root(item) for item in given)
    for one, other in combinations(roots, 2):
        if _overlap(Path(one.place), Path(other.place)):
            raise SettingsError(
                f"{_SETTING}: {one.place} and {other.place} overlap: a file would be in two "
                "libraries; give each tenant folders of its own"
            )
    for root in roots:
        for ours in never:
            if _overlap(Path(root.place), ours):
                raise SettingsError(
                    f"{_SETTING}: {root.place} overlaps {ours}, where Reelway keeps its own files; "
                    "choose a folder outside of it"
                )
    return roots


def _root(item: str) -> Root:
    tenant, equals, place = item.partition("=")
    if not equals or not place.startswith("/") or place.rstrip("/") == "":
        raise SettingsError(
            f"{_SETTING}={item!r} is not valid; allowed: tenant=/absolute/folder, several with "
            "commas between (a folder's path cannot contain a comma)"
        )
    try:
        return Root(tenant_id(tenant.strip()), os.path.normpath(place))
    except Invalid as error:
        raise SettingsError(f"{_SETTING}={item!r}: {error.detail}; {error.hint}") from error


def _overlap(one: Path, other: Path) -> bool:
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def read_marker(place: str) -> Marker | None:
    """The marker of a folder; None when it has none. :class:`OSError` when the folder is not there
    or cannot be read, :class:`ValueError` when what is there is no marker of ours.
    """
    try:
        with opened(place, MARKER) as descriptor:
            raw = os.read(descriptor, _LONGEST)
    except FileNotFoundError:
        os.close(os.open(place, os.O_RDONLY | os.O_DIRECTORY))  # is at least the folder there?
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EINVAL}:
            raise ValueError("the marker is no plain file") from error
        raise
    try:
        return msgspec.json.decode(raw, type=Marker)
    except msgspec.DecodeError as error:
        raise ValueError("the marker says nothing that we know") from error


def write_marker(place: str, marker: Marker) -> Marker:
    """Write the marker, unless there is one by now; answers the one that is there."""
    parent = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(MARKER, flags, 0o644, dir_fd=parent)
        try:
            os.write(descriptor, marker_text(marker))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.fsync(parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
    there = read_marker(place)
    if there is None:
        raise FileNotFoundError(errno.ENOENT, "the marker is gone again", place)
    return there


def marker_text(marker: Marker) -> bytes:
    """The bytes of a marker file."""
    return msgspec.json.encode(marker) + b"\n"
