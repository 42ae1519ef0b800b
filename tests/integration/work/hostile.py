"""What can become of a folder of videos: every scenario is an act, and what must follow from it.

Each begins with four videos that are indexed and processed (:data:`FILES`). After the act the
folder is scanned twice, far enough apart for files to settle. Whatever happens, no scan may change
a file of the user, remove a video, or ask for work on what has been worked on under its record.
"""

from __future__ import annotations

import errno
import os
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from shared.blobs.roots import MARKER
from tests.integration.work.floor import Floor, failing, meanwhile, video

FILES = ("Alpha.mkv", "beta.mkv", "series/1.mkv", "series/Élan.mkv")
Act = Callable[[Floor], Awaitable[None] | None]


@dataclass(frozen=True)
class Scenario:
    """``counts`` is what both scans did together, beside what was in order; ``jobs`` how many new
    contents were begun; ``missing`` how many videos are marked in the end; ``gone`` how many of the
    first four cannot be read in the end; ``state`` is the folder's; ``suspicious`` how the doubt of
    the last scan begins, ``skipped`` what was left out in it.
    """

    name: str
    do: Act
    counts: Mapping[str, int] = field(default_factory=dict)
    jobs: int = 0
    missing: int = 0
    gone: int | None = None
    state: str = "ok"
    suspicious: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, bool] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def away(floor: Floor) -> None:
    floor.root.rename(floor.folder / "elsewhere")


def emptied(floor: Floor) -> None:
    """Unmounted: the empty folder below the mount is there."""
    away(floor)
    floor.root.mkdir()


def remounted(floor: Floor) -> None:
    emptied(floor)
    floor.root.rmdir()
    (floor.folder / "elsewhere").rename(floor.root)


def other_disk(floor: Floor) -> None:
    emptied(floor)
    floor.put("holiday.mkv")


def stolen_marker(floor: Floor) -> None:
    (floor.root / MARKER).write_text(
        '{"library":"0190a000-0000-7000-8000-000000000000","tenant":"other"}'
    )


def everything_deleted(floor: Floor) -> None:
    for path in FILES:
        (floor.root / path).unlink()


def deleted(*paths: str) -> Act:
    def act(floor: Floor) -> None:
        for path in paths:
            (floor.root / path).unlink()

    return act


def renamed(*pairs: tuple[str, str]) -> Act:
    def act(floor: Floor) -> None:
        for number, (path, _) in enumerate(pairs):
            (floor.root / path).rename(floor.root / f".{number}")
        for number, (_, path) in enumerate(pairs):
            (floor.root / path).parent.mkdir(parents=True, exist_ok=True)
            (floor.root / f".{number}").rename(floor.root / path)

    return act


def folder_renamed(floor: Floor) -> None:
    (floor.root / "series").rename(floor.root / "Serien")


def written(path: str | bytes, content: bytes | None = None) -> Act:
    def act(floor: Floor) -> None:
        floor.put(path, content)

    return act


def listing_fails(where: str, number: int) -> Act:
    def act(floor: Floor) -> None:
        floor.read = failing(where, OSError(number, os.strerror(number)))

    return act


async def permission_lost_and_regained(floor: Floor) -> None:
    plain = floor.read
    floor.read = failing("series", PermissionError(errno.EACCES, "Permission denied"))
    plan = await floor.scan()
    assert plan.suspicious.startswith("incomplete: series")
    floor.read = plain


async def moved_out_of_an_unreadable_folder(floor: Floor) -> None:
    """Nobody can tell whether it is a copy: it waits."""
    (floor.root / "series/1.mkv").rename(floor.root / "1.mkv")
    floor.read = failing("series", PermissionError(errno.EACCES, "Permission denied"))


def copied(floor: Floor) -> None:
    floor.put("copy.mkv", (floor.root / "beta.mkv").read_bytes())


async def copied_then_removed(floor: Floor) -> None:
    copied(floor)
    await floor.settled()
    (floor.root / "beta.mkv").unlink()


def moved_by_copying(floor: Floor) -> None:
    copied(floor)
    (floor.root / "beta.mkv").unlink()


def hard_linked(floor: Floor) -> None:
    (floor.root / "hard.mkv").hardlink_to(floor.root / "beta.mkv")


async def growing(floor: Floor) -> None:
    """It grows at every look, for a while."""
    for length in range(1000, 5000, 1000):
        floor.put("new.mkv", video("new")[:length])
        floor.passes(60_000)
        assert (await floor.scan()).counts.get("new") is None
    floor.put("new.mkv", video("new"))


async def growing_with_an_old_time(floor: Floor) -> None:
    """As copies do that keep the time, and reserve all the room first."""
    for number in range(3):
        path = floor.put("new.mkv", bytes([number]) * 5004)
        os.utime(path, (1, 1))
        floor.passes(60_000)
        assert (await floor.scan()).counts.get("new") is None
    floor.put("new.mkv", video("new"))


