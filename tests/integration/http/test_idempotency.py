"""``Idempotency-Key`` over a real wire and a real Redis: one key, one effect, one answer."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from shared.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ReelwayError,
    StorageFull,
    TooLarge,
    TooMany,
    Unavailable,
)
from shared.http.errors import ClientGone
from shared.store.idempotency import Idempotency
from shared.store.keys import idempotency_key
from shared.store.redis import open_redis
from tests.integration.http.shop import Shop
from tests.integration.work.bench import ACME, OTHER, any_redis


async def test_a_repetition_is_answered_as_the_first_and_nothing_is_done_again(shop: Shop) -> None:
    status, headers, body = await shop.post("k1")
    assert (status, shop.made) == (201, 1)
    assert "Idempotency-Replayed" not in headers
    for _ in range(2):
        again = await shop.post("k1")
        assert (again[0], again[2]) == (status, body)
        assert again[1]["Location"] == headers["Location"] == "/v1/things/1"
        assert again[1]["Content-Type"] == "application/json"
        assert again[1]["Idempotency-Replayed"] == "true"
        assert again[1]["X-Request-Id"] != headers["X-Request-Id"]
        assert "X-Other" not in again[1]
    assert shop.made == 1
    assert shop.counted() == {"first": 1, "replayed": 2}


async def test_an_answer_without_a_body_is_repeated_too(shop: Shop) -> None:
    for _ in range(2):
        status, _, body = await shop.post("k1", path="/v1/bare", data=b"")
        assert (status, body, shop.made) == (204, b"", 1)


async def test_without_the_header_nothing_changes(shop: Shop) -> None:
    for number in (1, 2):
        assert (await shop.post(None))[0] == 201
        assert shop.made == number
    assert await shop.store.commands.dbsize() == 0


async def test_a_method_that_is_idempotent_by_itself_takes_no_notice(shop: Shop) -> None:
    for number in (1, 2):
        url = shop.door.url("/v1/open")
        async with shop.door.session.put(url, headers={"Idempotency-Key": "k1"}) as reply:
            assert (reply.status, shop.made) == (204, number)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/things", {"n": 2}), ("/v1/other", {"n": 1}), ("/v1/things?a=1", None)]
)
async def test_the_key_of_another_request_is_refused(shop: Shop, path: str, body: Any) -> None:
    await shop.post("k1")
    status, _, problem = await shop.post("k1", body, path=path)
    assert (status, shop.made) == (422, 1)
    assert msgspec.json.decode(problem)["code"] == "idempotency_mismatch"
    assert "new key" in msgspec.json.decode(problem)["hint"]
    assert (await shop.post("k1"))[1]["Idempotency-Replayed"] == "true"
    assert shop.counted()["mismatch"] == 1


async def test_while_the_first_one_runs_the_second_has_to_wait(shop: Shop) -> None:
    shop.go_on.clear()
    first = asyncio.create_task(shop.post("k1"))
    await shop.until_held("k1")
    status, headers, problem = await shop.post("k1")
    assert (status, headers["Retry-After"]) == (409, "5")
    assert msgspec.json.decode(problem)["code"] == "idempotency_in_progress"
    assert (await shop.post("k1", {"n": 7}))[0] == 422  # whoever is wrong need not wait
    shop.go_on.set()
    assert (await first)[0] == 201
    assert (await shop.post("k1"))[1]["Idempotency-Replayed"] == "true"
    assert shop.made == 1


async def test_it_is_held_longer_than_its_lease(shop: Shop) -> None:
    shop.inside.idempotency = Idempotency(shop.store, 2.0)
    shop.go_on.clear()
    first = asyncio.create_task(shop.post("k1"))
    await shop.until_held("k1")
    begun = (await shop.record("k1"))["until"]
    await shop.until("k1", lambda record: int(record["until"]) > int(begun) + 2000)
    assert (await shop.post("k1"))[0] == 409
    shop.go_on.set()
    assert (await first)[0] == 201


async def test_of_many_at_once_exactly_one_does_the_work(shop: Shop) -> None:
    replies = await asyncio.gather(*(shop.post("k1") for _ in range(20)))
    done = [reply for reply in replies if reply[0] == 201]
    assert shop.made == 1
    assert len({reply[2] for reply in done}) == 1
    assert len([r for r in done if "Idempotency-Replayed" not in r[1]]) == 1
    assert {reply[0] for reply in replies} <= {201, 409}


async def test_another_tenants_same_key_is_another_key(shop: Shop) -> None:
    await shop.post("k1")
    status, headers, _ = await shop.post("k1", {"n": 2}, headers={"X-Tenant": OTHER})
    assert (status, shop.made) == (201, 2)
    assert "Idempotency-Replayed" not in headers
    assert (await shop.post("k1"))[2] != (
        await shop.post("k1", {"n": 2}, headers={"X-Tenant": OTHER})
    )[2]


async def test_a_key_is_remembered_for_a_day_under_its_hash_alone(shop: Shop) -> None:
    shop.go_on.clear()
    first = asyncio.create_task(shop.post("my order 7"))
    await shop.until_held("my order 7")
    name = idempotency_key(ACME, "my order 7")
    for _ in range(2):
        assert 24 * 3600 - 60 < await shop.store.commands.ttl(name) <= 24 * 3600
        shop.go_on.set()
        await first
    only: Any
    (only,) = await shop.store.commands.keys("*")
    assert only.decode() == name
    assert name.endswith(":idempotency:" + hashlib.sha256(b"my order 7").hexdigest())
    assert "my order 7" not in str(await shop.record("my order 7"))


@pytest.mark.parametrize("error", [NotFound("gone"), Conflict("it runs", code="busy")])
async def test_a_refusal_for_what_was_found_is_final(shop: Shop, error: ReelwayError) -> None:
    shop.fails = error
    first = await shop.post("k1")
    shop.fails = None
    again = await shop.post("k1")
    assert (again[0], again[2]) == (first[0], first[2]) == (error.status, first[2])
    assert again[1]["Content-Type"] == "application/problem+json"
    assert again[1]["Cache-Control"] == "no-store"
    assert again[1]["Idempotency-Replayed"] == "true"
    assert shop.made == 1


@pytest.mark.parametrize(
    "error",
    [KeyError("bug"), Unavailable("away"), StorageFull(), ReelwayError("broken")],
    ids=["500 bug", "503", "507", "500"],
)
async def test_what_broke_is_not_kept_and_may_be_repeated_at_once(
    shop: Shop, error: Exception
) -> None:
    shop.fails = error
    assert (await shop.post("k1"))[0] >= 500
    assert "answer" not in await shop.record("k1")
    assert (await shop.post("k1", {"n": 2}))[0] == 422
    shop.fails = None
    status, headers, _ = await shop.post("k1")
    assert (status, shop.made) == (201, 2)
    assert "Idempotency-Replayed" not in headers
    assert shop.counted() == {"first": 1, "mismatch": 1, "resumed": 1}


@pytest.mark.parametrize(
    "error", [Invalid("no"), Forbidden(), TooLarge(), TooMany(1), ClientGone()]
)
async def test_what_was_refused_for_its_form_may_be_mended_under_its_key(
    shop: Shop, error: ReelwayError
) -> None:
    shop.fails = error
    assert (await shop.post("k1"))[0] == error.status
    assert await shop.record("k1") == {}
    shop.fails = None
    assert (await shop.post("k1", {"n": 2}))[0] == 201


async def test_a_request_of_the_wrong_shape_may_be_mended_under_its_key(shop: Shop) -> None:
    assert (await shop.post("k1", {"m": 1}))[0] == 400
    assert (await shop.post("k1", {"n": 1}))[0] == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00fc"])
async def test_what_is_no_key_is_refused_before_anything_is_done(shop: Shop, key: str) -> None:
    status, _, problem = await shop.post(key)
    assert (status, shop.made) == (400, 0)
    assert msgspec.json.decode(problem)["code"] == "invalid_idempotency_key"


async def test_bytes_that_are_no_text_are_no_key_and_no_failure(shop: Shop) -> None:
    head = b"POST /v1/files HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nIdempotency-Key: "
    answer = await shop.door.raw(head + b"\xff\xfe\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    answer = await shop.door.raw(head + b"k\r\nContent-Type: a/\xff\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 202 ")


async def test_who_was_replaced_is_stopped(shop: Shop) -> None:
    shop.go_on.clear()
    first = asyncio.create_task(shop.post("k1"))
    await shop.until_held("k1")
    await shop.store.commands.hset(idempotency_key(ACME, "k1"), "owner", "another")
    status, _, problem = await first
    assert (status, msgspec.json.decode(problem)["code"], shop.made) == (503, "idempotency_lost", 0)


async def test_without_the_store_there_is_no_promise_and_no_work(shop: Shop) -> None:
    with ExitStack() as server:
        async with open_redis(server.enter_context(any_redis())) as gone:
            shop.inside.idempotency = Idempotency(gone)
            server.close()
            status, headers, problem = await shop.post("k1")
    assert (status, shop.made, headers["Retry-After"]) == (503, 0, "5")
    assert msgspec.json.decode(problem)["code"] == "store_unavailable"
