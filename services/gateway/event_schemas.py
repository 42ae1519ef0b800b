"""What clients say about the events that they want to see."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.gateway.schemas import FlowName, Id
from shared.contracts.records import JobState as State


class EventsWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to send. Lists are repeated parameters, or one with commas; empty is all."""

    job: Annotated[tuple[Id, ...], msgspec.Meta(max_length=50, description="Of these jobs")] = ()
    video: Annotated[
        tuple[Id, ...], msgspec.Meta(max_length=50, description="About these videos")
    ] = ()
    flow: Annotated[
        tuple[FlowName, ...], msgspec.Meta(max_length=10, description="Of jobs of these flows")
    ] = ()
    type: Annotated[
        tuple[Literal["state", "progress", "end"], ...],
        msgspec.Meta(max_length=3, description="Of these types"),
    ] = ()
    state: Annotated[
        tuple[State, ...],
        msgspec.Meta(max_length=12, description="Of jobs that are in these states then"),
    ] = ()
    last_event_id: Annotated[
        str, msgspec.Meta(max_length=100, description="Like the header `Last-Event-ID`")
    ] = ""
