"""Taking what was made before instead of making it again, and keeping what is made.

Neither may fail a step: whoever cannot look makes it anew, and what cannot be kept is only made
again next time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from shared.clock import Clock, now_ms
from shared.contracts.records import Artifact, StepOutput
from shared.contracts.results import Result
from shared.errors import Invalid, NotFound, ReelwayError
from shared.store.records import StaleFence
from shared.telemetry.names import Action
from shared.work.context import StepContext
from shared.work.observer import Observer
from shared.work.results import Place, Recipe, Results, is_forced, place_of

HASHED = 8 * 1024 * 1024
"""Up to how many bytes of a file are read to see whether they are still the same."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reuse:
    """Steps that have a recipe are given what it names. Where ``results`` are kept, they also take
    what another job has made, or this one before.
    """

    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    results: Results | None = None
    clock: Clock = now_ms

    async def take(self, context: StepContext, observer: Observer) -> StepOutput | None:
        """The output of a step that was made before, whole; None when it has to be made. A step
        that a person wants done anew, and all after it, are always made.
        """
        recipe = context.recipe = self.recipes.get(context.step)
        if recipe is None or self.results is None:
            return None
        context.place = place_of(context.job, context.step, recipe, context.outputs)
        if context.place is None or is_forced(context.job, context.step):
            return None
        outcome, output = await _look(self.results, context, context.place)
        observer.looked(context.claim, context.step, outcome)
        return output

    async def keep(self, context: StepContext, output: StepOutput) -> StepOutput:
        """Keep what a step has made; answers its output with the name of what it follows from."""
        if context.place is None or self.results is None:
            return output
        output = msgspec.structs.replace(output, key=context.place.key)
        result = Result(
            key=context.place.key,
            source=context.place.source,
            step=context.step,
            output=output,
            job_id=context.job.id,
            fence=context.claim.fence,
            made_at=self.clock(),
        )
        try:
            await self.results.keep(context.claim, context.tenant, result)
        except StaleFence:
            raise
        except ReelwayError as error:
            extra = {"action": Action.RESULT_NOT_KEPT, "step": context.step}
            _log.warning("a result could not be kept: %s", error.detail, extra=extra)
        return output


async def _look(
    results: Results, context: StepContext, place: Place
) -> tuple[str, StepOutput | None]:
    """What came of looking for an earlier result, and its output if that is whole."""
    try:
        found = await results.take(context.tenant, place, context.job.id)
        if found is None:
            return "miss", None
        await _check(context, found.output.artifacts)
    except (NotFound, Invalid, msgspec.DecodeError) as error:
        extra = {"action": Action.RESULT_DAMAGED, "step": context.step}
        _log.warning("an earlier result is not whole and is made anew: %s", error, extra=extra)
        return "damaged", None
    except ReelwayError as error:
        extra = {"action": Action.RESULT_DAMAGED, "step": context.step}
        _log.warning("an earlier result cannot be looked at: %s", error.detail, extra=extra)
        return "unavailable", None
    await context.progress(1.0, "the result of an earlier run is taken")
    return "hit", msgspec.structs.replace(found.output, taken_from=found.job_id)


async def _check(context: StepContext, artifacts: tuple[Artifact, ...]) -> None:
    """Raise unless these files are there, in full size, and those that are small unchanged."""
    for number, artifact in enumerate(artifacts):
        await context.progress(number / len(artifacts), "checking the result of an earlier run")
        info = await context.blobs.head(artifact.key)
        if info.size != artifact.size:
            raise Invalid(f"{artifact.name} has {info.size} bytes instead of {artifact.size}")
        if artifact.size <= HASHED and await _digest(context, artifact) != artifact.sha256:
            raise Invalid(f"{artifact.name} has other bytes than it had")


async def _digest(context: StepContext, artifact: Artifact) -> str:
    digest = hashlib.sha256()
    async for piece in context.blobs.read(artifact.key, 0, artifact.size):
        await asyncio.to_thread(digest.update, piece)
    return digest.hexdigest()