async def finished_by_renaming(floor: Floor) -> None:
    floor.put("new.mkv.part", video("new"))
    floor.passes(60_000)
    assert (await floor.scan()).skipped == {"unfinished": 1}
    (floor.root / "new.mkv.part").rename(floor.root / "new.mkv")


def truncated(floor: Floor) -> None:
    os.truncate(floor.root / "beta.mkv", 2000)


async def truncated_and_restored(floor: Floor) -> None:
    whole = (floor.root / "beta.mkv").read_bytes()
    truncated(floor)
    await floor.settled()
    floor.put("beta.mkv", whole)


def touched(floor: Floor) -> None:
    os.utime(floor.root / "beta.mkv")


def an_hour_off(floor: Floor) -> None:
    """A FAT disk in another season."""
    for path in FILES:
        told = (floor.root / path).stat()
        os.utime(floor.root / path, ns=(told.st_atime_ns, told.st_mtime_ns + 3600 * 10**9))


async def deleted_and_restored(floor: Floor) -> None:
    content = (floor.root / "beta.mkv").read_bytes()
    (floor.root / "beta.mkv").unlink()
    assert (await floor.settled())["missing"] == 1
    floor.put("beta.mkv", content)


async def deleted_and_restored_elsewhere(floor: Floor) -> None:
    content = (floor.root / "beta.mkv").read_bytes()
    (floor.root / "beta.mkv").unlink()
    await floor.settled()
    floor.put("backup/was beta.mkv", content)


async def deleted_then_another_of_that_name(floor: Floor) -> None:
    (floor.root / "beta.mkv").unlink()
    await floor.settled()
    floor.put("beta.mkv", video("another"))


def linked_inside(floor: Floor) -> None:
    (floor.root / "link.mkv").symlink_to(floor.root / "beta.mkv")
    (floor.root / "again").symlink_to(floor.root / "series")


def linked_outside(floor: Floor) -> None:
    secret = floor.folder / "secret.mkv"
    secret.write_bytes(video("secret"))
    (floor.root / "link.mkv").symlink_to(secret)
    (floor.root / "all").symlink_to("/")


def linked_in_a_circle(floor: Floor) -> None:
    (floor.root / "series/round").symlink_to(floor.root)
    (floor.root / "self.mkv").symlink_to(floor.root / "self.mkv")


def replaced_by_a_link(floor: Floor) -> None:
    """A file of the index is a link to somewhere else now: it must not be read."""
    secret = floor.folder / "secret.mkv"
    secret.write_bytes((floor.root / "beta.mkv").read_bytes())
    (floor.root / "beta.mkv").unlink()
    (floor.root / "beta.mkv").symlink_to(secret)


def folder_replaced_by_a_link(floor: Floor) -> None:
    (floor.root / "series").rename(floor.folder / "outside")
    (floor.root / "series").symlink_to(floor.folder / "outside")


def root_is_a_link(floor: Floor) -> None:
    floor.root.rename(floor.folder / "real")
    floor.root.symlink_to(floor.folder / "real")


