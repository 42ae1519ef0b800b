"""Folders of videos that are indexed where they lie: what is kept of them, and the messages about
them (owner: drive). A path is relative to its folder, with slashes. Times are milliseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.contracts.base import Event, Query
from shared.contracts.records import Record

FileState = Literal["waiting", "present", "missing", "refused", "ignored"]
FolderState = Literal[
    "ok", "new", "empty", "away", "unreadable", "marker_missing", "marker_foreign", "marker_double"
]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a file looked like: bytes, times of change in nanoseconds, its number on the disk, and
    when it was first seen like that.
    """

    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    at: int = 0


class LibraryFile(Record, frozen=True, kw_only=True):
    """One content in a folder, wherever in it.

    ``look`` is what the file looked like when ``fingerprint`` was taken of it, ``pending`` what it
    looks like since, while that is not settled. ``state``: ``waiting`` (not taken in yet),
    ``present``, ``missing`` (since ``missing_since``), ``refused`` (it is no video; ``reason`` is
    the code), ``ignored`` (its video was deleted). ``sha256`` is empty until it was verified.
    """

    id: str
    library: str
    video_id: str
    job_id: str
    path: str
    look: Look
    state: FileState
    created_at: int
    updated_at: int
    version: int
    fingerprint: str = ""
    pending: Look | None = None
    sha256: str = ""
    missing_since: int = 0
    reason: str = ""


class ScanPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan found and did, or would do. ``counts`` is by kind (``kept``, ``new``, ``moved``,
    ``returned``, ``missing``, ``unconfirmed``, ``touched``, ``changed``, ``changing``, ``waiting``,
    ``held``, ``unreadable``, ``ignored``, ``forgotten``, ``skipped``, ``left_out``), ``skipped`` by
    reason. ``items`` are the first of each kind, a line
    each. ``suspicious`` says why nothing was marked missing, and is empty otherwise; ``state`` is
    that of the folder. ``files`` is how many videos the listing had.
    """

    state: FolderState
    files: int = 0
    counts: dict[str, int] = {}
    skipped: dict[str, int] = {}
    items: dict[str, tuple[str, ...]] = {}
    suspicious: str = ""
    detail: str = ""
    dry_run: bool = False
    forced: bool = False


class Library(Record, frozen=True, kw_only=True):
    """A folder of a tenant. ``place`` is where it is on the server, which is shown to nobody;
    ``adopted_at`` when its marker was seen first (0: not yet). ``scan_job`` is the scan that was
    asked for last, at ``asked_at``; one ended at ``scanned_at`` after ``scan_ms``, with ``plan``;
    ``restless`` counts those in a row that found files growing, and none whole.
    """

    id: str
    place: str
    created_at: int
    version: int
    adopted_at: int = 0
    scan_job: str = ""
    asked_at: int = 0
    scanned_at: int = 0
    scan_ms: int = 0
    restless: int = 0
    plan: ScanPlan | None = None


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder as it is now. ``hint`` says what can be done when ``state`` is not ``ok``."""

    id: str
    name: str
    state: FolderState
    hint: str = ""
    files: int = 0
    scan_job: str = ""
    scanned_at: int = 0
    plan: ScanPlan | None = None


class Folders(msgspec.Struct, frozen=True, kw_only=True):
    """All folders of a tenant."""

    items: tuple[Folder, ...]


class ListFolders(Query[Folders], frozen=True, kw_only=True, tag="drive.list_folders.v1"):
    """How the folders of the tenant are at this moment."""


class ScanAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The job that looks through the folder."""

    library: str
    job_id: str


class ScanFolder(Query[ScanAsked], frozen=True, kw_only=True, tag="drive.scan_folder.v1"):
    """Have a folder looked through under this job's id. ``dry_run`` changes nothing; ``force``
    believes a listing that looks suspicious; ``include_ignored`` takes in again what was deleted.
    """

    library: str
    job_id: str
    dry_run: bool = False
    force: bool = False
    include_ignored: bool = False


class FileRenamed(Event, frozen=True, kw_only=True, tag="drive.file_renamed.v1"):
    """A file of a video has another name than it ``was``."""

    file_id: str
    video_id: str
    was: str
    name: str
