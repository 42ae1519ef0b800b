"""Signed addresses: what one may open without a key, for players and for event streams.

A browser's own player and ``EventSource`` cannot send a header, so the address says who asks. A
token is ``<payload>.<mac>`` in URL-safe Base64: the tenant, the one subject that it opens, until
when, and which API key asked for it; under HMAC-SHA256 (RFC 2104) with a secret of the tenant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from services.gateway.tenants import Tenants
from shared.clock import Clock
from shared.contracts.records import Record
from shared.errors import Conflict, Invalid, Unauthorized
from shared.http.context import Principal
from shared.store.keys import signing_key
from shared.store.records import Change, Records
from shared.tenancy import TenantId, tenant_id

NOBODY: Final = bytes(32)
_LONGEST = 1024


class SigningKey(Record, frozen=True, kw_only=True):
    """The secret that a tenant's signed addresses rest on (owner: gateway), in hex."""

    secret: str
    made_at: int


class Signed(NamedTuple):
    """What a token says. ``credential`` is the prefix of the key that asked for it, or empty."""

    tenant: str
    subject: str
    expires_at: int
    credential: str


@dataclass(frozen=True, slots=True)
class Signatures:
    """Makes and reads tokens. All of a tenant's end with its secret."""

    records: Records
    tenants: Tenants
    clock: Clock

    async def sign(self, signed: Signed) -> str:
        """The token that says so."""
        payload = msgspec.json.encode(signed)
        secret = await self._secret(tenant_id(signed.tenant))
        return f"{_coded(payload)}.{_coded(_mac(secret, payload))}"

    async def read(self, token: str, subject: str) -> Signed:
        """What a token says, if it is ours, opens this and is not over; else
        :class:`Unauthorized`.
        """
        payload, mac = _parts(token)
        signed = _decoded(payload)
        secret = await self._known_secret(tenant_id(signed.tenant)) if signed else None
        is_right = hmac.compare_digest(_mac(secret or NOBODY, payload), mac)
        if signed is None or secret is None or not is_right or signed.subject != subject:
            raise Unauthorized("this signed address is not valid", hint="ask for a new one")
        if signed.expires_at <= self.clock():
            raise Unauthorized(
                "this signed address is over", code="address_expired", hint="ask for a new one"
            )
        return signed

    async def principal(self, token: str, subject: str) -> Principal:
        """Who asks with a token: its tenant, to read, as long as the key that asked for it is
        valid.
        """
        signed = await self.read(token, subject)
        if not await self.tenants.is_valid(signed.credential):
            raise Unauthorized("the key that signed this address was revoked")
        return Principal(
            tenant=signed.tenant, credential=signed.credential, scopes=frozenset({"read"})
        )

    async def end_all(self, tenant: TenantId) -> None:
        """No signed address of the tenant is valid any more."""
        await self.records.commit(Change(tenant).put(signing_key(tenant), self._fresh()))

    async def _secret(self, tenant: TenantId) -> bytes:
        """The tenant's secret, made when it is first needed."""
        if known := await self._known_secret(tenant):
            return known
        key, fresh = signing_key(tenant), self._fresh()
        try:
            await self.records.commit(Change(tenant).absent(key).put(key, fresh))
        except Conflict:  # somebody else was quicker
            return await self._secret(tenant)
        return bytes.fromhex(fresh.secret)

    async def _known_secret(self, tenant: TenantId) -> bytes | None:
        found = await self.records.get(SigningKey, signing_key(tenant))
        return bytes.fromhex(found.secret) if found else None

    def _fresh(self) -> SigningKey:
        return SigningKey(secret=secrets.token_hex(32), made_at=self.clock())


def _mac(secret: bytes, payload: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).digest()


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _parts(token: str) -> tuple[bytes, bytes]:
    """Payload and MAC; empty where there is none."""
    payload, _, mac = token[:_LONGEST].partition(".")
    try:
        return _uncoded(payload), _uncoded(mac)
    except (binascii.Error, ValueError):
        return b"", b""


def _uncoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _decoded(payload: bytes) -> Signed | None:
    try:
        signed = msgspec.json.decode(payload, type=Signed)
        tenant_id(signed.tenant)
    except (msgspec.DecodeError, Invalid):
        return None
    return signed
