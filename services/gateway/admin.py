"""What operators do from the command line: tenants and keys, beside a running Reelway or alone."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from services.gateway.tenants import SCOPES, Tenants
from shared.clock import now_ms, rfc3339
from shared.contracts.records import Tenant
from shared.errors import ReelwayError
from shared.settings import HostSettings, load, prefix_of, split
from shared.store.embedded import attach_or_start
from shared.store.records import Records
from shared.store.redis import open_redis
from shared.tenancy import tenant_id

COMMANDS = ("tenant", "key")
_QUOTA = "how much its files may have in all, such as 500G; 0 for any number"


def run_command(words: Sequence[str]) -> int:
    """Do one command; what it says goes to standard output, what is wrong to standard error."""
    asked = _parser().parse_args(words)
    try:
        for line in asyncio.run(_do(asked, os.environ)):
            sys.stdout.write(f"{line}\n")
    except ReelwayError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"reelway: {error.detail}{hint}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reelway")
    things = parser.add_subparsers(dest="thing", required=True)
    tenant = things.add_parser("tenant", help="tenants").add_subparsers(dest="verb", required=True)
    tenant.add_parser("list", help="show every tenant")
    create = tenant.add_parser("create", help="make a tenant")
    create.add_argument("name")
    create.add_argument("--tier", choices=("free", "premium", "enterprise"), default="free")
    create.add_argument("--no-auto-approve", action="store_true", help="a person approves layouts")
    create.add_argument("--max-bytes", type=size, default=0, metavar="SIZE", help=_QUOTA)
    change = tenant.add_parser("change", help="change a tenant; what is not named stays")
    change.add_argument("name")
    change.add_argument("--tier", choices=("free", "premium", "enterprise"))
    change.add_argument("--auto-approve", action=argparse.BooleanOptionalAction)
    change.add_argument("--max-bytes", type=size, metavar="SIZE", help=_QUOTA)
    key = things.add_parser("key", help="API keys").add_subparsers(dest="verb", required=True)
    new = key.add_parser("create", help="make a key of a tenant, and show it this once")
    new.add_argument("tenant")
    new.add_argument("--name", default="", help="what the key is for")
    new.add_argument("--read-only", action="store_true")
    revoke = key.add_parser("revoke", help="take a key out of use, at once")
    revoke.add_argument("key", metavar="KEY_OR_PREFIX")
    return parser


def size(text: str) -> int:
    """A number of bytes, as ``500G`` (binary: k, M, G, T); argparse tells of any other.

    >>> size("1.5k")
    1536
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 500G, or 0 for no quota")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " "))


async def _do(asked: argparse.Namespace, environ: MutableMapping[str, str]) -> list[str]:
    async with _register(environ) as tenants:
        match asked.thing, asked.verb:
            case "tenant", "list":
                return [_line(each) for each in await tenants.all()]
            case "tenant", "create":
                made = await tenants.create(
                    asked.name,
                    asked.tier,
                    auto_approve=not asked.no_auto_approve,
                    max_bytes=asked.max_bytes,
                )
                return [f"made the tenant {made.id} ({made.tier})"]
            case "tenant", "change":
                changed = await tenants.change(
                    tenant_id(asked.name),
                    tier=asked.tier,
                    auto_approve=asked.auto_approve,
                    max_bytes=asked.max_bytes,
                )
                return [_line(changed)]
            case "key", "create":
                scopes = SCOPES[:1] if asked.read_only else SCOPES
                owner = tenant_id(asked.tenant)
                return [(await tenants.create_key(owner, scopes, asked.name)).key]
            case _:
                revoked = await tenants.revoke_key(asked.key)
                return [f"revoked the key {revoked.prefix} of {revoked.tenant}"]


def _line(tenant: Tenant) -> str:
    """A tenant in a list: name, tier, since when, how many bytes it may have."""
    quota = str(tenant.max_bytes) if tenant.max_bytes else "any number of"
    return f"{tenant.id}\t{tenant.tier}\t{rfc3339(tenant.created_at)}\t{quota} bytes"


@asynccontextmanager
async def _register(environ: MutableMapping[str, str]) -> AsyncIterator[Tenants]:
    """The register in the store that the settings name; an embedded one is shared if it runs."""
    settings = load(HostSettings, split(environ)[""], prefix_of(""))
    async with AsyncExitStack() as stack:
        url = settings.store_url
        if url.startswith("embedded:"):
            url = await stack.enter_async_context(attach_or_start(settings.data_dir))
        store = await stack.enter_async_context(open_redis(url))
        yield Tenants(Records(store, "gateway"), now_ms)
