"""What a flow consists of: its steps in order, the pool that runs each, its share of time, and what
it needs beside a slot (see :mod:`shared.work.resources`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.contracts.records import StepStatus

MEDIA: Final = "media"
DRIVE: Final = "drive"
CATALOG: Final = "catalog"

_WRITES: Final = "disk=64"
_LOOKS: Final = "disk=64,memory=512"
_READS: Final = "disk=64,memory=1024,ocr=1"

FLOWS: Mapping[str, tuple[StepStatus, ...]] = {
    "process_video": (
        StepStatus(name="store", pool=DRIVE, weight=1, needs=_WRITES),
        StepStatus(name="probe", pool=MEDIA, weight=1, needs=_LOOKS),
        StepStatus(name="poster", pool=MEDIA, weight=2, needs=_LOOKS),
        StepStatus(name="frames", pool=MEDIA, weight=3, needs=_LOOKS),
        StepStatus(name="read_frames", pool=MEDIA, weight=5, needs=_READS),
        StepStatus(name="layout", pool=MEDIA, weight=1, needs=_LOOKS),
        StepStatus(name="describe", pool=CATALOG, weight=1, needs=_WRITES),
    ),
    "caption_video": (
        StepStatus(name="crop", pool=MEDIA, weight=6, needs=_LOOKS),
        StepStatus(name="extents", pool=MEDIA, weight=4, needs=_LOOKS),
        StepStatus(name="read_captions", pool=MEDIA, weight=4, needs=_READS),
        StepStatus(name="publish", pool=CATALOG, weight=1),
    ),
    "scan_library": (StepStatus(name="scan", pool=DRIVE, weight=1),),
}

POOLS = (DRIVE, MEDIA, CATALOG)
MEDIA_STEPS = tuple(step.name for steps in FLOWS.values() for step in steps if step.pool == MEDIA)
