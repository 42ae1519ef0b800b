"""The interface's own description, built from the route table.

``python -m services.gateway.openapi`` writes ``openapi.json``; a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from services.gateway.idempotency import repeatable
from services.gateway.routes import (
    admin,
    breakers,
    captions,
    desk,
    direct,
    events,
    job_control,
    job_history,
    job_priority,
    jobs,
    libraries,
    pictures,
    pools,
    resumable,
    schedules,
    search,
    shared,
    shares,
    signed,
    trash,
    usage,
    videos,
)
from shared.http.openapi import document
from shared.http.routes import Route

ROUTES: Final[tuple[Route, ...]] = tuple(
    repeatable(route)
    for route in (
        *videos.ROUTES,
        *trash.ROUTES,
        *resumable.ROUTES,
        *usage.ROUTES,
        *direct.ROUTES,
        *pictures.ROUTES,
        *captions.ROUTES,
        *search.ROUTES,
        *signed.ROUTES,
        *shares.ROUTES,
        *shared.ROUTES,
        *libraries.ROUTES,
        *desk.ROUTES,
        *jobs.ROUTES,
        *job_control.ROUTES,
        *job_priority.ROUTES,
        *job_history.ROUTES,
        *events.ROUTES,
        *schedules.ROUTES,
        *admin.ROUTES,
        *breakers.ROUTES,
        *pools.ROUTES,
    )
)
FILE: Final = Path(__file__).with_name("openapi.json")


def built() -> dict[str, Any]:
    """The OpenAPI document of the present code."""
    return document(ROUTES, "Reelway", "1")


def rendered() -> bytes:
    """The document as it is checked in."""
    return msgspec.json.format(msgspec.json.encode(built(), order="sorted"), indent=2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(rendered())
