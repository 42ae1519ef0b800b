"""Tenants, and the only place where keys and paths of a tenant are built.

Nothing else in Reelway joins a tenant to a key: a key that another module builds is a leak waiting
to happen. ``tests/unit/test_architecture.py`` looks for such places.
"""

from __future__ import annotations

import re
from typing import NewType

from shared.errors import Invalid

TenantId = NewType("TenantId", str)
"""A tenant's name: lower case letters, digits and inner hyphens, at most 63 characters. It has no
dots, colons or slashes, so it can stand in routing keys, Redis keys and blob keys as it is."""

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def tenant_id(text: str) -> TenantId:
    """The text as a tenant's name; :class:`Invalid` when it is none."""
    if not _TENANT.fullmatch(text):
        raise Invalid(
            f"{text[:80]!r} is no tenant name",
            hint="use 1 to 63 lower case letters, digits and inner hyphens",
        )
    return TenantId(text)


def record_key(tenant: TenantId, *parts: str) -> str:
    """The Redis key of one record of a tenant: ``rw:t:<tenant>:<part>:…``."""
    return ":".join(("rw:t", tenant_id(tenant), *parts))


def ledger_key(part: str, tenant: TenantId) -> str:
    """The Redis key of what the ledger keeps about a tenant: ``rw:jobs:<part>:<tenant>``."""
    return f"rw:jobs:{part}:{tenant_id(tenant)}"


def breaker_key(provider: str, tenant: TenantId) -> str:
    """The Redis key of a tenant's circuit breaker: ``rw:breaker:<provider>:<tenant>``."""
    return f"rw:breaker:{provider}:{tenant_id(tenant)}"


def blob_key(tenant: TenantId, *parts: str) -> str:
    """The blob key of a tenant's object: ``<tenant>/<part>/…``; parts cannot climb."""
    for part in parts:
        if not _SEGMENT.fullmatch(part):
            raise Invalid(f"{part[:80]!r} cannot be part of a blob key")
    return "/".join((tenant_id(tenant), *parts))


def blob_tenant(key: str) -> TenantId:
    """The tenant to whom a blob key belongs."""
    return tenant_id(key.split("/", 1)[0])


def routing_key(tenant: str, kind: str) -> str:
    """The routing key of a message: ``<tenant>.<kind>``; ``_`` where no tenant is concerned."""
    return f"{tenant or '_'}.{kind}"
