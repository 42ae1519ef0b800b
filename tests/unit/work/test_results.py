"""What the key of a result follows from, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from services.jobs.recipes import RECIPES
from shared.contracts.records import Job, StepOutput, StepStatus
from shared.work.results import Place, Recipe, is_forced, place_of, source_of

SOURCE, OTHER = "a" * 64, "b" * 64
PARAMS = {
    "sha256": SOURCE,
    "location": "acme/files/f1/original",
    "duration": 12.5,
    "upload_id": "u1",
    "name": "a.mp4",
    "size": 7,
    "layout": {"y0": 0.8, "y1": 0.9},
    "chunk": 600,
    "sure_at": 0.9,
}
AFTER = {
    "probe": set[str](),
    "poster": set[str](),
    "frames": {"read_frames", "layout"},
    "read_frames": {"layout"},
    "layout": set[str](),
    "crop": {"extents", "read_captions"},
    "extents": {"read_captions"},
    "read_captions": set[str](),
}


def job(params: Mapping[str, Any] = PARAMS, forced: str = "") -> Job:
    return Job(
        id="j1",
        tenant="acme",
        flow="f",
        subject="v1",
        pool="media",
        state="running",
        base=50,
        waiting_since=1,
        created_at=1,
        updated_at=1,
        params=dict(params),
        steps=tuple(StepStatus(name=name, pool="media") for name in RECIPES),
        forced=forced,
    )


def keys(
    params: Mapping[str, Any] = PARAMS, recipes: Mapping[str, Recipe] = RECIPES
) -> dict[str, str]:
    """The keys of all steps, one made from the other in the order of the flow."""
    outputs: dict[str, StepOutput] = {}
    for step, recipe in recipes.items():
        place = place_of(job(params), step, recipe, outputs)
        assert place is not None
        outputs[step] = StepOutput(key=place.key)
    return {step: output.key for step, output in outputs.items()}


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {step for step in one if one[step] != other[step]}


def test_the_same_request_has_the_same_keys_whatever_the_order_of_its_parameters() -> None:
    again = {name: PARAMS[name] for name in reversed(PARAMS)}
    again["layout"] = {"y1": 0.9, "y0": 0.8}
    assert keys(again) == keys()
    assert len(set(keys().values())) == len(RECIPES)


def test_other_bytes_have_other_keys_everywhere() -> None:
    assert changed(keys(), keys({**PARAMS, "sha256": OTHER})) == set(RECIPES)


@pytest.mark.parametrize("name", ["location", "duration", "upload_id", "name", "size"])
def test_names_and_ids_change_no_key(name: str) -> None:
    assert keys({**PARAMS, name: "other"}) == keys()
    assert keys({each: PARAMS[each] for each in PARAMS if each != name}) == keys()


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("sure_at", 0.8, "layout"),
        ("layout", {"y0": 0.7, "y1": 0.9}, "crop"),
        ("chunk", 300, "crop"),
    ],
)
def test_a_parameter_changes_its_step_and_what_lies_downstream(
    name: str, value: object, step: str
) -> None:
    assert changed(keys(), keys({**PARAMS, name: value})) == {step, *AFTER[step]}
    without = {each: PARAMS[each] for each in PARAMS if each != name}
    assert changed(keys(), keys(without)) == {step, *AFTER[step]}


@pytest.mark.parametrize("step", RECIPES)
def test_a_new_version_changes_its_step_and_what_lies_downstream(step: str) -> None:
    newer = {**RECIPES, step: msgspec.structs.replace(RECIPES[step], version="next")}
    assert changed(keys(), keys(recipes=newer)) == {step, *AFTER[step]}


def test_what_was_made_of_another_result_is_another_result() -> None:
    made = {"frames": StepOutput(key="made by an older version")}
    place = place_of(job(), "read_frames", RECIPES["read_frames"], made)
    assert place
    assert place.key != keys()["read_frames"]


@pytest.mark.parametrize(
    "outputs", [{}, {"frames": StepOutput()}, {"poster": StepOutput(key="x")}], ids=str
)
def test_a_step_whose_inputs_have_no_key_has_none(outputs: dict[str, StepOutput]) -> None:
    assert place_of(job(), "read_frames", RECIPES["read_frames"], outputs) is None


@pytest.mark.parametrize("told", ["", "00", "A" * 64, "../../" + "a" * 58, None])
def test_a_source_that_is_no_digest_is_none(told: object) -> None:
    assert source_of({"sha256": told}, {}) == ""
    assert place_of(job({"sha256": told}), "probe", RECIPES["probe"], {}) is None


def test_the_source_is_what_was_stored_before_what_was_said() -> None:
    stored = {"store": StepOutput(result={"sha256": OTHER})}
    assert source_of(PARAMS, stored) == OTHER
    place = place_of(job(), "probe", RECIPES["probe"], stored)
    assert place == Place(OTHER, keys({"sha256": OTHER})["probe"])


@pytest.mark.parametrize(
    ("forced", "anew"),
    [
        ("", set[str]()),
        ("poster", set(RECIPES) - {"probe"}),
        ("read_captions", {"read_captions"}),
        ("no such step", set[str]()),
    ],
)
def test_what_a_person_wants_anew_is_that_step_and_all_later_ones(
    forced: str, anew: set[str]
) -> None:
    assert {step for step in RECIPES if is_forced(job(forced=forced), step)} == anew
