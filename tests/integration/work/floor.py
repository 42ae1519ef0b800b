"""A folder of a user, and the parts of drive and catalog that index it, with eyes on everything."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from services.catalog.handlers import CatalogHandlers
from services.catalog.search import CaptionIndex
from services.catalog.trash import Trash
from services.catalog.videos import Videos
from services.drive.handlers import DriveHandlers
from services.drive.library.folders import Folders
from services.drive.library.index import all_files
from services.drive.library.listing import ReadFolder
from services.drive.library.scan import Scan, scan_step
from services.drive.pieces import Pieces
from services.drive.steps import store_step
from shared.blobs.beneath import entries
from shared.blobs.library import InPlace
from shared.blobs.reading import BlobsAndLibraries
from shared.blobs.roots import MARKER, Root
from shared.blobs.store import Blobs, open_blobs
from shared.bus.outbox_entries import envelope_of
from shared.bus.router import Context
from shared.clock import now_ms
from shared.contracts.base import Message
from shared.contracts.catalog import DeleteVideo
from shared.contracts.drive import DeleteFile, FileStored
from shared.contracts.jobs import JobFinished, SubmitJob
from shared.contracts.library import FileRenamed, LibraryFile, ScanPlan
from shared.contracts.records import StepStatus, Video
from shared.ids import new_id
from shared.store.changes import Changes
from shared.store.keys import CAPTION_CHANGES, library_file_key, video_key, videos_index
from shared.store.outbox import RedisOutbox
from shared.store.records import Records
from shared.store.redis import Store
from shared.store.space import Space
from shared.store.uploads import Uploads
from shared.tenancy import TenantId
from shared.work.context import StepContext
from shared.work.failures import describe
from shared.work.governor import Governor
from shared.work.ledger import Claim
from shared.work.results import Results
from shared.work.step import StepFailed
from tests.integration.work.bench import ACME, Bench, decoded, new_job

SETTLE_MS = 10_000
HEAD = b"\x1a\x45\xdf\xa3"


def video(seed: str, size: int = 5000) -> bytes:
    """A small file that begins like Matroska; each seed is another content."""
    body = hashlib.shake_256(seed.encode()).digest(size)
    return HEAD + body


class Floor:
    """One tenant, one folder. Time stands still unless it is told to pass."""

    def __init__(self, store: Store, folder: Path, places: tuple[Path, ...] = ()) -> None:
        self.store = store
        self.bench = Bench(store)
        self.folder = folder
        self.root = folder / "films"
        self.root.mkdir()
        self.now = now_ms()
        self.roots = tuple(Root(ACME, str(place)) for place in (self.root, *places))
        self.records = Records(store, "drive")
        self.folders = Folders(self.roots, self.records)
        self.blobs: Blobs = BlobsAndLibraries(
            open_blobs((folder / "blobs").as_uri()), InPlace(self.roots, self._find)
        )
        self.read: ReadFolder = entries
        self.queue = 10_000
        self.asked: dict[str, SubmitJob] = {}
        self.deaf: set[str] = set()
        self._handled: set[str] = set()
        self._take_parts(store)

    def _take_parts(self, store: Store) -> None:
        space = Space(store)
        pieces = Pieces(Uploads(store, "drive"), self.blobs, space, now_ms)
        self.drive = DriveHandlers(
            records=self.records,
            blobs=self.blobs,
            jobs=self.bench.jobs,
            results=Results(store),
            pieces=pieces,
            space=space,
        )
        catalog = Records(store, "catalog")
        self.catalog = CatalogHandlers(
            records=catalog,
            videos=Videos(catalog),
            index=CaptionIndex(catalog, Changes(store, CAPTION_CHANGES)),
            trash=Trash(catalog, Videos(catalog), lambda: self.now, 30),
            clock=lambda: self.now,
        )
        self.store_step = store_step(self.records, pieces, space)

    async def _find(self, tenant: TenantId, file_id: str) -> LibraryFile | None:
        return await self.records.get(LibraryFile, library_file_key(tenant, file_id))

    # The user's side.

    def put(self, path: str | bytes, content: bytes | None = None) -> Path:
        """A file that a user has put there; by default its content follows from its path."""
        target = self.root / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(video(repr(path)) if content is None else content)
        return target

    def snapshot(self) -> dict[Path, tuple[str, str]]:
        """Everything a user has, with contents; also where the folder has been moved to."""
        found: dict[Path, tuple[str, str]] = {}
        for home, folders, files in os.walk(self.folder):
            if Path(home) == self.folder:
                folders[:] = [name for name in folders if name not in {"blobs", "scratch"}]
            paths = [Path(home, name) for name in (*folders, *files) if name != MARKER]
            found |= {path: _told(path) for path in paths}
        return found

    # Reelway's side.

    def passes(self, milliseconds: int) -> None:
        """Time passes."""
        self.now += milliseconds

    async def library(self) -> str:
        """The id of the folder's library."""
        return (await self.folders.of(ACME))[0].id

    def scanner(self) -> Scan:
        """The scan as it is put together in the service."""
        return Scan(
            folders=self.folders,
            records=self.records,
            governor=Governor(self.store),
            clock=lambda: self.now,
            settle_ms=SETTLE_MS,
            queue=self.queue,
            read=self.read,
        )

    async def begin_scan(self, **options: Any) -> Claim:
        """A scan in a worker's hands."""
        steps = (StepStatus(name="scan", pool="scan"),)
        library = await self.library()
        new = new_job(flow="scan_library", subject=library, params=options, steps=steps, lock=None)
        await self.bench.ledger.submit(new)
        return await self.bench.claim("scan")

    def context(self, claim: Claim, step: str) -> StepContext:
        return StepContext(
            claim=claim,
            step=step,
            outputs={},
            ledger=self.bench.ledger,
            blobs=self.blobs,
            folder=self.folder / "scratch",
        )

    async def scan(self, **options: Any) -> ScanPlan:
        """One look through the folder, and its plan. It changes no file of the user."""
        before = self.snapshot() if self.read is entries else None
        claim = await self.begin_scan(**options)
        output = await scan_step(self.scanner())(self.context(claim, "scan"))
        await self.bench.ledger.advance(claim, "scan", output, 1)
        assert before is None or self.snapshot() == before
        await self.listen()
        return msgspec.convert(output.result, ScanPlan)

    async def said(self, service: str = "drive") -> list[Message]:
        """What a service has said and nobody has listened to yet."""
        entries_ = await RedisOutbox(self.store, service).read("0", 100_000, 0.01)
        fresh: list[Message] = []
        for entry in entries_:
            envelope, message = decoded(envelope_of(entry, service))
            if envelope.id not in self._handled:
                self._handled.add(envelope.id)
                fresh.append(message)
        return fresh

    async def listen(self) -> None:
        """Hand on what was said: videos are added and renamed, files let go."""
        while news := [*await self.said("drive"), *await self.said("catalog")]:
            for message in news:
                await self._hear(message)

    async def _hear(self, message: Message) -> None:
        context = Context(tenant=ACME, message_id=new_id(), correlation="c1")
        match message:
            case SubmitJob():
                assert message.job_id not in self.asked
                self.asked[message.job_id] = message
            case FileStored():
                await self.catalog.add_video(message, context)
            case FileRenamed():
                await self.catalog.rename(message, context)
            case DeleteFile():
                before = self.snapshot()
                await self.drive.delete_file(message, context)
                assert self.snapshot() == before
            case _:
                pass

    async def process(self) -> None:
        """Carry out the first step of every job that was asked for."""
        for job in list(self.asked.values()):
            if job.job_id in self.deaf:
                continue
            self.deaf.add(job.job_id)
            await self._carry_out(job)
        await self.listen()

    async def _carry_out(self, job: SubmitJob) -> None:
        steps = tuple(StepStatus(name=name, pool=name) for name in ("store", "media"))
        new = new_job(id=job.job_id, subject=job.subject, params=job.params, steps=steps, lock=None)
        await self.bench.ledger.submit(new)
        claim = await self.bench.claim("store")
        assert claim.job.id == job.job_id
        try:
            output = await self.store_step(self.context(claim, "store"))
        except StepFailed as error:
            described = describe(error, "store")
            await self.bench.ledger.fail(claim, described, None)
            await self._tell_refused(job, described.error_class)
            return
        await self.bench.ledger.advance(claim, "store", output, 0.5)
        await self.bench.ledger.cancel(ACME, job.job_id, "")  # the rest is other tests' matter

    async def _tell_refused(self, job: SubmitJob, error_class: str) -> None:
        finished = JobFinished(
            job_id=job.job_id,
            flow="process_video",
            subject=job.subject,
            outcome="failed",
            error_class=error_class,
        )
        context = Context(tenant=ACME, message_id=new_id(), correlation="c1")
        await self.drive.clean_up(finished, context)
        await self.catalog.drop_refused(finished, context)

    async def settled(self, **options: Any) -> Counter[str]:
        """Two looks, far enough apart, and what they did; then the jobs."""
        done: Counter[str] = Counter()
        for _ in range(2):
            self.passes(SETTLE_MS + 1000)
            done.update((await self.scan(**options)).counts)
        await self.process()
        return done

    async def files(self) -> dict[str, LibraryFile]:
        """The index, by id."""
        found = await all_files(self.records, ACME, await self.library())
        return {file.id: file for file in found}

    async def by_path(self, state: str = "present") -> dict[str, LibraryFile]:
        """Those of one state, by path."""
        return {file.path: file for file in (await self.files()).values() if file.state == state}

    async def videos(self) -> dict[str, Video]:
        """All videos of the tenant, by id."""
        ids = await self.records.page(videos_index(ACME), "", 10_000)
        found = await self.records.get_many(Video, [video_key(ACME, each) for each in ids])
        return {each.id: each for each in found}

    async def content(self, of: Video) -> bytes:
        """What a stream of the video would send."""
        return b"".join([piece async for piece in self.blobs.read(of.location, 0, of.size)])

    async def delete(self, video_id: str) -> None:
        """A person deletes a video."""
        context = Context(tenant=ACME, message_id=new_id(), correlation="c1")
        await self.catalog.delete_video(DeleteVideo(video_id=video_id), context)
        await self.listen()


def _told(path: Path) -> tuple[str, str]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "link", str(path.readlink())
    if stat.S_ISREG(mode):
        return "file", hashlib.sha256(path.read_bytes()).hexdigest()
    return str(stat.S_IFMT(mode)), ""


def failing(where: str, error: OSError) -> ReadFolder:
    """A listing in which one folder cannot be read; root is held by no permissions."""

    def read(place: str, path: str) -> Any:
        if path == where:
            raise error
        return entries(place, path)

    return read


def meanwhile(act: Callable[[str], None]) -> ReadFolder:
    """A listing during which something happens, after each folder was read."""

    def read(place: str, path: str) -> Any:
        found = entries(place, path)
        act(path)
        return found

    return read
