"""A flow of small steps with effects, over two pools, and what is ordered of it.

``take`` and ``file`` are drive's, ``cut`` and ``weigh`` media's. Each piece of ``cut`` is an
effect, a file and a checkpoint; ``weigh`` runs in a child process; ``file`` looks whether all that
was passed on is what it should be. Some parcels are split: ``take`` then asks for parts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, get_args

from shared.contracts.records import Artifact, StepOutput, StepStatus
from shared.ids import derived_id
from shared.store.keys import source_key
from shared.store.records import Records
from shared.tenancy import TenantId, blob_key, tenant_id
from shared.work.child import ChildSteps
from shared.work.child_limits import ChildLimits
from shared.work.context import StepContext, StepFunction
from shared.work.jobs import job_key
from shared.work.results import Recipe
from shared.work.step import BadInput, Snoozed, StepFailed
from tests.recovery.marks import do_once, touch

FLOW, PART = "parcel", "part of a parcel"
POOLS: Mapping[str, int] = {"media": 2, "drive": 1}
"""The pools, and how many jobs a worker has in hand in each."""
PARCEL = (
    StepStatus(name="take", pool="drive"),
    StepStatus(name="cut", pool="media", weight=4),
    StepStatus(name="weigh", pool="media"),
    StepStatus(name="file", pool="drive"),
)
PARTS = (StepStatus(name="slice", pool="media"),)
PIECES = 4
PIECE_SECONDS = 0.08
DONE = {FLOW: ("take", *(f"cut-{number}" for number in range(PIECES)), "file"), PART: ("slice",)}
"""What a job of each flow has done when it has succeeded."""
TENANTS = (tenant_id("acme"), tenant_id("other"))
VIDEOS = 4
"""How many videos each tenant has."""
SOURCES = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(4))
"""What the bytes of parcels hash to: so many different ones there are."""
RECIPES: Mapping[str, Recipe] = {"weigh": Recipe(version="1")}
"""What is kept for other parcels of the same bytes."""

Kind = Literal[
    "plain",
    "stopped",
    "flaky",
    "refused",
    "rested",
    "withdrawn",
    "sleepy",
    "given_up",
    "split",
    "later",
    "too_late",
]
"""What becomes of an order: ``stopped`` is cancelled while it runs, ``withdrawn`` at once and then
retried. ``flaky`` fails once, ``refused`` until it is retried, ``given_up`` until it is discarded.
``rested`` is paused and resumed, ``sleepy`` waits for something outside. ``split`` has parts.
``later`` is not to begin at once, ``too_late`` is not to begin any more.
"""
_KINDS: tuple[Kind, ...] = (*get_args(Kind), "stopped", "rested", "given_up", "sleepy")
_SLOW = ("stopped", "rested")
"""Kinds to which something happens while they run: there is time for it."""

_CHILD = """
read task
echo '{"type":"progress","fraction":0.5}'
printf 'one pound' > weight
echo '{"type":"checkpoint","state":{"weighed":true},"artifacts":["weight"]}'
echo '{"type":"result","result":{"pounds":1},"artifacts":["weight"]}'
read rest
"""
_LIMITS = ChildLimits(silence=5.0, grace=0.5)


class Order:
    """The ``number``-th order: everything about it follows from the number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.kind = _KINDS[number % len(_KINDS)]
        self.tenant: TenantId = TENANTS[number % len(TENANTS)]
        self.job_id = derived_id("order", str(number))
        self.subject = derived_id("video", str(number % (VIDEOS * len(TENANTS))))
        self.key = job_key(self.tenant, self.job_id)

    @property
    def params(self) -> dict[str, Any]:
        """What the job is told. Of every third parcel nobody knows which bytes it has."""
        told = {"kind": self.kind, "location": blob_key(self.tenant, "source")}
        known = {"sha256": SOURCES[self.number % len(SOURCES)]} if self.number % 3 else {}
        return {**told, **known}


def steps(records: Records) -> dict[str, StepFunction]:
    """The flow's steps."""
    weigh = ChildSteps(("/bin/sh", "-c", _CHILD), _LIMITS).run
    parts = {"take": _take, "cut": _cut, "file": _file, "slice": _slice}
    own = {name: partial(step, records) for name, step in parts.items()}
    return {**own, "weigh": weigh}


async def _take(records: Records, context: StepContext) -> StepOutput:
    await do_once(records, context, "take")
    if source := context.job.params.get("sha256"):
        change = context.change().index(source_key(context.tenant, source), context.job.id)
        await records.commit(change)
    if context.job.params["kind"] == "split":
        context.parts += [context.part(str(number), PART, PARTS) for number in range(2)]
    return StepOutput(result={"taken": context.job.id})


async def _slice(records: Records, context: StepContext) -> StepOutput:
    await asyncio.sleep(PIECE_SECONDS)
    await do_once(records, context, "slice")
    return StepOutput()


async def _cut(records: Records, context: StepContext) -> StepOutput:
    checkpoint = await context.resume()
    done = int(checkpoint.state["pieces"]) if checkpoint else 0
    for artifact in checkpoint.artifacts if checkpoint else ():
        await context.blobs.fetch(artifact.key, context.folder / artifact.name)
    paths = [context.folder / f"piece-{number}" for number in range(PIECES)]
    for number in range(done, PIECES):
        await asyncio.sleep(PIECE_SECONDS * (4 if context.job.params["kind"] in _SLOW else 1))
        await touch(records, context, f"cut-{number}")
        _refuse(context, number)
        paths[number].write_text(f"{context.job.id} {number}\n")
        await do_once(records, context, f"cut-{number}")
        await context.progress((number + 1) / PIECES, f"piece {number}")
        await context.checkpoint({"pieces": number + 1}, paths[: number + 1])
    whole = context.folder / "whole"
    whole.write_text("".join(path.read_text() for path in paths))
    return StepOutput(result={"pieces": PIECES}, artifacts=await context.keep([whole]))


def _refuse(context: StepContext, number: int) -> None:
    job, kind = context.job, context.job.params["kind"]
    if kind == "flaky" and number == 1 and not job.attempt:
        raise StepFailed("away", "not now", error_class="transient")
    if kind == "sleepy" and number == 1 and not job.snoozes:
        raise Snoozed("closed", "the post office is closed", seconds=0.2)
    if kind == "given_up" or (kind == "refused" and job.epoch == 1):
        raise BadInput("not_a_parcel", "it is a letter")


async def _file(records: Records, context: StepContext) -> StepOutput:
    whole, weight = await _read(context, "cut"), await _read(context, "weigh")
    expected = "".join(f"{context.job.id} {number}\n" for number in range(PIECES))
    assert (whole, weight) == (expected, "one pound")
    await do_once(records, context, "file")
    return StepOutput(result={"filed": True})


async def _read(context: StepContext, step: str) -> str:
    artifact: Artifact = context.outputs[step].artifacts[-1]
    return (await context.blobs.read_all(artifact.key)).decode()
