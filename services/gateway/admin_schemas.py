"""What operators' routes take and give."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shared.contracts.records import Tier

TenantName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


Bytes = Annotated[
    int, msgspec.Meta(ge=0, description="How many bytes its files may have; 0: any number")
]


class NewTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to make."""

    id: TenantName
    tier: Tier = "free"
    auto_approve: bool = True
    max_bytes: Bytes = 0


class TenantView(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    tier: Tier
    auto_approve: bool
    max_bytes: int
    created_at: str


class TenantsView(msgspec.Struct, frozen=True, kw_only=True):
    """All tenants."""

    items: tuple[TenantView, ...]


class NewKeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    scopes: tuple[Literal["read", "write"], ...] = ("read", "write")


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made. It is shown this once."""

    key: str
    prefix: str
    tenant: str
    scopes: tuple[Literal["read", "write"], ...]
    name: str


class TenantChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different about a tenant; the rest stays."""

    tier: Tier | None = None
    auto_approve: bool | None = None
    max_bytes: Bytes | None = None


class TenantWork(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has waiting and may have: `running_limit` at a time in one pool (0: no limit),
    `queued_limit` waiting before uploads are refused. Nothing that waits begins while it is paused.
    """

    tenant: str
    paused: bool
    running_limit: int
    queued: int
    queued_limit: int


class TenantWorkChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different about a tenant's work."""

    paused: bool | None = None


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of workers. At most `limit` jobs run in it at a time (0: as many as there are slots);
    `average_seconds` is how long one is held, about.
    """

    pool: str
    paused: bool
    limit: int
    running: int
    waiting: int
    oldest_wait_seconds: float
    average_seconds: float
    workers: tuple[str, ...]


class PoolsView(msgspec.Struct, frozen=True, kw_only=True):
    """All pools."""

    items: tuple[PoolView, ...]


class PoolChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different about a pool; the rest stays."""

    limit: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None
    paused: bool | None = None
