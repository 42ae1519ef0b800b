"""Uploads that arrive in pieces: how many bytes are here for good, and who may add to them.

The bytes lie in blobs, a piece each (:func:`shared.blobs.locations.piece`); the record says which
of them count, in their order. One request at a time may change an upload; another one that wants to
asks it to stop, on whatever gateway it runs. Only Redis ``TIME`` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec

from shared.errors import Conflict, Locked, NotFound, ReelwayError
from shared.ids import new_id
from shared.store.keys import pieces_key, upload_key
from shared.store.records import Change
from shared.store.redis import Store
from shared.store.scripts import Refusal, Scripts
from shared.tenancy import TenantId, tenant_id

ABANDONED_SECONDS: Final = 24 * 3600
"""After so long without a byte an upload ends."""
REMEMBERED_SECONDS: Final = 24 * 3600
"""For so long one can ask about an upload that is complete."""
LEASE_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 20.0
"""How long a request waits for the one before it to let go."""

Words = list[str | bytes | int | float]

_LOOK_SECONDS = 0.5
_FIRST_ASK_SECONDS = 0.01
_ASK_SECONDS = 0.1


class Taken(Locked):
    """Another request is changing this upload."""

    default_code = "upload_taken"


class WrongOffset(Conflict):
    """The upload has another offset."""

    default_code = "wrong_offset"


_REFUSALS: dict[str, Refusal] = {"LOST": Taken, "OFFSET": WrongOffset}


class Piece(NamedTuple):
    """Some bytes of an upload: its blob key, and how many they are."""

    key: str
    size: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as it is; ``length`` is missing where the client has not said it yet, ``metadata``
    and ``concat`` are as the client sent them. ``direct`` is the object store's name of one whose
    parts it takes itself. Times are milliseconds since the epoch.
    """

    id: str
    tenant: str
    name: str
    video_id: str
    job_id: str
    metadata: str = ""
    concat: str = ""
    direct: str = ""
    length: int | None = None
    offset: int = 0
    state: Literal["open", "complete"] = "open"
    created_at: int = 0
    expires_at: int = 0


class Uploads:
    """The uploads of one deployment, for the service whose outbox they speak through."""

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._outbox = f"rw:outbox:{service}"
        self._scripts = Scripts(store, "shared.store", "lua", _REFUSALS)

    async def get(self, tenant: TenantId, upload_id: str, *, direct: bool | None = False) -> Upload:
        """The upload; :class:`NotFound` when there is none of this kind (None: of any), or its time
        is over.
        """
        found: Any = await self._store.commands.hgetall(upload_key(tenant, upload_id))
        if not found:
            raise NotFound("there is no such upload")
        fields = {name.decode(): value.decode() for name, value in found.items()}
        upload = msgspec.convert(fields, Upload, strict=False)
        if direct not in {None, bool(upload.direct)}:
            raise NotFound("there is no such upload")
        return upload

    async def pieces(self, tenant: TenantId, upload_id: str) -> list[str]:
        """The blob keys of its pieces, in their order."""
        key = pieces_key(tenant, upload_id)
        found: Any = await self._store.commands.lrange(key, 0, -1)
        return [name.decode() for name in found]

    async def forget_pieces(self, tenant: TenantId, upload_id: str) -> None:
        """They are part of something else now."""
        await self._store.commands.delete(pieces_key(tenant, upload_id))

    async def create(self, upload: Upload) -> bool:
        """Begin an upload; False when it is there already."""
        key = upload_key(tenant_id(upload.tenant), upload.id)
        args: Words = [ABANDONED_SECONDS * 1000, *_fields(upload)]
        return bool(await self._scripts.call("upload_create", [key], args))

    async def join(self, upload: Upload, parts: Sequence[str], said: Change) -> bool:
        """Begin an upload that has all its bytes, those of its parts, which are used up; ``said``
        goes out with it. False when it is there already. :class:`NotFound` when one of them is no
        part, :class:`Conflict` when one is not complete.
        """
        tenant, fields = tenant_id(upload.tenant), _fields(upload)
        keys = [upload_key(tenant, each) for each in (upload.id, *parts)]
        args: Words = [REMEMBERED_SECONDS, str(upload.length), len(fields)]
        args += [*fields, *_entry(said)]
        keys.insert(1, self._outbox)
        return bool(await self._scripts.call("upload_join", keys, args))

    async def expired(self, most: int) -> list[tuple[TenantId, str]]:
        """Uploads whose time is over."""
        flat = await self._scripts.call("uploads_expired", (), [most])
        words = [word.decode() for word in cast("list[bytes]", flat)]
        pairs = zip(words[::2], words[1::2], strict=True)
        return [(tenant_id(tenant), upload_id) for tenant, upload_id in pairs]

    @asynccontextmanager
    async def held(
        self, tenant: TenantId, upload_id: str, patience: float = PATIENCE_SECONDS
    ) -> AsyncIterator[Hold]:
        """The right to change an upload while the block is open. Whoever has it is asked to let go;
        :class:`Taken` when it does not within ``patience`` seconds.
        """
        hold = Hold(self._scripts, upload_key(tenant, upload_id), self._outbox)
        await hold.take(patience)
        keeping = asyncio.create_task(hold.keep())
        try:
            yield hold
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await hold.release()


