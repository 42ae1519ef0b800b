"""Failed jobs and pools as people read them."""

from __future__ import annotations

from services.gateway.cli.screen import Screen
from services.gateway.cli.shown_jobs import listed
from services.gateway.cli.words import Document, moment, seconds


def dead(screen: Screen, document: Document) -> None:
    """Failed jobs."""
    rows = [
        (
            job["id"],
            job["flow"],
            (job["error"] or {}).get("step", ""),
            (job["error"] or {}).get("code", ""),
            moment(job["finished_at"]),
            (job["error"] or {}).get("detail", ""),
        )
        for job in document["items"]
    ]
    listed(screen, ("job", "flow", "step", "code", "failed", "why"), rows, nothing="no failed jobs")


def summary(screen: Screen, document: Document) -> None:
    """Failed jobs in groups."""
    rows = [
        (
            group["count"],
            group["flow"],
            group["step"],
            group["code"],
            group["error_class"],
            moment(group["newest_at"]),
        )
        for group in document["items"]
    ]
    names = ("jobs", "flow", "step", "code", "class", "newest")
    listed(screen, names, rows, nothing="no failed jobs")
    if not document["complete"]:
        screen.line(f"only the newest {document['counted']} were counted")


def cleared(screen: Screen, document: Document) -> None:
    """What was done with failed jobs."""
    rows = [(item["id"], item["outcome"], item["detail"]) for item in document["items"]]
    if rows:
        screen.table(("job", "outcome", "why"), rows)
    counts: dict[str, int] = {}
    for item in document["items"]:
        counts[item["outcome"]] = counts.get(item["outcome"], 0) + 1
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    screen.line(said or "no failed jobs match")
    if document["dry_run"]:
        screen.line("nothing was changed: this was a dry run")
    if document["next"]:
        screen.line("there may be more: raise --limit, or run it again")


def pools(screen: Screen, document: Document) -> None:
    """What pools do."""
    rows = [
        (
            pool["pool"],
            "paused" if pool["paused"] else "open",
            pool["running"],
            pool["limit"] or "none",
            pool["waiting"],
            seconds(pool["oldest_wait_seconds"]),
            seconds(pool["average_seconds"]),
            len(pool["workers"]),
        )
        for pool in document["items"]
    ]
    names = ("pool", "state", "running", "limit", "waiting", "longest wait", "average", "workers")
    listed(screen, names, rows, nothing="no pools")
