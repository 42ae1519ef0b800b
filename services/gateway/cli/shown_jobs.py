"""Jobs as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway.cli.screen import Screen
from services.gateway.cli.words import Document, moment, percent, seconds, state


def jobs(screen: Screen, document: Document) -> None:
    """A list of jobs."""
    names = ("job", "state", "flow", "step", "progress", "priority", "created", "error")
    rows = [
        (
            job["id"],
            state(job),
            job["flow"],
            job["step"],
            percent(job["progress"]),
            (job["labels"] or {}).get("priority", ""),
            moment(job["created_at"]),
            (job["error"] or {}).get("code", ""),
        )
        for job in document["items"]
    ]
    listed(screen, names, rows, nothing="no such jobs")


def job(screen: Screen, document: Document) -> None:
    """One job with its steps and why it failed."""
    labels, parts = document["labels"] or {}, document["parts"] or {}
    screen.pairs(
        (
            ("job", document["id"]),
            ("state", state(document)),
            ("flow", document["flow"]),
            ("video", document["video"]),
            ("part of", document["parent"]),
            ("progress", f"{percent(document['progress'])} {document['message']}"),
            ("priority", _priority(document)),
            ("tenant", f"{labels['tenant']} ({labels['tier']})" if labels else ""),
            ("worker", document["worker"]),
            ("created", moment(document["created_at"])),
            ("started", moment(document["started_at"])),
            ("finished", moment(document["finished_at"])),
            ("due", moment(document["due_at"])),
            ("expires", moment(document["expires_at"])),
            ("parts", ", ".join(f"{count} {name}" for name, count in parts.items() if count)),
            ("counted", _counters(document)),
        )
    )
    rows = [
        (step["name"], step["state"], moment(step["started_at"]), moment(step["finished_at"]))
        for step in document["steps"]
    ]
    if rows:
        screen.line("")
        screen.table(("step", "state", "started", "finished"), rows)
    if document["error"]:
        screen.line("")
        failure(screen, document["error"])


def failure(screen: Screen, error: Document) -> None:
    """Why something did not work, and what can be done."""
    screen.pairs(
        (
            ("error", f"{error['code']} ({error['error_class']})"),
            ("step", error.get("step")),
            ("why", error["detail"]),
            ("hint", error.get("hint")),
        )
    )
    for line in error.get("tail", ()):
        screen.line(f"  | {line}")


def changed(screen: Screen, document: Document) -> None:
    """What became of a request to change a job."""
    step = f", from step {document['step']}" if document["step"] else ""
    screen.line(f"{document['id']} is {document['state']}{step}")


def priority(screen: Screen, document: Document) -> None:
    """A job's priority and why it waits."""
    law, least = document["law"], "at least " if document["ahead_is_least"] else ""
    boost = f"+{law['rate']} every {seconds(law['step_seconds'])}, at most +{law['cap']}"
    wait = document["estimated_wait_seconds"]
    screen.pairs(
        (
            ("job", document["job"]),
            ("state", document["state"]),
            ("priority", f"{document['effective']} = {document['base']} + {document['boost']}"),
            ("ageing", boost if document["age_boosting"] else "off"),
            ("rises", moment(document["next_boost_at"])),
            ("waiting since", moment(document["waiting_since"])),
            ("pool", document["pool"]),
            ("ahead", f"{least}{document['ahead']}"),
            ("about", "" if wait is None else f"{seconds(wait)} until it begins"),
            ("because", f"{document['waits_for']} ({document['reason']})"),
        )
    )


def timeline(screen: Screen, document: Document) -> None:
    """What attempts made of a job's steps."""
    names = ("epoch", "attempt", "step", "pool", "worker", "started", "waited", "took", "outcome")
    rows = [
        (
            line["epoch"],
            line["attempt"],
            line["step"],
            line["pool"],
            line["worker"],
            moment(line["started_at"]),
            seconds(line["waited_seconds"]),
            seconds(line["duration_seconds"]),
            line["outcome"],
            line["error"],
            f"{line['bytes']:,}" if line["bytes"] else "",
        )
        for line in document["items"]
    ]
    listed(screen, (*names, "error", "bytes"), rows, nothing="nobody has worked on it yet")


def _priority(job: Document) -> str:
    shown = job["priority"]
    if not shown:
        return ""
    ageing = job["labels"]["age-boosting"]
    return f"{shown['effective']} = {shown['base']} + {shown['boost']} (ageing {ageing})"


def _counters(job: Document) -> str:
    named = (("attempt", "failed"), ("lost", "lost"), ("interrupts", "interrupted"))
    counted = (*named, ("snoozes", "put off"))
    return ", ".join(f"{job[name]} x {word}" for name, word in counted if job[name])


def listed(
    screen: Screen, names: tuple[str, ...], rows: Iterable[tuple[object, ...]], *, nothing: str
) -> None:
    """A table, or a word that there is nothing to show."""
    found = [*rows]
    if found:
        screen.table(names, found)
    else:
        screen.line(nothing)
