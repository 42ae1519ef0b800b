"""Why a job waits, in words."""

from __future__ import annotations

from shared.contracts.jobs import BoostLaw, Explanation
from shared.contracts.records import Job
from shared.work.governor import Standing
from shared.work.priority import Boost, effective_priority, next_boost_at


def explained(job: Job, standing: Standing) -> Explanation:
    """What there is to say about a job's place."""
    boost = Boost.parse(job.boost)
    effective = _effective(job, standing, boost)
    reason, waits_for = why(standing)
    rises = None
    if standing.state in {"ready", "blocked", "retrying"}:
        rises = next_boost_at(job.base, standing.waiting_since, standing.now, boost)
    return Explanation(
        job_id=job.id,
        state=standing.state,
        tier=job.tier,
        base=job.base,
        boost=effective - job.base,
        effective=effective,
        law=BoostLaw(rate=boost.rate, step_seconds=boost.step_seconds, cap=boost.cap),
        waiting_since=standing.waiting_since,
        next_boost_at=rises,
        pool=standing.pool,
        reason=reason,
        waits_for=waits_for,
        ahead=standing.ahead,
        ahead_is_least=standing.ahead_is_least,
        estimated_wait_ms=_estimate(standing),
    )


def _effective(job: Job, standing: Standing, boost: Boost) -> int:
    """The ledger's figure; of a job that has ended, what it was at the end."""
    if not job.finished_at:
        return standing.effective
    return effective_priority(job.base, job.waiting_since, job.finished_at, boost)


def why(standing: Standing) -> tuple[str, str]:
    """The reason that holds a job up most, as a stable word and as a sentence."""
    if standing.state != "ready":
        return _not_in_line(standing)
    pool = standing.pool
    checks = (
        (standing.tenant_paused, "tenant_paused", "all work of this tenant is paused"),
        (standing.pool_paused, "pool_paused", f"the pool {pool} is paused"),
        (not standing.workers, "no_worker", f"no worker of the pool {pool} was heard of lately"),
        (
            0 < standing.tenant_limit <= standing.tenant_running,
            "tenant_limit",
            f"{standing.tenant_running} jobs of this tenant run in the pool {pool}, as many as may",
        ),
        (
            0 < standing.pool_limit <= standing.pool_running,
            "pool_limit",
            f"{standing.pool_running} jobs run in the pool {pool}, as many as may",
        ),
        (standing.ahead > 0, "in_line", f"{standing.ahead} jobs are ahead of it"),
    )
    found = next(((word, text) for applies, word, text in checks if applies), None)
    needs = f", with {standing.needs} to spare" if standing.needs else ""
    return found or ("next", f"it is next, when a slot of the pool {pool} is free{needs}")


def _not_in_line(standing: Standing) -> tuple[str, str]:
    if standing.state == "blocked" and standing.pending:
        return "parts", f"{standing.pending} parts of it have not ended"
    if standing.state == "blocked":
        return "video_busy", f"the job {standing.held_by} works on the same video"
    return _SAID.get(standing.state, ("ended", "it has ended"))


_SAID = {
    "scheduled": ("scheduled", "it is not due yet"),
    "retrying": ("retrying", "it is tried again when its delay is over"),
    "paused": ("paused", "somebody paused it"),
    "running": ("running", "a worker is at it"),
    "cancelling": ("running", "its worker is stopping it"),
}


def _estimate(standing: Standing) -> int | None:
    if standing.state != "ready" or not standing.average_ms or not standing.workers:
        return None
    slots = max(1, standing.pool_running)
    return (standing.ahead + 1) * standing.average_ms // slots
