"""How many bytes a tenant has, counted from the moment when they are promised.

An upload takes its bytes before the first of them comes, under a lease; with the last one the lease
ends and they stay, until the file goes. So neither a quota nor the disk is given away twice,
however many uploads are under way, and what was promised to somebody who died comes back by itself.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.errors import StorageFull, TooLarge
from shared.store.keys import space_key
from shared.store.redis import Store
from shared.store.scripts import Refusal, Scripts
from shared.tenancy import TenantId

_TOTAL: Final = b"total"


class QuotaExceeded(TooLarge):
    """The tenant has no room for so many bytes."""

    default_code = "quota_exceeded"


_REFUSALS: dict[str, Refusal] = {"QUOTA": QuotaExceeded, "FULL": StorageFull}


class Space:
    """The bytes of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scripts = Scripts(store, "shared.store", "lua", _REFUSALS)

    async def take(  # noqa: PLR0913 - what one taking is
        self,
        tenant: TenantId,
        file_id: str,
        size: int,
        *,
        seconds: float = 0,
        most: int = 0,
        due: int = 0,
        room: int | None = None,
    ) -> int:
        """Take ``size`` bytes for a file, or change how many it has; answers the tenant's bytes.

        For ``seconds``, or for good. :class:`QuotaExceeded` when the tenant would have more than
        ``most`` (0: any number). ``due`` of them have still to come: :class:`StorageFull` when all
        that are due anywhere are more than ``room``, what the disk still takes (None: nobody can
        tell). What is taken already is never refused.
        """
        args: list[Any] = [file_id, size, most, due, "" if room is None else max(0, room)]
        args.append(int(seconds * 1000))
        return int(await self._scripts.call("space_take", [space_key(tenant)], args))

    async def give(self, tenant: TenantId, *file_ids: str) -> int:
        """The bytes of these files are gone, or will not come; answers the tenant's bytes."""
        return int(await self._scripts.call("space_give", [space_key(tenant)], list(file_ids)))

    async def of(self, tenant: TenantId) -> Used:
        """What a tenant has."""
        total: Any = await self._store.commands.hget(space_key(tenant), _TOTAL)
        fields: Any = await self._store.commands.hlen(space_key(tenant))
        return Used(bytes=int(total or 0), files=max(0, int(fields) - (total is not None)))

    async def has(self, tenant: TenantId, file_id: str) -> bool:
        """Whether a file, or an upload that will be one, has any bytes."""
        found: Any = await self._store.commands.hexists(space_key(tenant), file_id)
        return bool(found)


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and files, those of uploads under way included."""

    bytes: int
    files: int