class Hold:
    """The right to change one upload. ``stop`` is set when another asks for it, or it is lost."""

    def __init__(self, scripts: Scripts, key: str, outbox: str) -> None:
        self.stop = asyncio.Event()
        self.owner = new_id()
        self._scripts = scripts
        self._key = key
        self._outbox = outbox

    async def take(self, patience: float) -> None:
        """Ask for it until it is ours: at first often, as who was cut off writes what came and
        then lets go.
        """
        pause = _FIRST_ASK_SECONDS
        try:
            async with asyncio.timeout(patience):
                while await self._ask() == "taken":
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _ASK_SECONDS)
        except TimeoutError:
            raise Taken("another request is still changing this upload") from None

    async def keep(self) -> None:
        """Renew it, and hear whether somebody else wants it. While the store is away nobody can
        take it, and :meth:`add` has the last word.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(ReelwayError):
                if await self._ask() != "ours":
                    self.stop.set()

    async def add(
        self, offset: int, pieces: Sequence[Piece], said: Change, length: int | None = None
    ) -> int:
        """These pieces, which begin at ``offset``, are here for good; answers the new offset. The
        upload gets its length if it had none; ``said`` goes out once it is complete.

        :class:`Taken` when the right was lost, :class:`WrongOffset` when they do not fit.
        """
        flat = [part for piece in pieces for part in (piece.key, str(piece.size))]
        args: Words = [self.owner, str(offset), "" if length is None else str(length)]
        args += [ABANDONED_SECONDS * 1000, REMEMBERED_SECONDS, len(pieces), *flat, *_entry(said)]
        return int(await self._scripts.call("upload_add", [self._key, self._outbox], args))

    async def remove(self) -> None:
        """Forget the upload."""
        await self._scripts.call("upload_remove", [self._key], [self.owner])

    async def release(self) -> None:
        """Let others have it; when the store is away they have it after the lease."""
        with suppress(ReelwayError):
            await self._scripts.call("upload_release", [self._key], [self.owner])

    async def _ask(self) -> str:
        args: Words = [self.owner, int(LEASE_SECONDS * 1000)]
        answer: bytes = await self._scripts.call("upload_hold", [self._key], args)
        return answer.decode()


def _fields(upload: Upload) -> list[str]:
    """What a new record says besides what the scripts decide."""
    named: Mapping[str, object] = {
        "id": upload.id,
        "tenant": upload.tenant,
        "name": upload.name,
        "video_id": upload.video_id,
        "job_id": upload.job_id,
        "metadata": upload.metadata,
        "concat": upload.concat,
        "direct": upload.direct,
        "length": upload.length,
    }
    return [part for name, is_ in named.items() if is_ is not None for part in (name, str(is_))]


def _entry(said: Change) -> list[str]:
    """The one outbox entry of a change, field, value, …"""
    (entry,) = said.plan["say"]
    return [str(part) for part in entry]
