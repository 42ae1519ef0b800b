"""Tenants and their API keys: made here, kept in the store, read wherever they are needed.

A key is ``rw_<prefix>_<secret>``. Its record lies under the prefix; of the secret only a SHA-256 is
kept (the secret has 256 random bits, so a slow hash would add nothing).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from shared.clock import Clock
from shared.contracts.records import Record, Tenant, Tier
from shared.errors import Conflict, Invalid, NotFound
from shared.store.keys import TENANTS, tenant_key
from shared.store.records import Change, Records
from shared.tenancy import TenantId, tenant_id

Scope = Literal["read", "write"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "write")
_KEY = re.compile(r"rw_(?P<prefix>[a-z0-9]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"").hexdigest()


class ApiKey(Record, frozen=True, kw_only=True):
    """A key without its secret (owner: gateway)."""

    prefix: str
    tenant: str
    digest: str
    scopes: tuple[Scope, ...]
    created_at: int
    name: str = ""
    revoked_at: int = 0


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made; ``key`` is shown this once."""

    key: str
    prefix: str
    tenant: str
    scopes: tuple[Scope, ...]
    name: str = ""


class Tenants:
    """The register of tenants and keys."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def create(
        self, name: str, tier: Tier = "free", *, auto_approve: bool = True, max_bytes: int = 0
    ) -> Tenant:
        """A new tenant; :class:`Conflict` when there is one of that name."""
        owner = tenant_id(name)
        tenant = Tenant(
            id=owner,
            tier=tier,
            created_at=self._clock(),
            auto_approve=auto_approve,
            max_bytes=max_bytes,
        )
        change = Change(owner).absent(tenant_key(owner)).put(tenant_key(owner), tenant)
        try:
            await self._records.commit(change.index(TENANTS, owner))
        except Conflict as error:
            raise Conflict(f"there is a tenant {owner} already", code="tenant_exists") from error
        return tenant

    async def get(self, tenant: TenantId) -> Tenant:
        """A tenant; :class:`NotFound` when there is none of that name."""
        found = await self._records.get(Tenant, tenant_key(tenant))
        if found is None:
            raise NotFound(f"there is no tenant {tenant}", code="unknown_tenant")
        return found

    async def change(
        self,
        tenant: TenantId,
        *,
        tier: Tier | None = None,
        auto_approve: bool | None = None,
        max_bytes: int | None = None,
    ) -> Tenant:
        """Change a tenant; what is None stays. :class:`NotFound` when there is none."""
        found = await self.get(tenant)
        changed = msgspec.structs.replace(
            found,
            tier=tier or found.tier,
            auto_approve=found.auto_approve if auto_approve is None else auto_approve,
            max_bytes=found.max_bytes if max_bytes is None else max_bytes,
        )
        await self._records.commit(Change(tenant).put(tenant_key(tenant), changed))
        return changed

    async def all(self) -> list[Tenant]:
        """Every tenant, by name."""
        names = [tenant_id(name) for name in await self._records.page(TENANTS, "", 10_000)]
        return await self._records.get_many(Tenant, [tenant_key(name) for name in sorted(names)])

    async def create_key(
        self, tenant: TenantId, scopes: Iterable[Scope] = SCOPES, name: str = ""
    ) -> NewKey:
        """A new key of a tenant."""
        await self.get(tenant)
        prefix = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
        secret = secrets.token_urlsafe(32)
        record = ApiKey(
            prefix=prefix,
            tenant=tenant,
            digest=_digest(secret),
            scopes=tuple(scopes),
            created_at=self._clock(),
            name=name,
        )
        await self._records.commit(Change(tenant).put(_key_of(prefix), record))
        return NewKey(
            key=f"rw_{prefix}_{secret}",
            prefix=prefix,
            tenant=tenant,
            scopes=record.scopes,
            name=name,
        )

    async def revoke_key(self, key_or_prefix: str) -> ApiKey:
        """Take a key out of use, on every replica, from the next request on."""
        parsed = _KEY.fullmatch(key_or_prefix)
        prefix = parsed["prefix"] if parsed else key_or_prefix
        if not re.fullmatch(r"[a-z0-9]{12}", prefix):
            raise Invalid("that is neither a key nor the prefix of one", code="invalid_key")
        record = await self._records.get(ApiKey, _key_of(prefix))
        if record is None:
            raise NotFound(f"there is no key {prefix}", code="unknown_key")
        revoked = msgspec.structs.replace(record, revoked_at=record.revoked_at or self._clock())
        await self._records.commit(Change(record.tenant).put(_key_of(prefix), revoked))
        return revoked

    async def is_valid(self, prefix: str) -> bool:
        """Whether there is a key of this prefix that was not revoked."""
        record = await self._records.get(ApiKey, _key_of(prefix))
        return record is not None and not record.revoked_at

    async def identify(self, key: str) -> ApiKey | None:
        """Whose key this is, or None. An unknown key takes the same steps as a wrong one."""
        parsed = _KEY.fullmatch(key)
        if parsed is None:
            return None
        record = await self._records.get(ApiKey, _key_of(parsed["prefix"]))
        digest = record.digest if record else _NOBODY
        is_right = hmac.compare_digest(digest, _digest(parsed["secret"]))
        return record if record and is_right and not record.revoked_at else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key_of(prefix: str) -> str:
    return f"rw:key:{prefix}"
