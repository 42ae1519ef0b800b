"""Share links: anybody who has one may see a video. A link is a credential, so only its digest is
kept, it ends, and it can be taken back.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.clock import Clock
from shared.contracts.shares import Share, ShareLink
from shared.errors import Conflict, Gone, NotFound, TooMany, Unauthorized
from shared.store.keys import link_key, share_key, share_log_key, shares_index
from shared.store.records import Change, Records
from shared.tenancy import TenantId, tenant_id

MOST: Final = 100
"""How many links a video may have, those that have ended included."""
TRIES: Final = 10
WINDOW_SECONDS: Final = 900
"""A password may be tried so often in so long a time."""
LOG_KEPT: Final = 1000

_ROUNDS: Final = 50
"""Many may come by one link at once, and it must be possible to take it back while they do."""
_COST: Final = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
"""scrypt (RFC 7914): 16 MiB and some 50 ms for a try."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The share links of all tenants."""

    records: Records
    clock: Clock

    async def create(self, share: Share, password: str) -> str:
        """Keep a new link; answers its token, which is shown this once."""
        tenant, token = tenant_id(share.tenant), secrets.token_urlsafe(32)
        if await self.records.count(shares_index(tenant, share.video_id)) >= MOST:
            raise Conflict(f"a video has at most {MOST} share links", hint="delete some of them")
        made = msgspec.structs.replace(
            share,
            digest=_digest(token),
            password=await asyncio.to_thread(_hashed, password) if password else "",
        )
        link = ShareLink(tenant=tenant, id=share.id)
        change = Change(tenant).put(share_key(tenant, share.id), made)
        change.put(link_key(made.digest), link)
        await self.records.commit(change.index(shares_index(tenant, share.video_id), share.id))
        return token

    async def of_video(self, tenant: TenantId, video_id: str) -> list[Share]:
        """Every link of a video, newest first."""
        ids = await self.records.page(shares_index(tenant, video_id), "", MOST)
        return await self.records.get_many(Share, [share_key(tenant, each) for each in ids])

    async def get(self, tenant: TenantId, video_id: str, share_id: str) -> Share:
        """A link of a video; :class:`NotFound` when it has none of that id."""
        share = await self.records.get(Share, share_key(tenant, share_id))
        if share is None or share.video_id != video_id:
            raise NotFound("there is no such share link")
        return share

    async def by_token(self, token: str) -> Share:
        """The link of a token. :class:`NotFound` when there is none, :class:`Gone` when it is over
        or was taken back.
        """
        link = await self.records.get(ShareLink, link_key(_digest(token)))
        share = None
        if link is not None:
            share = await self.records.get(Share, share_key(tenant_id(link.tenant), link.id))
        if share is None:
            raise NotFound("there is no such share link")
        if share.revoked_at or 0 < share.expires_at <= self.clock():
            raise Gone("this share link has ended", code="share_ended")
        return share

    async def view(self, share: Share, password: str, **who: str) -> Share:
        """Somebody looks, which counts. :class:`Unauthorized` for another password,
        :class:`TooMany` when it was tried too often, :class:`Gone` when all views are used up.
        """
        if share.password:
            await self._change(share, self._tried)
            if not await asyncio.to_thread(_is_right, password, share.password):
                await self.note(share, "refused", **who)
                raise Unauthorized(
                    "the password is not right" if password else "this link has a password",
                    code="password_required",
                    hint="send it as `password`",
                )
        return await self._change(share, self._viewed, Note("view", who))

    async def revoke(self, share: Share) -> Share:
        """Take a link back: from the next request on, on every gateway."""

        def revoked(share: Share) -> Share:
            return msgspec.structs.replace(share, revoked_at=share.revoked_at or self.clock())

        return await self._change(share, revoked)

    async def note(self, share: Share, what: str, **who: str) -> None:
        """Write into the link's log who came."""
        change = Change(share.tenant)
        Note(what, who).put(change, share)
        await self.records.commit(change)

    async def log(self, share: Share, limit: int) -> list[tuple[int, dict[str, str]]]:
        """Who came, last first: when, in milliseconds since the epoch, and what is known."""
        key = share_log_key(tenant_id(share.tenant), share.id)
        return await self.records.latest(key, limit)

    async def forget(self, change: Change, tenant: TenantId, video_id: str) -> None:
        """Add to a change that every link of a video goes."""
        for share in await self.of_video(tenant, video_id):
            change.delete(
                share_key(tenant, share.id),
                share_log_key(tenant, share.id),
                link_key(share.digest),
            )
        change.delete(shares_index(tenant, video_id))

    def _tried(self, share: Share) -> Share:
        """One more try at the password, which is a wrong one until it has proved right: so many at
        a time are as few as one after another.
        """
        now, first = self.clock(), share.wrong_since
        if now - first > WINDOW_SECONDS * 1000:
            return msgspec.structs.replace(share, wrong=1, wrong_since=now)
        if share.wrong >= TRIES:
            raise TooMany(
                first / 1000 + WINDOW_SECONDS - now / 1000,
                f"the password was tried {TRIES} times",
                code="password_tries",
            )
        return msgspec.structs.replace(share, wrong=share.wrong + 1)

    def _viewed(self, share: Share) -> Share:
        if share.max_views and share.views >= share.max_views:
            raise Gone("this share link was used as often as it may be", code="share_ended")
        return msgspec.structs.replace(share, views=share.views + 1, wrong=0)

    async def _change(
        self, share: Share, edit: Callable[[Share], Share], note: Note | None = None
    ) -> Share:
        """Change a link as it is now; again when somebody else did so at the same time."""
        key = share_key(tenant_id(share.tenant), share.id)
        for _ in range(_ROUNDS):
            known = await self.records.get(Share, key)
            if known is None:
                raise NotFound("there is no such share link")
            edited = msgspec.structs.replace(edit(known), version=known.version + 1)
            change = Change(share.tenant).expect(key, known.version).put(key, edited)
            if note:
                note.put(change, share)
            try:
                await self.records.commit(change)
            except Conflict:
                continue
            return edited
        raise TooMany(1, "too many use this link at the same time")


@dataclass(frozen=True, slots=True)
class Note:
    """A line of a link's log."""

    what: str
    who: dict[str, str]

    def put(self, change: Change, share: Share) -> None:
        """Add it to a change."""
        key = share_log_key(tenant_id(share.tenant), share.id)
        change.append(key, LOG_KEPT, what=self.what, **self.who)


def needs_view(share: Share) -> bool:
    """Whether one has to say the password, or to be counted, before anything is shown."""
    return bool(share.password or share.max_views)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, **_COST).hex()}"


def _is_right(password: str, kept: str) -> bool:
    salt, _, digest = kept.partition(":")
    tried = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), **_COST)
    return hmac.compare_digest(tried.hex(), digest)
