"""Looking through a folder: what videos are in it, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services.drive.library.names import is_text, reason_to_skip, shown
from shared.blobs.beneath import DEEPEST, Entry, entries, in_thread
from shared.blobs.roots import MARKER
from shared.contracts.library import Look

MOST_FILES = 200_000
"""More than so many videos in one folder are not kept apart; give it as several libraries."""

ReadFolder = Callable[[str, str], list[Entry]]
"""Lists one folder, by the root's place and the path below it."""

Tell = Callable[[int], Awaitable[None]]


@dataclass
class Listing:
    """What is there: videos by path; what was left out, and why; folders that could not be listed,
    and why, so that nothing is known of what is below them.
    """

    seen: dict[str, Look] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def list_videos(place: str, tell: Tell, read: ReadFolder = entries) -> Listing:
    """Everything below a place, folder by folder. ``tell`` hears how many videos there are yet."""
    listing, folders = Listing(), [""]
    while folders:
        folder = folders.pop()
        try:
            found = await in_thread(read, place, folder)
        except OSError as error:
            # Also a folder that has gone since: whether its files moved, the next look will tell.
            listing.failed[folder] = error.strerror or type(error).__name__
            continue
        folders += [below for entry in found if (below := _sort(listing, folder, entry))]
        await tell(len(listing.seen))
        if len(listing.seen) > MOST_FILES:
            listing.failed[""] = f"there are more than {MOST_FILES} videos"
            break
    return listing


def _sort(listing: Listing, folder: str, entry: Entry) -> str:
    """Put an entry where it belongs; answers the path of a folder to look into."""
    path = f"{folder}/{entry.name}" if folder else entry.name
    if path == MARKER:
        return ""
    reason = reason_to_skip(entry.name, entry.kind)
    if not reason and entry.kind == "folder":
        if path.count("/") < DEEPEST:
            return path
        reason = "too_deep"
    if not reason and entry.look is not None and entry.look.size == 0:
        reason = "empty_file"
    if reason:
        listing.skipped.append((shown(path), reason))
    elif entry.look is not None and is_text(path):
        listing.seen[path] = entry.look
    return ""
