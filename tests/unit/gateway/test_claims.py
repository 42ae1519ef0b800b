"""How long a claim is held: in virtual time, against a store that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiohttp import web

from services.gateway import idempotency
from shared.errors import IdempotencyInProgress, ReelwayError, Unavailable
from shared.store.idempotency import LEASE_SECONDS, Claim
from shared.store.scripts import Scripts


class Answers:
    """Scripts that answer the next of these, the last one for ever, and note when."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.called: list[tuple[str, float]] = []
        self.given: list[Sequence[Any]] = []

    async def call(self, name: str, keys: Sequence[str] = (), args: Sequence[Any] = ()) -> int:
        self.called.append((name, asyncio.get_running_loop().time()))
        self.given.append(args)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, name: str) -> list[float]:
        return [when for called, when in self.called if called == name]


def claim_on(scripts: Answers, seed: str = "s") -> Claim:
    return Claim(cast("Scripts", scripts), "k", "me", seed, 1_700_000_000_000, b"", LEASE_SECONDS)


async def test_a_claim_is_renewed_every_third_of_its_lease_and_no_longer_than_the_block() -> None:
    scripts = Answers(1)
    async with claim_on(scripts).held():
        await asyncio.sleep(35)
    await asyncio.sleep(60)
    assert scripts.times("idempotency_hold") == [10, 20, 30]
    assert scripts.given[0][:2] == ["me", 30_000]


async def test_a_store_that_is_away_is_asked_again_soon_and_stops_nothing() -> None:
    scripts = Answers(Unavailable("away"), Unavailable("away"), 1)
    async with claim_on(scripts).held():
        await asyncio.sleep(25)
    assert scripts.times("idempotency_hold") == [10, 11, 12, 22]


async def test_who_was_replaced_stops_at_once() -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable) as caught:
        async with claim_on(Answers(1, 0)).held():
            await asyncio.sleep(3600)
    assert caught.value.code == "idempotency_lost"
    assert asyncio.get_running_loop().time() - started == 20


async def test_the_handlers_own_timeout_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        async with claim_on(Answers(1)).held():
            raise TimeoutError


async def test_who_was_replaced_leaves_no_receipt() -> None:
    with pytest.raises(IdempotencyInProgress):
        await claim_on(Answers(0)).keep(b"all here")


def test_ids_are_the_same_for_all_who_carry_a_request_out() -> None:
    mine, other = claim_on(Answers(1)), claim_on(Answers(1), seed="t")
    assert mine.id("video") == claim_on(Answers(1)).id("video")
    assert len({mine.id("video"), mine.id("job"), other.id("video")}) == 3


def response(status: int) -> web.Response:
    return web.Response(status=status, body=b"{}", content_type="application/json")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 404, 409, 410, 412, 422])
async def test_a_verdict_is_kept(status: int) -> None:
    scripts = Answers(1)
    await idempotency._settle(claim_on(scripts), response(status))
    assert scripts.given[0][2] == "finished"
    assert f'"status":{status}' in scripts.given[0][3].decode()


@pytest.mark.parametrize("status", [400, 401, 403, 408, 411, 413, 415, 425, 429, 431])
async def test_after_a_refusal_of_the_form_the_key_is_free(status: int) -> None:
    scripts = Answers(1)
    await idempotency._settle(claim_on(scripts), response(status))
    assert scripts.given[0][2:] == ["forgotten", b""]


@pytest.mark.parametrize("status", [302, 500, 502, 503, 504, 507])
async def test_what_is_no_verdict_may_be_gone_on_with(status: int) -> None:
    scripts = Answers(1)
    await idempotency._settle(claim_on(scripts), response(status))
    assert scripts.given[0][2:] == ["released", b""]


@pytest.mark.parametrize("error", [Unavailable("away"), ReelwayError("broken")])
async def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    caplog: pytest.LogCaptureFixture, error: ReelwayError
) -> None:
    await idempotency._settle(claim_on(Answers(error)), response(202))
    assert [record.__dict__["action"] for record in caplog.records] == ["answer_not_kept"]


async def test_a_stream_is_not_kept() -> None:
    scripts = Answers(1)
    await idempotency._settle(claim_on(scripts), web.StreamResponse(status=200))
    assert scripts.given[0][2] == "released"
