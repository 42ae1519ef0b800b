"""Propose where the captions stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from services.jobs.media.captions.bands import SeenFrames
from services.jobs.media.captions.layout import SURE_AT, Proposal, propose
from services.jobs.media.engine import ENGINE
from shared.work.step import Report, StepResult, StepTask


def run(task: StepTask, report: Report) -> StepResult:
    """Find the layout in the boxes of ``frames.json``; ``sure_at`` is the tenant's threshold."""
    report.progress(0.1, "looking for the caption region")
    seen = msgspec.json.decode(Path(task.inputs["frames.json"]).read_bytes(), type=SeenFrames)
    proposal = propose(seen.frames, (seen.width, seen.height))
    result = _result(proposal, float(task.params.get("sure_at", SURE_AT)))
    labels = [
        {"name": frame.name, "time": frame.time, "labels": labels}
        for frame, labels in zip(seen.frames, proposal.labels, strict=True)
    ]
    whole = {"origin": ENGINE, **result, "frames": labels}
    task.path("layout.json").write_bytes(msgspec.json.encode(whole))
    return StepResult(result=result, artifacts=("layout.json",))


def _result(proposal: Proposal, sure_at: float) -> dict[str, Any]:
    layout = proposal.layout
    verdict = {
        "found": layout is not None,
        "sure": layout is not None and proposal.confidence >= sure_at,
        "confidence": proposal.confidence,
    }
    return verdict if layout is None else verdict | msgspec.to_builtins(layout)
