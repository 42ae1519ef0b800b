"""What event streams are made of: entries of a job's stream, of its tenant's, and progress from the
bus, all in one shape and ready to be sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shared.contracts.jobs import JobChange
from shared.http.sse import frame
from shared.work.jobs import JobEvent
from shared.work.tenant_events import TenantEvent, Unfinished

Position = tuple[int, int]
"""A place in a stream: epoch and seq. A tenant's stream has one epoch only, 1."""

MOVING = frozenset({"running", "cancelling"})
"""The states in which a job may make progress."""

SNAPSHOT_BYTES = 64 * 1024
PIECE = 16 * 1024
"""How many bytes are handed to a client at a time; more is made when it has taken them."""

_INTERNAL = frozenset({"tail"})
"""What an error says of the inside of a machine is for its operator."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``position`` is its place in the stream it is read from, ``at`` its place in the
    stream of its job; ``frame`` is what is sent.
    """

    position: Position
    at: Position
    type: str
    job: str
    video: str
    flow: str
    state: str
    frame: bytes


def of_job(job_id: str, event: JobEvent) -> Entry:
    """An entry of a job's own stream."""
    place = (event.epoch, event.seq)
    return Entry(
        position=place,
        at=place,
        type=event.type,
        job=job_id,
        video="",
        flow="",
        state=str(event.data.get("state", "")),
        frame=frame(event.type, encoded(event.data), event_id(place)),
    )


def of_tenant(event: TenantEvent) -> Entry:
    """An entry of the stream of all jobs of a tenant."""
    place = (1, event.seq)
    about = _about(event.job, event.subject, event.flow, event.at)
    return Entry(
        position=place,
        at=event.at,
        type=event.type,
        job=event.job,
        video=event.subject,
        flow=event.flow,
        state=str(event.data.get("state", "")),
        frame=frame(event.type, encoded({**about, **event.data}), event_id(place)),
    )


def of_bell(changed: JobChange) -> Entry:
    """What the bus tells of a job. It has no id: whoever resumes does not miss it."""
    place = (changed.epoch, changed.seq)
    about = _about(changed.job_id, changed.subject, changed.flow, place)
    return Entry(
        position=(0, 0),
        at=place,
        type=changed.type,
        job=changed.job_id,
        video=changed.subject,
        flow=changed.flow,
        state=str(changed.data.get("state", "")),
        frame=frame(changed.type, encoded({**about, **changed.data})),
    )


def event_id(place: Position) -> str:
    """A place as clients know it."""
    return f"{place[0]}-{place[1]}"


def encoded(data: Mapping[str, Any]) -> str:
    """The data of an event as JSON, without what is not for clients."""
    error = data.get("error")
    if error:
        kept = {name: value for name, value in error.items() if name not in _INTERNAL}
        data = {**data, "error": kept}
    return msgspec.json.encode(data).decode()


def joined(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Their frames, in pieces of about :data:`PIECE` bytes."""
    frames: list[bytes] = []
    size = 0
    for entry in entries:
        frames.append(entry.frame)
        size += len(entry.frame)
        if size >= PIECE:
            yield b"".join(frames)
            frames, size = [], 0
    if frames:
        yield b"".join(frames)


def snapshot_text(jobs: Sequence[Mapping[str, Any]], *, more: bool) -> str:
    """Unfinished jobs as the data of one event, as many as fit into :data:`SNAPSHOT_BYTES`."""
    texts: list[str] = []
    room = SNAPSHOT_BYTES
    for job in jobs:
        text = encoded(job)
        room -= len(text) + 1
        if room < 0:
            break
        texts.append(text)
    is_cut = more or len(texts) < len(jobs)
    return f'{{"jobs":[{",".join(texts)}],"more":{"true" if is_cut else "false"}}}'


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a reader asked for; what is empty asks for all."""

    job: Collection[str] = ()
    video: Collection[str] = ()
    flow: Collection[str] = ()
    type: Collection[str] = ()
    state: Collection[str] = ()

    def has(self, entry: Entry) -> bool:
        """Whether an event is asked for."""
        return (not self.type or entry.type in self.type) and self._fits(
            entry.job, entry.video, entry.flow, entry.state
        )

    def among(self, found: Unfinished) -> list[dict[str, Any]]:
        """Those of the unfinished jobs that are asked for."""
        return [
            each
            for each in found.jobs
            if self._fits(each["job"], each["video"], each["flow"], each["state"])
        ]

    def _fits(self, job: str, video: str, flow: str, state: str) -> bool:
        return (
            (not self.job or job in self.job)
            and (not self.video or video in self.video)
            and (not self.flow or flow in self.flow)
            and (not self.state or state in self.state)
        )


def _about(job: str, video: str, flow: str, at: Position) -> dict[str, Any]:
    return {"job": job, "video": video, "flow": flow, "epoch": at[0], "seq": at[1]}
