from __future__ import annotations

import pytest

from services.gateway.admission import refusal
from services.gateway.dead import groups, summary
from shared.contracts.jobs import Admission
from shared.contracts.records import Job, JobError


def dead(number: int, code: str, step: str = "cut", flow: str = "process_video") -> Job:
    return Job(
        id=f"{number:03}",
        tenant="acme",
        flow=flow,
        subject="v",
        pool="media",
        state="failed",
        base=50,
        waiting_since=0,
        created_at=0,
        updated_at=0,
        finished_at=number * 1000,
        error=JobError(code=code, error_class="bug", detail="", step=step) if code else None,
    )


def test_failed_jobs_are_counted_by_what_is_wrong_with_them() -> None:
    jobs = [dead(5, "torn"), dead(4, "broken"), dead(7, "broken"), dead(2, "broken", "sew")]
    found = groups([*jobs, dead(1, "broken", flow="caption_video")])
    assert [(each.flow, each.step, each.code, each.count) for each in found] == [
        ("process_video", "cut", "broken", 2),
        ("process_video", "cut", "torn", 1),
        ("process_video", "sew", "broken", 1),
        ("caption_video", "cut", "broken", 1),
    ]
    assert (found[0].newest, found[0].newest_at) == ("007", "1970-01-01T00:00:07.000Z")


def test_a_job_without_an_error_is_a_group_too() -> None:
    (found,) = groups([dead(1, "")])
    assert (found.code, found.error_class, found.count) == ("", "", 1)


@pytest.mark.parametrize(("size", "is_complete"), [(3, True), (4, False)])
async def test_a_summary_says_when_it_has_not_seen_all(size: int, is_complete: bool) -> None:
    jobs = [dead(number, "broken") for number in range(size, 0, -1)]

    async def read(after: str, limit: int) -> list[Job]:
        return [job for job in jobs if not after or job.id < after][:limit]

    found = await summary(read, most=3)
    assert (found.counted, found.complete, found.items[0].count) == (3, is_complete, 3)


@pytest.mark.parametrize("reason", ["queue_full", "backlog"])
def test_a_refusal_names_figures_and_when_to_come_again(reason: str) -> None:
    error = refusal(Admission(admitted=False, queued=200, most=200, reason=reason, retry_after=37))
    assert (error.status, error.code, error.retry_after) == (429, reason, 37)
    assert "200" in error.detail
    assert "37 s" in error.hint
