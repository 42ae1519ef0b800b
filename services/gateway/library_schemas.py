"""What the HTTP interface takes and gives about libraries: folders that are indexed in place."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.contracts.library import FileState, FolderState


class InLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a video's file lies that was not uploaded; `missing_since` is when it was found to be
    no longer there.
    """

    id: str
    path: str
    missing_since: str | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan found and did, or would do if it is a dry run. `counts` is by kind, `skipped` by
    reason; `items` are the first of each kind. `suspicious` says why nothing was taken for gone
    (`unconfirmed` are those that would have been); `detail` what is to be done about the folder.
    """

    state: FolderState
    files: int
    counts: dict[str, int]
    skipped: dict[str, int]
    items: dict[str, tuple[str, ...]]
    suspicious: str
    detail: str
    dry_run: bool
    forced: bool


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of videos. `name` is the last part of where it is on the server. `state` is `ok`,
    `new` (the next scan adopts it), `empty`, or why it is left alone, with a `hint`. `files` counts
    what is known of it, `scanned_at` when it was last looked through, by what `plan` says.
    """

    id: str
    name: str
    state: FolderState
    hint: str | None
    files: int
    scan_job: str | None
    scanned_at: str | None
    plan: Plan | None


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """All libraries of a tenant."""

    items: tuple[Library, ...]


class LibraryFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a library: `waiting` (not taken in yet; `reason` may say why), `present`,
    `missing`, `refused` (it is no video; `reason` is the code) or `ignored` (its video was
    deleted). `path` is relative to the folder. There is a video once it has a `sha256`.
    """

    id: str
    path: str
    state: FileState
    reason: str | None
    size: int
    sha256: str | None
    video: str
    job: str
    missing_since: str | None
    created_at: str
    updated_at: str


class LibraryFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files, newest first."""

    items: tuple[LibraryFile, ...]
    next: str | None = None


class ScanBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dry_run` only says what would be done. `force` takes for gone what a listing that looks
    wrong does not show; it marks videos as missing and removes none. `include_ignored` takes in
    again what is there and whose video was deleted.
    """

    dry_run: bool = False
    force: bool = False
    include_ignored: bool = False


class ScanBegun(msgspec.Struct, frozen=True, kw_only=True):
    """The job that looks through the library, and where its plan will be."""

    library: str
    job: str
    plan_url: str


class ScanView(msgspec.Struct, frozen=True, kw_only=True):
    """A scan; its `plan` is there when the job has succeeded."""

    library: str
    job: str
    state: str
    plan: Plan | None


class CleanBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which missing videos: those that have been for at least `missing_seconds`. To remove them,
    `dry_run` must be false, and `expected` what the dry run counted. More than half of a library
    needs `force`.
    """

    dry_run: bool = True
    missing_seconds: Annotated[int, msgspec.Meta(ge=0)] = 0
    expected: Annotated[int, msgspec.Meta(ge=0)] | None = None
    force: bool = False


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """How many missing videos matched, how many of them were removed now, and the first of them.
    While there are `more`, ask again.
    """

    matched: int
    removed: int
    more: bool
    dry_run: bool
    items: tuple[LibraryFile, ...]
