"""What the ledger says to the others: every entry is a message they can read."""

from __future__ import annotations

import pytest

from shared.bus.envelope import encode
from shared.contracts.jobs import JobControl, JobFinished, JobsChanged, Ring
from shared.contracts.records import JobError
from shared.work.failures import describe
from shared.work.step import StepFailed
from tests.integration.work.bench import ACME, BROKEN, DONE, Bench

ODD = 'Ünïcödé "quoted" back\\slash / slash \x00\x1f\x7f\u2028 😀 عربى'


async def test_a_life_of_a_job_is_told_in_messages(bench: Bench) -> None:
    trace = '{"traceparent":"00-11111111111111111111111111111111-2222222222222222-01"}'
    new = await bench.submit("media", "drive", correlation="c1", trace=trace, subject="v7")
    claim = await bench.claim()
    await bench.ledger.progress(claim, 1 / 3, "a third")
    await bench.ledger.advance(claim, "s0", DONE, 0.5)
    claim = await bench.claim("drive")
    await bench.ledger.cancel(ACME, new.id, "")
    await bench.ledger.stopped(claim)
    said = await bench.said()
    kinds = [type(message) for _, message in said]
    assert kinds == [
        *(JobsChanged, Ring),  # ready
        *(JobsChanged, JobsChanged),  # running, progress
        *(JobsChanged, Ring),  # handed
        JobsChanged,  # running
        *(JobsChanged, JobControl),  # cancelling
        *(JobsChanged, JobFinished),
    ]
    assert len({envelope.id for envelope, _ in said}) == len(said)
    for envelope in (
        envelope for envelope, message in said if not isinstance(message, JobsChanged)
    ):
        assert (envelope.tenant, envelope.correlation) == ("acme", "c1")
        assert envelope.trace["traceparent"].startswith("00-1111")
    assert [envelope.to for envelope, _ in said if envelope.sort == "ring"] == ["media", "drive"]
    assert said[-1][1] == JobFinished(
        job_id=new.id, flow="process_video", subject="v7", outcome="cancelled"
    )


async def test_the_messages_are_the_stream(bench: Bench) -> None:
    new = await bench.submit("media")
    claim = await bench.claim()
    await bench.ledger.fail(claim, BROKEN, None)
    changed = [m for _, m in await bench.said() if isinstance(m, JobsChanged)]
    kept = await bench.events(new)
    assert [(c.epoch, c.seq, c.type, c.data) for m in changed for c in m.changes] == [
        (event.epoch, event.seq, event.type, event.data) for event in kept
    ]
    assert kept[-1].data["error"]["code"] == "broken"


@pytest.mark.parametrize("text", [ODD, "\x01" * 100_000, "😀" * 50_000, "/" * 100_000, ""])
async def test_odd_and_endless_texts_stay_readable_and_small(bench: Bench, text: str) -> None:
    new = await bench.submit(params={"odd": ODD, "none": []}, subject=ODD)
    claim = await bench.claim()
    await bench.ledger.progress(claim, 0.5, text)
    failure = StepFailed(text or "none", text, error_class="transient", hint=text)
    await bench.ledger.fail(claim, describe(failure, "s0"), 60)
    await bench.ledger.cancel(ACME, new.id, text)
    for envelope, message in await bench.said():
        assert len(encode(envelope)) < 64 * 1024
        if isinstance(message, JobFinished):
            assert message.subject == ODD
    job = await bench.job(new)
    assert job.params == {"odd": ODD, "none": []}
    assert job.error is not None
    assert text.startswith(job.error.hint)


async def test_what_cannot_be_written_in_utf8_does_not_stop_a_failure(bench: Bench) -> None:
    await bench.submit()
    claim = await bench.claim()
    odd = "a name of a file: \udcff"
    await bench.ledger.progress(claim, 0.5, odd)
    failure = StepFailed("odd", odd, error_class="transient", hint=odd)
    assert await bench.ledger.fail(claim, describe(failure, "s0"), None) == "failed"
    await bench.said()


async def test_every_finished_message_says_what_became_of_the_job(bench: Bench) -> None:
    new = await bench.submit()
    error = JobError(code="no_video", error_class="bad_input", detail="it is a picture")
    await bench.ledger.fail(await bench.claim(), error, None)
    finished = [m for _, m in await bench.said() if isinstance(m, JobFinished)]
    assert finished == [
        JobFinished(
            job_id=new.id,
            flow="process_video",
            subject="v1",
            outcome="failed",
            error_class="bad_input",
            error_code="no_video",
        )
    ]


async def test_a_job_cancelled_between_two_attempts_did_not_end_of_its_error(
    bench: Bench,
) -> None:
    new = await bench.submit()
    await bench.ledger.fail(await bench.claim(), BROKEN, 60)
    await bench.ledger.cancel(ACME, new.id, "")
    [finished] = [m for _, m in await bench.said() if isinstance(m, JobFinished)]
    assert (finished.outcome, finished.error_class, finished.error_code) == ("cancelled", "", "")
