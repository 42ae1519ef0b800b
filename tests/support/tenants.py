"""Tenants made over HTTP, which is quicker than the command line."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.client import Client, client_of
from tests.support.stack import ADMIN_KEY, Stack


async def new_key(stack: Stack, name: str, tier: str = "free") -> str:
    """Make a tenant; answers a key of its."""
    async with client_of(stack.url, ADMIN_KEY) as operator:
        tenants = "/v1/admin/tenants"
        await operator.tell("POST", tenants, {"id": name, "tier": tier}, status=201)
        made = await operator.tell("POST", f"{tenants}/{name}/keys", {}, status=201)
    return str(made["key"])


@asynccontextmanager
async def own_client(stack: Stack, tier: str = "free") -> AsyncIterator[Client]:
    """A client of a tenant that nobody else uses."""
    key = await new_key(stack, f"own-{uuid.uuid4().hex[:12]}", tier)
    async with client_of(stack.url, key) as client:
        yield client
