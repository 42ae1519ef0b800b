"""What is sent, and to whom."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.gateway import entries
from services.gateway.entries import Wanted, joined, of_bell, of_job, of_tenant, snapshot_text
from shared.contracts.jobs import JobChange
from shared.work.jobs import JobEvent
from shared.work.tenant_events import TenantEvent, Unfinished

DATA = {"state": "running", "step": "probe", "progress": 0.5}
ABOUT = {"job": "j", "video": "v", "flow": "f", "epoch": 2, "seq": 7}
FAILED = {"state": "failed", "error": {"code": "broken", "detail": "x", "tail": ["/srv/secret"]}}


def told(**fields: Any) -> TenantEvent:
    plain = {"seq": 12, "type": "state", "job": "j", "flow": "f", "subject": "v", "data": DATA}
    return TenantEvent(at=(2, 7), **{**plain, **fields})


def parts(frame: bytes) -> dict[str, Any]:
    lines = frame.decode().removesuffix("\n\n").split("\n")
    fields: dict[str, Any] = dict(line.split(": ", 1) for line in lines)
    return {**fields, "data": msgspec.json.decode(fields["data"])}


def test_an_event_of_a_tenant_says_whose_it_is() -> None:
    sent = parts(of_tenant(told()).frame)
    assert sent == {"id": "1-12", "event": "state", "data": {**ABOUT, **DATA}}


def test_progress_from_the_bus_has_no_id() -> None:
    about: dict[str, Any] = {"tenant": "acme", "job_id": "j", "flow": "f", "subject": "v"}
    change = JobChange(epoch=2, seq=7, type="progress", data=DATA, **about)
    assert parts(of_bell(change).frame) == {"event": "progress", "data": {**ABOUT, **DATA}}


def test_an_event_of_a_job_is_as_it_is_kept() -> None:
    entry = of_job("j", JobEvent(epoch=2, seq=7, type="end", data=DATA))
    assert parts(entry.frame) == {"id": "2-7", "event": "end", "data": DATA}
    assert entry.position == entry.at == (2, 7)


def test_what_a_process_wrote_last_is_not_for_clients() -> None:
    kept = {"code": "broken", "detail": "x"}
    for entry in (
        of_tenant(told(data=FAILED)),
        of_job("j", JobEvent(epoch=1, seq=1, type="state", data=FAILED)),
    ):
        assert parts(entry.frame)["data"]["error"] == kept


def test_a_snapshot_has_what_fits_and_says_what_is_missing() -> None:
    jobs = [{**ABOUT, **DATA, "message": "m" * 1000} for _ in range(200)]
    found = msgspec.json.decode(snapshot_text(jobs, more=False))
    assert found["more"] is True
    assert 0 < len(found["jobs"]) < 100
    assert len(snapshot_text(jobs, more=False)) <= entries.SNAPSHOT_BYTES + 100
    assert msgspec.json.decode(snapshot_text(jobs[:2], more=False)) == {
        "jobs": jobs[:2],
        "more": False,
    }
    assert snapshot_text([], more=True) == '{"jobs":[],"more":true}'


@pytest.mark.parametrize("name", ["job", "video", "flow", "type", "state"])
def test_every_filter_lets_pass_what_it_names(name: str) -> None:
    entry = of_tenant(told())
    mine = {"job": "j", "video": "v", "flow": "f", "type": "state", "state": "running"}
    assert Wanted(**{name: (mine[name], "other")}).has(entry)
    assert not Wanted(**{name: ("other",)}).has(entry)


def test_all_filters_must_let_pass() -> None:
    entry = of_tenant(told())
    assert Wanted().has(entry)
    assert Wanted(job=("j",), state=("running",)).has(entry)
    assert not Wanted(job=("j",), state=("failed",)).has(entry)


def test_filters_are_for_snapshots_too_but_for_the_type() -> None:
    found = Unfinished(seq=1, more=False, jobs=({**ABOUT, **DATA}, {**ABOUT, **DATA, "job": "k"}))
    assert [each["job"] for each in Wanted(job=("k",), type=("end",)).among(found)] == ["k"]


def test_frames_are_joined_to_pieces_and_none_is_lost() -> None:
    many = [of_tenant(told(seq=seq)) for seq in range(500)]
    pieces = list(joined(many))
    assert b"".join(pieces) == b"".join(each.frame for each in many)
    assert max(len(piece) for piece in pieces) < entries.PIECE + 1000
    assert list(joined([])) == []
