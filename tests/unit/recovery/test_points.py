"""Points are read from the code."""

from __future__ import annotations

import pytest

from tests.support.points import all_points, points, product, scripts


def test_a_point_is_whatever_is_passed_through() -> None:
    source = 'await through("blob:put", act)\nawait faults.through("bus:publish", act)'
    assert points({"a.py": source}, []) == ["blob:put", "bus:publish"]


def test_scripts_are_points_by_their_files() -> None:
    source = 'await through(f"script:{name}", act)'
    assert points({"a.py": source}, ["claim", "reap"]) == ["script:claim", "script:reap"]


@pytest.mark.parametrize("name", ["name", 'f"other:{name}"', '"a" + name'])
def test_a_point_whose_name_cannot_be_read_is_said(name: str) -> None:
    with pytest.raises(ValueError, match=r"a.py:1: .* names no point"):
        points({"a.py": f"through({name}, act)"}, [])


def test_other_calls_are_no_points() -> None:
    assert points({"a.py": 'walk("blob:put")\nthrough = 1'}, []) == []


def test_the_product_has_a_point_for_each_script_and_for_each_way_out() -> None:
    found = set(all_points())
    assert {f"script:{name}" for name in scripts()} < found
    assert {"claim", "reap", "commit", "lease_hold"} < set(scripts())
    assert {
        "blob:put",
        "bus:publish",
        "child:result",
        "child:start",
        "consumer:handle",
        "consumer:settle",
        "relay:publish",
        "step:checkpoint",
    } < found


def test_no_product_source_installs_faults() -> None:
    named = [path for path, text in product().items() if "shared.faults import" in text]
    assert len(named) >= 6
    assert [path for path in named if "installed" in product()[path]] == []
