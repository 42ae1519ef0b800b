"""One attempt at a job: its steps in order, under a lease that is kept alive beside them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from shared.blobs.store import Blobs
from shared.contracts.records import JobError, StepOutput
from shared.errors import NotFound, Unavailable
from shared.store.records import IllegalTransition, StaleFence
from shared.store.redis import StoreUnavailable
from shared.telemetry.names import Action
from shared.work.context import StepContext, StepFunction, overall_progress
from shared.work.failures import RetryPolicy, describe, is_crash, verdict, waited_in_vain
from shared.work.ledger import Claim, Ledger
from shared.work.observer import Ended, Observer
from shared.work.outages import as_snooze
from shared.work.reuse import Reuse
from shared.work.step import Snoozed, StepFailed

_log = logging.getLogger(__name__)
_LOST = (StaleFence, IllegalTransition, NotFound)
Stop = Literal["", "cancel", "drain", "pause", "silent", "lost"]
_STOP_SECONDS = 30.0
_REST = 0.2
"""Seconds between two tries while the store is away."""


class Attempt:
    """Works on one claimed job until it is over, handed on, given back or lost. ``asked_at`` is
    when the claim was asked for, by the monotonic clock: its lease began after that.
    """

    def __init__(  # noqa: PLR0913 - put together once, by the worker
        self,
        *,
        claim: Claim,
        asked_at: float,
        ledger: Ledger,
        blobs: Blobs,
        steps: Mapping[str, StepFunction],
        policy: RetryPolicy,
        scratch: Path,
        observer: Observer | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        self.claim = claim
        self._reuse = reuse or Reuse()
        self._observer = observer or Observer()
        self._ledger = ledger
        self._blobs = blobs
        self._steps = steps
        self._policy = policy
        self._folder = scratch / f"{claim.job.id}-{claim.fence}"
        self._stop: Stop = ""
        self._poked = asyncio.Event()
        self._step = claim.job.step
        self._context: StepContext | None = None
        self._work_task: asyncio.Task[None] | None = None
        self._renewed = asked_at
        self._stop_by = math.inf

    def look(self) -> None:
        """Ask the ledger about this job now: somebody said that it has changed."""
        self._poked.set()

    def leave(self) -> None:
        """Give the job back: this worker is leaving."""
        self._end_work("drain")

    async def run(self) -> None:
        """Work. Returns when this attempt has nothing to do with the job any more; raises only
        when it is itself cancelled, and then gives the job back.
        """
        work = asyncio.create_task(self._work(), name=f"job {self.claim.job.id}")
        lease = asyncio.create_task(self._keep_lease(), name=f"lease {self.claim.job.id}")
        self._work_task = work
        if self._stop:
            work.cancel()
        try:
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._end_work("drain")
            raise
        finally:
            self._end_work(self._stop)
            await asyncio.wait({work})  # a child may take its time; the lease is kept meanwhile
            await self._settle(work)
            lease.cancel()
            await asyncio.wait({lease})
            if self._folder.exists():
                await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            if not lease.cancelled():
                lease.result()

    def _end_work(self, why: Stop) -> None:
        """Stop the work, once: a second cancellation would cut its tidying up short."""
        self._stop = self._stop or why
        if self._work_task is not None and not self._work_task.cancelling():
            self._stop_by = time.monotonic() + _STOP_SECONDS
            self._work_task.cancel()

    async def _work(self) -> None:
        outputs = dict(self.claim.job.outputs)
        names = [step.name for step in self.claim.job.steps]
        for name in names[names.index(self._step) :]:
            self._step = name
            outputs[name] = await self._run_step(name, outputs)
            answer = await self._advance(name, outputs[name])
            self._context = None
            if answer != "continue":
                self._ended(answer)
                return

    async def _advance(self, name: str, output: StepOutput) -> str:
        """Say that a step is done. It may be said again, so an outage does not cost the step."""
        fraction = overall_progress(self.claim.job, name, 1.0)
        while True:
            try:
                parts = self._context.parts if self._context else ()
                return await self._ledger.advance(self.claim, name, output, fraction, parts)
            except StoreUnavailable:
                await asyncio.sleep(_REST)  # until the lease is lost

    async def _run_step(self, name: str, outputs: Mapping[str, StepOutput]) -> StepOutput:
        context = StepContext(
            claim=self.claim,
            step=name,
            outputs=outputs,
            ledger=self._ledger,
            blobs=self._blobs,
            folder=self._folder,
        )
        self._context = context
        taken = await self._reuse.take(context, self._observer)
        if taken is not None:
            return taken
        with self._observer.step(self.claim, name):
            output = await self._steps[name](context)
        return await self._reuse.keep(context, output)

    async def _keep_lease(self) -> None:
        """Renew the lease until the attempt is settled or the job is lost; end the work when it
        shall stop. Work that does not stop keeps nobody waiting: its lease runs out.
        """
        while time.monotonic() < self._stop_by:
            # A third of the lease, give or take a tenth; sooner when the last one failed.
            answered = self._left() > self._ledger.lease_seconds * 0.8
            seconds = self._ledger.lease_seconds / (3 if answered else 15)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds * random.uniform(0.9, 1.1)):
                    await self._poked.wait()
            if not await self._beat():
                return

    async def _beat(self) -> bool:
        """One heartbeat; False when the job is lost."""
        self._poked.clear()
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._left()):
                state = await self._ledger.heartbeat(self.claim)
        except _LOST:
            # The work itself may just have ended the job; then its answer is on the way.
            assert self._work_task
            await asyncio.wait({self._work_task}, timeout=_REST)
            self._end_work("lost")
            return False
        except (TimeoutError, Unavailable):
            if self._left() > 0:
                return True
            self._end_work("lost")
            return False
        self._renewed = sent
        self._mind(state)
        return True

    def _mind(self, state: str) -> None:
        """End the work for what the ledger wishes, or when nothing was heard of it for too long."""
        if state == "cancelling":
            self._end_work("cancel")
        elif state == "pausing":
            self._end_work("pause")
        elif self._silent_for() > self._policy.silence:
            self._end_work("silent")

    def _silent_for(self) -> float:
        return time.monotonic() - self._context.heard if self._context else 0.0

    def _left(self) -> float:
        """Seconds until this attempt must give up, before another may take the job: an eighth of
        the lease is left for clocks that differ.
        """
        return self._renewed + self._ledger.lease_seconds * 13 / 15 - time.monotonic()

    async def _settle(self, work: asyncio.Task[None]) -> None:
        """Tell the ledger how the attempt ended, unless it knows already. While the store is away
        that is tried again: what the fence guards may be said twice.
        """
        while True:
            try:
                return await self._tell_end(work)
            except _LOST:
                return self._ended("lost")
            except Unavailable as away:
                if self._left() <= 0:
                    # The lease runs out and the reaper brings the job back to its place.
                    extra = {"action": Action.JOB_UNSETTLED}
                    _log.warning("the job could not be settled: %s", away.detail, extra=extra)
                    return None
            await asyncio.sleep(_REST)

    async def _tell_end(self, work: asyncio.Task[None]) -> None:
        error = None if work.cancelled() else work.exception()
        if work.cancelled():
            await self._give_up()
        elif isinstance(error, StoreUnavailable):
            # What the step's last write did is unknown, and nothing is wrong with the job.
            self._ended(await self._ledger.release(self.claim))
        elif snoozed := as_snooze(error):
            await self._snooze(snoozed)
        elif error is not None:
            await self._failed(error)

    async def _give_up(self) -> None:
        if self._stop == "cancel":
            self._ended(await self._ledger.stopped(self.claim))
        elif self._stop in {"drain", "pause"}:
            self._ended(await self._ledger.release(self.claim))
        elif self._stop == "silent":
            detail = f"the step said nothing for {self._policy.silence:g} s"
            await self._failed(StepFailed("step_silent", detail, error_class="transient"))
        else:
            self._ended("lost")

    async def _snooze(self, why: Snoozed) -> None:
        error, longest = waited_in_vain(why, self._step), self._policy.longest
        state = await self._ledger.snooze(self.claim, error, why.seconds, longest)
        again = why.seconds if state == "retrying" else None
        self._ended(state, error=error if state == "failed" else None, retry_in=again)

    async def _failed(self, error: BaseException) -> None:
        if isinstance(error, (StaleFence, IllegalTransition)):
            raise error  # the job is lost
        described = describe(error, self._step)
        failures, crashed = self.claim.job.attempt + 1, is_crash(described)
        crashes = self.claim.crashes * (self._step == self.claim.job.step) + crashed
        kept, retry_in = verdict(described, failures, self._policy, crashes=crashes)
        state = await self._ledger.fail(self.claim, kept, retry_in, crashed=crashed)
        cause = error if kept.error_class == "bug" else None
        again = retry_in if state == "retrying" else None
        self._ended(state, error=kept, retry_in=again, cause=cause)

    def _ended(
        self,
        state: str,
        *,
        error: JobError | None = None,
        retry_in: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        ended = Ended(state=state, step=self._step, error=error, retry_in=retry_in, cause=cause)
        self._observer.ended(self.claim, ended)
