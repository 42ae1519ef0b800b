"""Bodies that are sent again to a key that was answered: nobody reads them, everybody is told."""

from __future__ import annotations

import asyncio
import io
import socket

import pytest

from tests.integration.http.shop import MEBI, Shop


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients here send from a thread of the same process."""
    monkeypatch.setattr("shared.http.server.LINGERING_SECONDS", 60.0)


async def test_an_upload_that_was_answered_is_answered_before_a_byte_is_sent(shop: Shop) -> None:
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\n"
        b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    )
    async with shop.door.wire() as (reader, writer):
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"12345")
        assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
    answer = await shop.door.raw(head)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nIdempotency-Replayed: true\r\n" in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert (shop.made, shop.received) == (1, 5)


async def test_a_large_body_that_is_sent_again_is_not_read_and_the_answer_arrives(
    shop: Shop,
) -> None:
    data = b"v" * (96 * MEBI)
    first = await shop.post("k1", path="/v1/files", data=io.BytesIO(data))
    assert (first[0], shop.received) == (202, len(data))
    again = await shop.post("k1", path="/v1/files", data=io.BytesIO(data))
    assert (again[0], again[2], again[1]["Idempotency-Replayed"]) == (202, first[2], "true")
    assert (shop.made, shop.received) == (1, len(data))
    # The connection is not used for another request, and the next one does not see the rest.
    assert (await shop.post("k2"))[0] == 201


async def test_a_client_that_sends_everything_before_it_listens_gets_its_answer(
    shop: Shop,
) -> None:
    size = 96 * MEBI
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\n"
        b"Content-Length: %d\r\n\r\n" % size
    )

    def stubborn() -> bytes:
        with socket.create_connection(("127.0.0.1", shop.door.port), timeout=60) as wire:
            wire.sendall(head)
            for _ in range(size // MEBI):
                wire.sendall(b"v" * MEBI)
            return wire.recv(65536)

    assert (await asyncio.to_thread(stubborn)).startswith(b"HTTP/1.1 202 ")
    answer = await asyncio.to_thread(stubborn)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"Idempotency-Replayed: true" in answer
    assert (shop.made, shop.received) == (1, size)


async def test_an_upload_that_breaks_off_leaves_its_key_free(shop: Shop) -> None:
    head = b"POST /v1/files HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k1\r\nContent-Length: 9\r\n\r\n"
    async with shop.door.wire() as (_, writer):
        writer.write(head + b"1234")
        await shop.door.until(lambda: shop.received == 4)
    await shop.until("k1", lambda record: not record)
    answer = await shop.door.raw(head + b"123456789")
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"Idempotency-Replayed" not in answer
