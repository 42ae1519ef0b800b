"""What can be set for jobs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from services.jobs.priority import SHARES, Shares
from shared.settings import Said
from shared.settings import Settings as Base

_FREE, _PREMIUM, _ENTERPRISE = SHARES["free"], SHARES["premium"], SHARES["enterprise"]
Queued = Annotated[
    int, Said(ge=1, description="Jobs of a tenant of this tier that may wait; more uploads get 429")
]
Running = Annotated[
    int, Said(ge=0, description="Jobs of such a tenant that may run in one pool; 0 is no limit")
]


class Settings(Base, frozen=True, kw_only=True):
    """What can be set for jobs."""

    slots: Annotated[
        int,
        Said(ge=0, le=256, description="Media steps that run at a time; 0 means one per processor"),
    ] = 0
    memory_mb: Annotated[
        int,
        Said(
            ge=0, description="Memory that media steps share (MiB); 0 means three quarters of all"
        ),
    ] = 0
    ocr_slots: Annotated[
        int,
        Said(ge=0, le=256, description="Media steps that read text at a time; 0 means every slot"),
    ] = 0
    retention_days: Annotated[
        float,
        Said(ge=0, description="Jobs that ended so long ago are forgotten; 0 means never"),
    ] = 90.0
    child_memory_mb: Annotated[
        int, Said(ge=256, description="Memory that one media step may take")
    ] = 2048
    child_silence_seconds: Annotated[
        float, Said(ge=1, description="A media step that reports nothing for so long is ended")
    ] = 30.0
    result_days: Annotated[
        float,
        Said(
            ge=0,
            le=3650,
            description="How long results are kept after their last use, in days; 0 keeps none",
        ),
    ] = 30.0
    queued_free: Queued = _FREE.queued
    queued_premium: Queued = _PREMIUM.queued
    queued_enterprise: Queued = _ENTERPRISE.queued
    running_free: Running = _FREE.running
    running_premium: Running = _PREMIUM.running
    running_enterprise: Running = _ENTERPRISE.running


def shares_of(settings: Settings) -> Shares:
    """What each tier gets under these settings."""
    return {
        tier: msgspec.structs.replace(
            share,
            queued=getattr(settings, f"queued_{tier}"),
            running=getattr(settings, f"running_{tier}"),
        )
        for tier, share in SHARES.items()
    }
