from __future__ import annotations

import re

import msgspec
import pytest

from services.__main__ import main
from services.jobs.simulate import parse
from services.jobs.simulation import Demand, Rules
from services.jobs.simulation_report import Report, Row, remarks, table

SHORT = ["simulate", "--days", "0.5", "--slots", "2"]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*SHORT, *words])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_without_words_production_is_asked_about() -> None:
    asked = parse([])
    assert asked.rules == Rules()
    assert asked.demand == Demand(parts={"enterprise": 0.80, "premium": 0.25, "free": 0.05})
    assert not asked.is_json


def test_every_word_is_heard() -> None:
    words = "--mix 10/20/30 --slots 3 --minutes 1.5 --days 2 --tenants 4 --service fixed --seed -7"
    switches = "--guard off --limits off --admission off --json"
    asked = parse([*words.split(), *switches.split()])
    assert asked.demand == Demand(
        parts={"enterprise": 0.1, "premium": 0.2, "free": 0.3},
        slots=3,
        minutes=1.5,
        days=2,
        tenants=4,
        is_fixed=True,
        seed=-7,
    )
    assert asked.rules == Rules(guard_every=0, has_limits=False, has_admission=False)
    assert asked.is_json
    assert parse(["--guard", "10", "--limits", "on"]).rules == Rules(guard_every=10)


def test_a_load_scales_the_mix() -> None:
    parts = parse(["--load", "1.2", "--mix", "3/2/1"]).demand.parts
    assert parts == pytest.approx({"enterprise": 0.6, "premium": 0.4, "free": 0.2})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--mix 80/25", "'80/25' is not three numbers"),
        ("--mix 80/x/5", "'x' is not a number"),
        ("--mix=-1/25/5", "is not three numbers"),
        ("--mix 0/0/0", "is not three numbers"),
        ("--load 0", "'0' is not above 0"),
        ("--load nan", "'nan' is not a number"),
        ("--minutes inf", "'inf' is not a number"),
        ("--slots 0", "is not a number from 1 to 1000"),
        ("--tenants 1001", "is not a number from 1 to 1000"),
        ("--guard on", "neither off nor"),
        ("--guard 0", "neither off nor"),
        ("--limits maybe", "is neither on nor off"),
        ("--days 100000", "about 264000000 jobs would come"),
    ],
)
def test_wrong_words_end_it_with_what_is_wrong(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *words.split()])
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_same_seed_prints_the_same_table(capsys: pytest.CaptureFixture[str]) -> None:
    one, same = said(capsys, "--seed", "3"), said(capsys, "--seed", "3")
    assert one == same != said(capsys, "--seed", "4")


def test_the_table_has_a_row_for_each_tier_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, *rows = said(capsys, "--mix", "50/20/10").split("\n\n")[1].splitlines()
    head, *_ = said(capsys).split("\n\n")[1].splitlines()
    assert re.split(r"\s{2,}", head) == [
        *("tier", "demand", "jobs", "served", "refused"),
        *("p50 h", "p95 h", "max h", "waiting", "oldest h", "capacity"),
    ]
    assert [row.split()[:2] for row in rows] == [
        ["premium", "20%"],
        ["free", "10%"],
        ["all", "80%"],
    ]
    assert len({len(row) for row in rows}) == 1


def test_data_holds_the_same_figures_as_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = msgspec.json.decode(said(capsys, "--json"), type=Report)
    assert table(found) == said(capsys)
    assert [row.tier for row in found.rows] == ["enterprise", "premium", "free"]


def row(**fields: float | None) -> Row:
    plain = {
        "demand": 0.5,
        "jobs": 9,
        "served": 8,
        "refused": 0,
        "waiting": 1,
        "wait_p50_hours": 0.1,
        "wait_p95_hours": 0.2,
        "wait_max_hours": 0.3,
        "oldest_hours": 0.0,
        "silent_hours": 0.0,
        "capacity": 0.5,
        "may_run": 10,
    }
    return msgspec.convert({"tier": "free"} | plain | fields, type=Row)


def meaning(one: Row, *, admission: bool = True) -> str:
    found = Report(
        slots=10,
        minutes=6,
        days=21,
        tenants=3,
        seed=1,
        guard_every=0,
        limits=True,
        admission=admission,
        longest_wait_hours=24,
        rows=(one,),
    )
    return "\n".join(remarks(found))


def test_the_remarks_say_what_the_figures_mean() -> None:
    assert "there is time for all of it" in meaning(row())
    assert len(meaning(row()).splitlines()) == 2
    assert "waits longer from day to day" in meaning(row(demand=1.0))
    assert "free starves: nothing of it began in the last 30 hours" in meaning(row(silent_hours=30))
    assert "more than the 4 slots" in meaning(row(may_run=4))


def test_a_wait_past_what_admission_aims_at_is_said_only_of_admission() -> None:
    for late in (row(wait_max_hours=25), row(oldest_hours=25)):
        assert "free waits up to 25 hours, past the 24" in meaning(late)
        assert "past the 24" not in meaning(late, admission=False)


def test_a_tier_that_nobody_brought_has_no_waits(capsys: pytest.CaptureFixture[str]) -> None:
    *_, free, _ = said(capsys, "--mix", "50/20/0").split("\n\n")[1].splitlines()
    assert free.split() == ["free", "0%", "0", "0", "0", "-", "-", "-", "0", "-", "0.0%"]
