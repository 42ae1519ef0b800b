"""A gateway, asked over HTTP. Whatever goes wrong is one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import hdrs

from services.gateway.cli.access import URL_VARIABLE, Access
from services.gateway.cli.failures import Away, CommandFailed
from services.gateway.cli.stream import Sent, StreamReader
from shared.http.client import open_session

_STREAM: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
_LATER: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Gateway:
    """Asks on behalf of whoever holds the key."""

    session: aiohttp.ClientSession
    access: Access

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """The answer, a JSON document. :class:`CommandFailed` when it is a refusal."""
        more = {} if body is None else {"json": body}
        async with (
            self._connected(),
            self.session.request(
                method, self.access.url + path, params=params, allow_redirects=False, **more
            ) as reply,
        ):
            return await self._document(reply)

    async def events(self, path: str, reader: StreamReader) -> AsyncGenerator[Sent, None]:
        """Server-sent events after the last that the reader has seen, until the server ends them.
        Nothing at all when there is nothing more to come.
        """
        headers = {str(hdrs.ACCEPT): "text/event-stream"}
        if reader.last_id:
            headers["Last-Event-ID"] = reader.last_id
        async with (
            self._connected(),
            self.session.get(
                self.access.url + path, headers=headers, timeout=_STREAM, allow_redirects=False
            ) as reply,
        ):
            if reply.status == 204:
                return
            if reply.status != 200 or reply.content_type != "text/event-stream":
                await self._document(reply)
                raise self._stranger(reply)
            async for chunk in reply.content.iter_any():
                for sent in reader.feed(chunk):
                    yield sent

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        """The ways in which a connection fails, in words."""
        url = self.access.url
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            raise CommandFailed(f"the certificate of {url} is not trusted: {error}") from error
        except aiohttp.ClientConnectorError as error:
            reason = error.strerror or "no connection"
            raise Away(
                f"no gateway answers at {url}: {reason}",
                f"start it with `reelway`, or say where it is with --url or {URL_VARIABLE}",
            ) from error
        except TimeoutError as error:
            raise Away(f"the gateway at {url} does not answer", "is it overloaded?") from error
        except aiohttp.ClientError as error:
            raise Away(f"the gateway at {url} broke off: {type(error).__name__}") from error

    async def _document(self, reply: aiohttp.ClientResponse) -> Any:
        raw = await reply.read()
        if reply.status < 400 and reply.content_type == "application/json":
            return _decoded(raw)
        problem = _decoded(raw) if reply.content_type == "application/problem+json" else None
        if not isinstance(problem, dict):
            raise self._stranger(reply)
        raise self._refusal(reply.status, problem)

    def _refusal(self, status: int, problem: Mapping[str, Any]) -> CommandFailed:
        """What the gateway says, in its own words; keys are named by where they came from."""
        if status == 401:
            return CommandFailed(
                f"{self.access.origin} is not valid at {self.access.url}",
                "it may be mistyped, revoked or another gateway's",
            )
        detail = str(problem.get("detail") or problem.get("title") or status)
        wrong = [
            f"{each.get('pointer')}: {each.get('detail')}" for each in problem.get("errors", ())
        ]
        what = "; ".join((detail, *wrong))
        kind = Away if status in _LATER else CommandFailed
        return kind(what, str(problem.get("hint", "")))

    def _stranger(self, reply: aiohttp.ClientResponse) -> CommandFailed:
        said = f"{reply.status} {reply.content_type}"
        if reply.status in _LATER:
            return Away(f"there is no gateway behind {self.access.url} at the moment: {said}")
        return CommandFailed(
            f"what answers at {self.access.url} is no gateway: {said}",
            f"say where it is with --url or {URL_VARIABLE}",
        )


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None


@asynccontextmanager
async def opened(access: Access) -> AsyncIterator[Gateway]:
    """A gateway, for as long as the block lasts."""
    headers = {str(hdrs.AUTHORIZATION): f"Bearer {access.key}"}
    async with open_session(headers=headers) as session:
        yield Gateway(session, access)