def special_files(floor: Floor) -> None:
    os.mkfifo(floor.root / "pipe.mkv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(floor.root / "socket.mkv"))


def odd_names(floor: Floor) -> None:
    floor.put("line\nbreak.mkv")
    floor.put("\u202egpj.mkv")
    floor.put("x" * 251 + ".mkv")
    floor.put("trailing .mkv")
    floor.put("percent%00.mkv")


def temporary_names(floor: Floor) -> None:
    for name in ("a.mkv.crdownload", "b.part.mkv", "c.temp.mp4", "d.mkv.aria2", "e.mkv.!qB"):
        floor.put(name)
    for name in (".f.mkv", "~g.mkv", ".stfolder/h.mkv", "@eaDir/i.mkv", "$RECYCLE.BIN/j.mkv"):
        floor.put(name)


def vanishing(floor: Floor) -> None:
    """A new file that goes between listing and reading, each time."""

    def act(path: str) -> None:
        if path == "":
            (floor.root / "short.mkv").unlink(missing_ok=True)

    floor.put("short.mkv")
    floor.read = meanwhile(act)


def folder_becomes_a_file(floor: Floor) -> None:
    def act(path: str) -> None:
        if path == "" and (floor.root / "series").is_dir():
            (floor.root / "series").rename(floor.folder / "series")
            (floor.root / "series").write_bytes(b"no folder")

    floor.read = meanwhile(act)


def unmounted_meanwhile(floor: Floor) -> None:
    """Between two folders of one listing."""

    def act(path: str) -> None:
        if path == "" and not (floor.folder / "elsewhere").exists():
            emptied(floor)

    floor.read = meanwhile(act)


def from_the_future(floor: Floor) -> None:
    os.utime(floor.put("new.mkv"), (4_000_000_000, 4_000_000_000))


def clock_set_back(floor: Floor) -> None:
    floor.put("new.mkv")
    floor.passes(-86_400_000)


async def deleted_by_a_person(floor: Floor) -> None:
    await floor.delete((await floor.by_path())["beta.mkv"].video_id)


async def deleted_by_a_person_then_renamed(floor: Floor) -> None:
    await deleted_by_a_person(floor)
    (floor.root / "beta.mkv").rename(floor.root / "series/hidden away.mkv")


async def deleted_by_a_person_then_replaced(floor: Floor) -> None:
    await deleted_by_a_person(floor)
    floor.put("beta.mkv", video("another"))


async def missing_then_deleted_then_back(floor: Floor) -> None:
    """Whoever deletes a video whose file is missing has no file to ignore."""
    content = (floor.root / "beta.mkv").read_bytes()
    (floor.root / "beta.mkv").unlink()
    await floor.settled()
    await floor.delete((await floor.by_path("missing"))["beta.mkv"].video_id)
    floor.put("beta.mkv", content)


async def no_video(floor: Floor) -> None:
    floor.put("words.mp4", b"these are words" * 100)
    await floor.settled()
    assert [file.reason for file in (await floor.by_path("refused")).values()] == ["not_a_video"]


async def no_video_yet(floor: Floor) -> None:
    await no_video(floor)
    floor.put("words.mp4", video("a video at last"))


def a_full_queue(floor: Floor) -> None:
    floor.queue = 0
    floor.put("new.mkv")


SCENARIOS = (
    Scenario("the folder is not there", away, state="away", gone=4),
    Scenario("unmounted: an empty folder", emptied, state="marker_missing", gone=4),
    Scenario("unmounted and mounted again", remounted),
    Scenario("another disk in its place", other_disk, state="marker_missing", gone=4),
    Scenario("the marker is lost", deleted(MARKER), state="marker_missing", gone=4),
    Scenario("the marker of another tenant", stolen_marker, state="marker_foreign", gone=4),
    Scenario("a damaged marker", written(MARKER, b"{"), state="marker_foreign", gone=4),
    Scenario(
        "everything deleted, the marker there",
        everything_deleted,
        {"unconfirmed": 8},
        gone=4,
        suspicious="empty",
    ),
    Scenario(
        "everything deleted, and a person says so",
        everything_deleted,
        {"missing": 4},
        missing=4,
        options={"force": True},
    ),
    Scenario("half a listing", listing_fails("series", errno.EIO), gone=0, suspicious="incomplete"),
    Scenario("no listing at all", listing_fails("", errno.EIO), gone=0, suspicious="incomplete"),
    Scenario(
        "half a listing, and a person says it is right",
        listing_fails("series", errno.EACCES),
        gone=0,
        suspicious="incomplete",
        options={"force": True},
    ),
    Scenario("permission lost and regained", permission_lost_and_regained),
    Scenario(
        "moved out of a folder that cannot be read",
        moved_out_of_an_unreadable_folder,
        {"waiting": 1, "held": 1},
        gone=1,
        suspicious="incomplete",
    ),
    Scenario("a file moved", renamed(("beta.mkv", "new/beta.mkv")), {"moved": 1}),
    Scenario("a file renamed", renamed(("beta.mkv", "gamma.mkv")), {"moved": 1}),
    Scenario("a folder renamed", folder_renamed, {"moved": 2}),
    Scenario("case only", renamed(("beta.mkv", "BETA.mkv")), {"moved": 1}),
    Scenario(
        "another form of Unicode",
        renamed(("series/Élan.mkv", unicodedata.normalize("NFD", "series/Élan.mkv"))),
        {"moved": 1},
    ),
    Scenario(
        "two names swapped",
        renamed(("Alpha.mkv", "beta.mkv"), ("beta.mkv", "Alpha.mkv")),
        {"moved": 2},
    ),
    Scenario(
        "three names in a circle",
        renamed(
            ("Alpha.mkv", "beta.mkv"), ("beta.mkv", "series/1.mkv"), ("series/1.mkv", "Alpha.mkv")
        ),
        {"moved": 3},
    ),
    Scenario("copied", copied, {"waiting": 1, "new": 1}, jobs=1),
    Scenario("moved by copying and removing", moved_by_copying, {"moved": 1}),
    Scenario(
        "copied, later the first removed",
        copied_then_removed,
        {"missing": 1},
        jobs=1,
        missing=1,
    ),
    Scenario("a hard link", hard_linked, {"waiting": 1, "new": 1}, jobs=1),
    Scenario("a growing file", growing, {"waiting": 1, "new": 1}, jobs=1),
    Scenario(
        "a growing file with an old time", growing_with_an_old_time, {"waiting": 1, "new": 1}, 1
    ),
    Scenario("finished by renaming", finished_by_renaming, {"waiting": 1, "new": 1}, jobs=1),
    Scenario("truncated", truncated, {"changing": 1, "missing": 1, "new": 1}, jobs=1, missing=1),
    Scenario(
        "truncated and restored",
        truncated_and_restored,
        {"returned": 1, "missing": 1},
        jobs=1,
        missing=1,
        gone=0,
    ),
    Scenario("touched", touched, {"touched": 1}),
    Scenario("all times an hour off", an_hour_off, {"touched": 4}),
    Scenario(
        "replaced in place",
        written("beta.mkv", video("another", 9000)),
        {"changing": 1, "missing": 1, "new": 1},
        jobs=1,
        missing=1,
    ),
    Scenario(
        "replaced in place by the same number of bytes",
        written("beta.mkv", video("another")),
        {"changing": 1, "missing": 1, "new": 1},
        jobs=1,
        missing=1,
    ),
    Scenario("one deleted", deleted("beta.mkv"), {"missing": 1}, missing=1),
    Scenario("half deleted", deleted("beta.mkv", "Alpha.mkv"), {"missing": 2}, missing=2),
    Scenario(
        "three quarters deleted",
        deleted(*FILES[:3]),
        {"unconfirmed": 6},
        gone=3,
        suspicious="shrunken: 3 of 4",
    ),
    Scenario(
        "three quarters deleted, and a person says so",
        deleted(*FILES[:3]),
        {"missing": 3},
        missing=3,
        options={"force": True},
    ),
    Scenario("deleted and restored", deleted_and_restored, {"returned": 1}),
    Scenario("restored under another name", deleted_and_restored_elsewhere, {"returned": 1}),
    Scenario(
        "another file of that name",
        deleted_then_another_of_that_name,
        {"waiting": 1, "new": 1},
        jobs=1,
        missing=1,
    ),
    Scenario("links inside", linked_inside, skipped={"symlink": 2}),
    Scenario("links out of the folder", linked_outside, skipped={"symlink": 2}),
    Scenario("links in a circle", linked_in_a_circle, skipped={"symlink": 2}),
    Scenario(
        "a file replaced by a link",
        replaced_by_a_link,
        {"missing": 1},
        missing=1,
        skipped={"symlink": 1},
    ),
    Scenario(
        "a folder replaced by a link",
        folder_replaced_by_a_link,
        {"missing": 2},
        missing=2,
        skipped={"symlink": 1},
    ),
    Scenario("the folder itself is a link", root_is_a_link),
    Scenario("pipes and sockets", special_files, skipped={"special": 2}),
    Scenario("a name that is no UTF-8", written(b"caf\xe9.mkv"), skipped={"name_not_utf8": 1}),
    Scenario("odd names", odd_names, {"waiting": 5, "new": 5}, jobs=5),
    Scenario("no bytes", written("new.mkv", b""), skipped={"empty_file": 1}),
    Scenario("no video", no_video, jobs=1),
    Scenario(
        "no video at first",
        no_video_yet,
        {"changing": 1, "forgotten": 1, "new": 1},
        jobs=2,
    ),
    Scenario(
        "names of what is unfinished", temporary_names, skipped={"unfinished": 5, "hidden": 5}
    ),
    Scenario("going while it is looked at", vanishing, {"waiting": 1, "forgotten": 1}),
    Scenario(
        "a folder becomes a file meanwhile",
        folder_becomes_a_file,
        {"missing": 2},
        missing=2,
        skipped={"not_a_video": 1},
    ),
    Scenario("unmounted meanwhile", unmounted_meanwhile, state="marker_missing", gone=4),
    Scenario("from the future", from_the_future, {"waiting": 1, "new": 1}, jobs=1),
    Scenario("the clock set back", clock_set_back, {"waiting": 1, "new": 1}, jobs=1),
    Scenario("its video deleted", deleted_by_a_person, {"ignored": 2}, gone=1),
    Scenario(
        "its video deleted, then renamed",
        deleted_by_a_person_then_renamed,
        {"moved": 1, "ignored": 1},
        gone=1,
    ),
    Scenario(
        "its video deleted, then replaced",
        deleted_by_a_person_then_replaced,
        {"changing": 1, "forgotten": 1, "new": 1},
        jobs=1,
        gone=1,
    ),
    Scenario(
        "its video deleted, and asked for again",
        deleted_by_a_person,
        {"forgotten": 1, "waiting": 1, "new": 1},
        jobs=1,
        gone=1,
        options={"include_ignored": True},
    ),
    Scenario(
        "missing, its video deleted, then back",
        missing_then_deleted_then_back,
        {"waiting": 1, "new": 1},
        jobs=1,
        gone=1,
    ),
    Scenario("a full queue", a_full_queue, {"waiting": 1, "held": 1}),
)
