"""What a scan says: its plan, for whoever asked, and what is kept of it with the library."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from services.drive.library.folders import Standing
from services.drive.library.listing import Listing
from services.drive.library.names import shown
from services.drive.library.planning import Act, Plan
from shared.contracts.library import Library, ScanPlan
from shared.errors import Conflict
from shared.store.keys import libraries_index, library_key
from shared.store.records import Records, StaleFence
from shared.work.context import StepContext

FIRST = 20
"""How many of each kind are named."""

_LONGEST = 1000


class Took(NamedTuple):
    """When a scan ended, and how long it took; in milliseconds."""

    ended_at: int
    took_ms: int


_TRIES = 5


def report(
    plan: Plan, listing: Listing, options: Mapping[str, Any], standing: Standing, left_out: int
) -> ScanPlan:
    """The plan as it is told."""
    items: dict[str, list[str]] = defaultdict(list)
    for act in plan.acts:
        if len(items[act.kind]) < FIRST:
            items[act.kind].append(_line(act))
    for path, reason in listing.skipped:
        if reason != "not_a_video" and len(items["skipped"]) < FIRST:
            items["skipped"].append(f"{path[:_LONGEST]} ({reason})")
    counts = Counter(plan.counts)
    counts["skipped"] = len(listing.skipped)
    counts["left_out"] = left_out
    return ScanPlan(
        state=standing.state,
        files=len(listing.seen),
        counts={kind: number for kind, number in sorted(counts.items()) if number},
        skipped=dict(sorted(Counter(reason for _, reason in listing.skipped).items())),
        items={kind: tuple(lines) for kind, lines in items.items()},
        suspicious=plan.suspicious,
        detail=standing.hint,
        dry_run=bool(options.get("dry_run")),
        forced=bool(options.get("force")),
    )


def _line(act: Act) -> str:
    path = shown(act.path)[:_LONGEST]
    if act.before is not None and act.before.path != act.path:
        return f"{shown(act.before.path)[:_LONGEST]} -> {path}"
    return f"{path} ({act.reason})" if act.reason else path


async def keep_result(
    records: Records, context: StepContext, standing: Standing, plan: ScanPlan, times: Took
) -> None:
    """Keep the plan with its library. Somebody may ask for another scan at the same time."""
    for _ in range(_TRIES):
        try:
            return await _keep(records, context, standing, plan, times)
        except StaleFence:
            raise
        except Conflict:
            continue
    return None  # the job's own result says it as well


async def _keep(
    records: Records, context: StepContext, standing: Standing, plan: ScanPlan, times: Took
) -> None:
    now, key = times.ended_at, library_key(context.tenant, standing.id)
    known = await records.get(Library, key)
    before = known or Library(id=standing.id, place=standing.place, created_at=now, version=0)
    adopted = before.adopted_at or (now if standing.state == "ok" else 0)
    after = msgspec.structs.replace(
        before,
        place=standing.place if standing.state == "ok" else before.place,
        adopted_at=adopted,
        scanned_at=now,
        scan_ms=times.took_ms,
        restless=before.restless + 1 if _is_restless(plan) else 0,
        plan=plan,
        version=before.version + 1,
    )
    change = context.change().expect(key, before.version).put(key, after)
    await records.commit(change.index(libraries_index(context.tenant), standing.id))


def _is_restless(plan: ScanPlan) -> bool:
    grows = plan.counts.get("waiting") or plan.counts.get("changing")
    return bool(grows) and not plan.counts.get("new")
