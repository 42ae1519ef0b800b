"""Signed addresses: what a token opens, for whom and until when."""

from __future__ import annotations

import asyncio
import base64

import msgspec
import pytest

from services.gateway.signatures import Signatures, Signed
from services.gateway.tenants import Tenants
from shared.errors import Unauthorized
from shared.store.records import Records
from shared.store.redis import Store
from tests.integration.work.bench import ACME, OTHER

pytestmark = pytest.mark.integration
FILM = "video/0190a000-0000-7000-8000-000000000001"
NEXT = "video/0190a000-0000-7000-8000-000000000002"


class Desk:
    """A tenant with a key, and a clock that tests set."""

    def __init__(self, store: Store) -> None:
        records = Records(store, "gateway")
        self.now = 1_000_000
        self.tenants = Tenants(records, lambda: self.now)
        self.signatures = Signatures(records, self.tenants, lambda: self.now)
        self.credential = ""

    async def token(self, subject: str = FILM, tenant: str = ACME, ends: int = 2_000_000) -> str:
        return await self.signatures.sign(Signed(tenant, subject, ends, self.credential))

    async def refused(self, token: str, subject: str = FILM) -> str:
        with pytest.raises(Unauthorized) as refusal:
            await self.signatures.principal(token, subject)
        return refusal.value.code


@pytest.fixture
async def desk(store: Store) -> Desk:
    made = Desk(store)
    for tenant in (ACME, OTHER):
        await made.tenants.create(tenant)
    made.credential = (await made.tenants.create_key(ACME)).prefix
    return made


async def test_a_token_reads_one_thing_of_its_tenant(desk: Desk) -> None:
    principal = await desk.signatures.principal(await desk.token(), FILM)
    assert principal.tenant == ACME
    assert principal.scopes == {"read"}


async def test_a_token_opens_nothing_else(desk: Desk) -> None:
    assert await desk.refused(await desk.token(), NEXT) == "unauthorized"


async def test_a_token_ends_at_its_time(desk: Desk) -> None:
    token = await desk.token()
    desk.now = 1_999_999
    await desk.signatures.principal(token, FILM)
    desk.now = 2_000_000
    assert await desk.refused(token) == "address_expired"


async def test_a_token_ends_with_the_key_that_asked_for_it(desk: Desk) -> None:
    token = await desk.token()
    await desk.tenants.revoke_key(desk.credential)
    assert await desk.refused(token) == "unauthorized"


async def test_all_tokens_of_one_tenant_can_be_ended(desk: Desk) -> None:
    mine, theirs = await desk.token(), await desk.token(tenant=OTHER)
    await desk.signatures.end_all(ACME)
    assert await desk.refused(mine) == "unauthorized"
    await desk.signatures.principal(theirs, FILM)
    await desk.signatures.principal(await desk.token(), FILM)


async def test_a_payload_that_was_changed_is_refused(desk: Desk) -> None:
    mac = (await desk.token()).partition(".")[2]
    for said in (
        [OTHER, FILM, 2_000_000, desk.credential],
        [ACME, FILM, 9_000_000, desk.credential],
        ["nobody-at-all", FILM, 2_000_000, desk.credential],
    ):
        payload = base64.urlsafe_b64encode(msgspec.json.encode(said)).rstrip(b"=").decode()
        assert await desk.refused(f"{payload}.{mac}") == "unauthorized"


async def test_the_secret_of_one_tenant_signs_nothing_of_another(desk: Desk) -> None:
    await desk.token(tenant=OTHER)  # so that there is a secret
    payload = msgspec.json.encode([OTHER, FILM, 2_000_000, desk.credential])
    ours = await desk.signatures._secret(ACME)
    from services.gateway.signatures import _coded, _mac

    assert await desk.refused(f"{_coded(payload)}.{_coded(_mac(ours, payload))}") == "unauthorized"


@pytest.mark.parametrize(
    "token",
    ["", ".", "a.b", "e30.e30", "bnVsbA.", "\u00fc.\u00fc", "A" * 5000, "W10.W10", "Ww.Ww", "..."],
)
async def test_what_is_no_token_is_refused(desk: Desk, token: str) -> None:
    assert await desk.refused(token) == "unauthorized"


async def test_two_gateways_that_need_a_secret_at_once_have_the_same(desk: Desk) -> None:
    tokens = await asyncio.gather(*(desk.token() for _ in range(8)))
    for token in tokens:
        await desk.signatures.principal(token, FILM)
