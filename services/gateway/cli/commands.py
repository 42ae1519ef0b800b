"""What each command asks the gateway, and how the answer is shown."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any

from services.gateway.cli import shown_desk, shown_jobs
from services.gateway.cli.failures import Misused
from services.gateway.cli.gateway import Gateway
from services.gateway.cli.screen import Screen
from services.gateway.cli.watching import watch_all, watch_one
from services.gateway.cli.words import Document

Show = Callable[[Screen, Document], None]
Command = Callable[[Gateway, Namespace, Screen], Awaitable[int]]

JOBS, DEAD, POOLS = "/v1/jobs", "/v1/jobs/dead", "/v1/admin/pools"
_PAGE, _BULK = 200, 500
_FILTERS = ("flow", "step", "code", "error_class", "video", "before", "after")


async def run(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    """Do one command; answers the exit code."""
    name = getattr(asked, "act", "") or asked.verb
    command = {"jobs": _JOBS, "pools": _POOLS}[asked.thing]
    table = _DEAD if asked.verb == "dead" else command
    return await table[name](gateway, asked, screen)


async def _list(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    params = _given(asked, ("state", "flow", "video", "parent"))
    _tell(screen, await listed(gateway, JOBS, params, asked.limit), shown_jobs.jobs)
    return 0


async def _show(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    _tell(screen, await gateway.call("GET", _path(asked)), shown_jobs.job)
    return 0


async def _watch(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    if asked.job:
        return await watch_one(gateway, asked.job, screen)
    return await watch_all(gateway, screen)


async def _change(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    """Cancel, pause and resume."""
    answer = await gateway.call("POST", f"{_path(asked)}/{asked.verb}")
    _tell(screen, answer, shown_jobs.changed)
    return 0


async def _retry(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    body = {"step": asked.step} if asked.step else None
    answer = await gateway.call("POST", f"{_path(asked)}/retry", body=body)
    _tell(screen, answer, shown_jobs.changed)
    return 0


async def _priority(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    """Show it, changed first if anything is to be changed."""
    body: dict[str, Any] = {}
    if asked.base is not None:
        body["base"] = asked.base
    if asked.age_boosting:
        body["age_boosting"] = asked.age_boosting == "on"
    if asked.boost:
        body["boost"] = asked.boost
    path = f"{_path(asked)}/priority"
    answer = await gateway.call("PUT" if body else "GET", path, body=body or None)
    _tell(screen, answer, shown_jobs.priority)
    return 0


async def _timeline(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    answer = await gateway.call("GET", f"{_path(asked)}/timeline")
    _tell(screen, answer, shown_jobs.timeline)
    return 0


async def _list_dead(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    found = await listed(gateway, DEAD, _given(asked, _FILTERS), asked.limit)
    _tell(screen, found, shown_desk.dead)
    return 0


async def _summarize(gateway: Gateway, _: Namespace, screen: Screen) -> int:
    _tell(screen, await gateway.call("GET", f"{DEAD}/summary"), shown_desk.summary)
    return 0


async def _clear(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    """Retry or discard failed jobs; 1 when one of them was refused or not found."""
    which: dict[str, Any] = _given(asked, _FILTERS)
    if asked.ids:
        which["ids"] = asked.ids
    if not which and not asked.all:
        raise Misused("it is not said which failed jobs", "give --id, a filter, or --all")
    body = {**which, "all": asked.all, "dry_run": asked.dry_run}
    document = await _cleared(gateway, f"{DEAD}/{asked.act}", body, asked.limit)
    _tell(screen, document, shown_desk.cleared)
    return int(any(item["outcome"] in {"refused", "missing"} for item in document["items"]))


async def _cleared(gateway: Gateway, path: str, body: Document, limit: int) -> dict[str, Any]:
    """One request after the other, each of a bounded size, until the limit is reached."""
    items: list[Any] = []
    cursor, matched = "", 0
    while True:
        part = {**body, "limit": min(_BULK, limit - matched), "cursor": cursor}
        answer = await gateway.call("POST", path, body=part)
        items += answer["items"]
        matched += answer["matched"]
        cursor = answer["next"] or ""
        if not cursor or matched >= limit:
            return {**answer, "items": items, "matched": matched}


async def _list_pools(gateway: Gateway, _: Namespace, screen: Screen) -> int:
    _tell(screen, await gateway.call("GET", POOLS), shown_desk.pools)
    return 0


async def _govern(gateway: Gateway, asked: Namespace, screen: Screen) -> int:
    """Pause, resume and limit."""
    body = {"limit": asked.limit} if asked.verb == "limit" else {"paused": asked.verb == "pause"}
    pool = await gateway.call("PATCH", f"{POOLS}/{asked.pool}", body=body)
    if screen.is_json:
        screen.document(pool)
    else:
        shown_desk.pools(screen, {"items": [pool]})
    return 0


async def listed(gateway: Gateway, path: str, params: dict[str, str], limit: int) -> dict[str, Any]:
    """So many entries of a list, in as many requests as that takes."""
    items: list[Any] = []
    cursor = ""
    while True:
        page = {**params, "limit": str(min(_PAGE, limit - len(items)))}
        answer = await gateway.call(
            "GET", path, params=page | ({"cursor": cursor} if cursor else {})
        )
        items += answer["items"]
        cursor = answer["next"] or ""
        if not cursor or len(items) >= limit:
            return {"items": items, "next": cursor or None}


def _tell(screen: Screen, document: Document, show: Show) -> None:
    if screen.is_json:
        screen.document(document)
    else:
        show(screen, document)


def _given(asked: Namespace, names: tuple[str, ...]) -> dict[str, str]:
    """The options that were given."""
    return {name: getattr(asked, name) for name in names if getattr(asked, name)}


def _path(asked: Namespace) -> str:
    return f"{JOBS}/{asked.job}"


_JOBS: dict[str, Command] = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "cancel": _change,
    "pause": _change,
    "resume": _change,
    "retry": _retry,
    "priority": _priority,
    "timeline": _timeline,
}
_DEAD: dict[str, Command] = {
    "list": _list_dead,
    "summary": _summarize,
    "retry": _clear,
    "discard": _clear,
}
_POOLS: dict[str, Command] = {
    "list": _list_pools,
    "pause": _govern,
    "resume": _govern,
    "limit": _govern,
}
