"""Results of steps that are kept by content."""

from __future__ import annotations

from shared.contracts.records import Record, StepOutput


class Result(Record, frozen=True, kw_only=True):
    """What a step made of a source (SHA-256 in hex), for whoever asks for the same again (owner:
    jobs; drive removes it with the source, and it expires when nobody uses it).
    """

    key: str
    source: str
    step: str
    output: StepOutput
    job_id: str
    fence: int
    made_at: int
