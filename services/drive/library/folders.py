"""The folders of tenants as they are at this moment: which library lies there, if one does."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.blobs.beneath import in_thread
from shared.blobs.roots import MARKER, Marker, Root, marker_text, read_marker, write_marker
from shared.contracts.library import FolderState, Library
from shared.errors import NotFound
from shared.ids import derived_id, is_id
from shared.store.keys import libraries_index, library_key
from shared.store.records import Records
from shared.tenancy import TenantId

ANSWER_SECONDS = 3.0
"""A folder that has not answered by then counts as unreadable."""

_MOST = 200

HINTS: dict[FolderState, str] = {
    "ok": "",
    "new": "the next scan adopts it",
    "empty": "put a video into it; an empty folder is not adopted, as it may be a place where "
    "something is to be mounted",
    "away": "there is no such folder: mount it, or correct REELWAY_LIBRARY_DIRS",
    "unreadable": "the folder cannot be read: see to its permissions, or to the share behind it",
    "marker_missing": f"its file {MARKER} is not there: mount what belongs there, or put the file "
    "back",
    "marker_foreign": f"its file {MARKER} is not of this tenant: mount the right folder there",
    "marker_double": "two folders are the same library: remove one of them, or, in a copy, the "
    f"file {MARKER}",
}
"""What can be done about each state."""


class Standing(NamedTuple):
    """A folder, and the library that it is or would be."""

    id: str
    place: str
    state: FolderState
    record: Library | None
    hint: str = ""


class _Probe(NamedTuple):
    root: Root
    marker: Marker | None
    state: FolderState


@dataclass(frozen=True, slots=True)
class Folders:
    """Looks at the folders that were set."""

    roots: Sequence[Root]
    records: Records

    async def of(self, tenant: TenantId) -> list[Standing]:
        """All folders of a tenant, also those that are no longer set."""
        ids = await self.records.page(libraries_index(tenant), "", _MOST)
        known = await self.records.get_many(Library, [library_key(tenant, each) for each in ids])
        mine = [root for root in self.roots if root.tenant == tenant]
        probes = await asyncio.gather(*(_probe(root) for root in mine))
        twice = Counter(each.marker.library for each in probes if each.marker)
        found = [_standing(each, known, twice) for each in probes]
        listed = {each.id for each in found}
        return found + [_unset(each) for each in known if each.id not in listed]

    async def find(self, tenant: TenantId, library: str) -> Standing:
        """One folder of a tenant; :class:`NotFound` for any other id."""
        for standing in await self.of(tenant):
            if standing.id == library:
                return standing
        raise NotFound("there is no such library")

    async def adopt(self, tenant: TenantId, standing: Standing) -> Standing:
        """Put the marker into a new folder."""
        marker = Marker(library=standing.id, tenant=tenant)
        try:
            there = await in_thread(write_marker, standing.place, marker)
        except (OSError, ValueError):
            line = _line(tenant, standing.id)
            hint = f"the folder cannot be written to: put a file {MARKER} into it that says {line}"
            return standing._replace(hint=hint)
        state: FolderState = "ok" if there == marker else "marker_foreign"
        return standing._replace(state=state, hint=HINTS[state])


def _standing(probe: _Probe, known: Sequence[Library], twice: Counter[str]) -> Standing:
    root, marker, state = probe
    if marker is not None:
        record = next((each for each in known if each.id == marker.library), None)
        state = "marker_double" if twice[marker.library] > 1 else state
        return Standing(marker.library, root.place, state, record, HINTS[state])
    here = next((each for each in known if each.place == root.place), None)
    if here is not None and here.adopted_at and state in {"new", "empty"}:
        state = "marker_missing"
    library = here.id if here else _free_id(root, {each.id for each in known})
    hint = HINTS[state]
    if state == "marker_missing":
        hint += f" (it says {_line(root.tenant, library)})"
    return Standing(library, root.place, state, here, hint)


def _line(tenant: TenantId, library: str) -> str:
    """What the marker of a library says."""
    return marker_text(Marker(library=library, tenant=tenant)).decode().strip()


def _free_id(root: Root, taken: set[str]) -> str:
    """The id that a folder will have: another one where its place was another library's before."""
    library = derived_id("library", root.tenant, root.place)
    while library in taken:
        library = derived_id("library", library)
    return library


def _unset(record: Library) -> Standing:
    hint = "it is not, or no longer, among REELWAY_LIBRARY_DIRS"
    return Standing(record.id, record.place, "away", record, hint)


async def _probe(root: Root) -> _Probe:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await in_thread(_look, root)
    except TimeoutError:
        return _Probe(root, None, "unreadable")


def _look(root: Root) -> _Probe:
    try:
        marker = read_marker(root.place)
        if marker is None:
            return _Probe(root, None, "new" if _has_content(root.place) else "empty")
    except ValueError:
        return _Probe(root, None, "marker_foreign")
    except OSError as error:
        is_away = error.errno in {errno.ENOENT, errno.ENOTDIR}
        return _Probe(root, None, "away" if is_away else "unreadable")
    if marker.tenant != root.tenant or not is_id(marker.library):
        return _Probe(root, None, "marker_foreign")
    return _Probe(root, marker, "ok")


def _has_content(place: str) -> bool:
    with os.scandir(place) as found:
        return any(entry.name != "lost+found" for entry in found)
