"""Share links: their passwords, their views and their end, also when many come at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.gateway.shares import TRIES, WINDOW_SECONDS, Shares
from shared.contracts.shares import Share
from shared.errors import Conflict, Gone, NotFound, ReelwayError, TooMany, Unauthorized
from shared.ids import derived_id
from shared.store.keys import link_key, share_log_key
from shared.store.records import Change, Records
from shared.store.redis import Store
from tests.integration.work.bench import ACME, OTHER

pytestmark = pytest.mark.integration
VIDEO = derived_id("video", "shared")


class Desk:
    """Share links, and a clock that tests set."""

    def __init__(self, store: Store) -> None:
        self.records = Records(store, "gateway")
        self.now = 1_000_000
        self.shares = Shares(self.records, lambda: self.now)
        self.made = 0

    async def share(self, password: str = "", **fields: Any) -> tuple[Share, str]:
        self.made += 1
        share = Share(
            id=derived_id("share", str(self.made)),
            tenant=ACME,
            video_id=VIDEO,
            digest="",
            created_at=self.now,
            version=1,
            **fields,
        )
        token = await self.shares.create(share, password)
        return await self.shares.get(ACME, VIDEO, share.id), token

    async def outcomes(self, share: Share, password: str, times: int) -> list[type[object]]:
        """What became of looking at it so often, all at once; asked again where it was busy."""

        async def look() -> type[object]:
            while True:
                try:
                    await self.shares.view(share, password)
                except TooMany as busy:
                    if busy.code == "password_tries":
                        return TooMany
                except ReelwayError as refusal:
                    return type(refusal)
                else:
                    return Share

        return await asyncio.gather(*(look() for _ in range(times)))


@pytest.fixture
async def desk(store: Store) -> Desk:
    return Desk(store)


async def test_a_token_leads_to_its_link(desk: Desk) -> None:
    share, token = await desk.share()
    assert (await desk.shares.by_token(token)).id == share.id


async def test_neither_token_nor_password_lie_in_the_store(desk: Desk, store: Store) -> None:
    _, token = await desk.share(password="open sesame")
    kept = b""
    async for name in store.commands.scan_iter("rw:*"):
        kept += name
        if await store.commands.type(name) == b"string":
            kept += await store.commands.get(name)
    assert token.encode() not in kept
    assert b"sesame" not in kept


async def test_a_link_ends_at_its_time(desk: Desk) -> None:
    _, token = await desk.share(expires_at=1_500_000)
    desk.now = 1_499_999
    await desk.shares.by_token(token)
    desk.now = 1_500_000
    with pytest.raises(Gone):
        await desk.shares.by_token(token)


async def test_a_link_that_was_taken_back_opens_nothing(desk: Desk) -> None:
    share, token = await desk.share()
    await desk.shares.revoke(share)
    with pytest.raises(Gone):
        await desk.shares.by_token(token)


async def test_so_many_views_and_no_more_however_many_come_at_once(desk: Desk) -> None:
    share, _ = await desk.share(max_views=7)
    outcomes = await desk.outcomes(share, "", 20)
    assert outcomes.count(Share) == 7
    assert outcomes.count(Gone) == 13
    assert len(await desk.shares.log(share, 100)) == 7


async def test_a_password_is_tried_so_often_however_many_come_at_once(desk: Desk) -> None:
    share, _ = await desk.share(password="right")
    outcomes = await desk.outcomes(share, "wrong", 2 * TRIES)
    assert outcomes.count(Unauthorized) == TRIES
    assert outcomes.count(TooMany) == TRIES
    assert await desk.outcomes(share, "right", 1) == [TooMany]


async def test_after_a_while_a_password_may_be_tried_again(desk: Desk) -> None:
    share, _ = await desk.share(password="right")
    await desk.outcomes(share, "wrong", TRIES)
    with pytest.raises(TooMany) as refusal:
        await desk.shares.view(share, "right")
    assert refusal.value.retry_after == WINDOW_SECONDS
    desk.now += WINDOW_SECONDS * 1000 + 1
    await desk.shares.view(share, "right")


async def test_the_right_password_does_not_use_up_tries(desk: Desk) -> None:
    share, _ = await desk.share(password="right")
    for _ in range(TRIES + 2):
        await desk.shares.view(share, "right")


async def test_another_tenants_link_is_not_found(desk: Desk) -> None:
    share, _ = await desk.share()
    with pytest.raises(NotFound):
        await desk.shares.get(OTHER, VIDEO, share.id)


async def test_of_a_video_that_is_gone_no_link_stays(desk: Desk, store: Store) -> None:
    share, token = await desk.share()
    await desk.shares.view(share, "")
    change = Change(ACME)
    await desk.shares.forget(change, ACME, VIDEO)
    await desk.records.commit(change)
    with pytest.raises(NotFound):
        await desk.shares.by_token(token)
    left = [share_log_key(ACME, share.id), link_key(share.digest)]
    assert await store.commands.exists(*left) == 0
    assert await desk.shares.of_video(ACME, VIDEO) == []


async def test_a_video_has_a_hundred_links_at_most(desk: Desk) -> None:
    for _ in range(100):
        await desk.share()
    with pytest.raises(Conflict):
        await desk.share()


async def test_a_link_can_be_taken_back_while_many_use_it(desk: Desk) -> None:
    share, token = await desk.share()
    views = [desk.shares.view(share, "") for _ in range(20)]
    ends = await asyncio.gather(*views, desk.shares.revoke(share), return_exceptions=True)
    assert not [end for end in ends if isinstance(end, BaseException)]
    with pytest.raises(Gone):
        await desk.shares.by_token(token)
