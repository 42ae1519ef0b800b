"""Which flows can be run again on a video that is there, and what a job of them needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.jobs.flows import FLOWS
from shared.contracts.records import Layout, Video
from shared.errors import Invalid
from shared.store.keys import layout_key
from shared.store.records import Records
from shared.tenancy import TenantId

Facts = Callable[[Records, TenantId, Video], Awaitable[dict[str, Any] | str]]
"""What such a job is told about a video, as it is now; a word that says why it cannot be, else."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A flow that can be run again. ``settable`` are parameters that whoever asks may give; all
    others are ours alone: some name blobs, and would open other tenants' files.
    """

    facts: Facts
    settable: frozenset[str] = frozenset()


async def _caption_facts(records: Records, tenant: TenantId, video: Video) -> dict[str, Any] | str:
    """The same as when the layout was approved."""
    layout = await records.get(Layout, layout_key(tenant, video.id))
    if layout is None or layout.state != "approved":
        return "layout_not_approved"
    duration = video.media.duration if video.media else 0.0
    return {"location": video.location, "layout": layout.proposal, "duration": duration}


REPEATS: Final[Mapping[str, Repeat]] = {"caption_video": Repeat(_caption_facts)}


def repeat_of(flow: str) -> Repeat:
    """How a flow is repeated; :class:`Invalid` when there is no such flow, or it runs only once."""
    if flow not in FLOWS:
        raise Invalid(f"there is no flow {flow[:80]!r}", code="unknown_flow")
    if flow not in REPEATS:
        raise Invalid(
            f"{flow} is not for repeating",
            code="flow_not_repeatable",
            hint=f"these are: {', '.join(REPEATS)}",
        )
    return REPEATS[flow]


def check_params(flow: str, params: Mapping[str, object]) -> None:
    """:class:`Invalid` unless these are parameters that may be given."""
    unknown = params.keys() - repeat_of(flow).settable
    if unknown:
        named = ", ".join(sorted(unknown))[:200]
        raise Invalid(f"{flow} takes no such parameter: {named}", code="unknown_param")
