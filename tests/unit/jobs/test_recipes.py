"""Recipes name what the steps really use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from services.jobs.flows import FLOWS, MEDIA, MEDIA_STEPS
from services.jobs.recipes import RECIPES

STEPS = Path(__file__).parents[3] / "services" / "jobs" / "steps"


def test_every_media_step_has_a_recipe_and_nothing_else_has() -> None:
    assert set(RECIPES) == set(MEDIA_STEPS)


@pytest.mark.parametrize("step", RECIPES)
def test_a_recipe_names_the_parameters_that_the_step_reads(step: str) -> None:
    tree = ast.parse((STEPS / f"{step}.py").read_text("utf-8"))
    assert parameters(tree) == set(RECIPES[step].params)


@pytest.mark.parametrize("step", RECIPES)
def test_a_step_needs_only_earlier_media_steps_of_its_flow(step: str) -> None:
    [flow] = [steps for steps in FLOWS.values() if step in {each.name for each in steps}]
    media = [each.name for each in flow if each.pool == MEDIA]
    assert set(RECIPES[step].needs) <= set(media[: media.index(step)])


def parameters(tree: ast.AST) -> set[str]:
    """The names in ``….params["name"]`` and ``….params.get("name")``."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Attribute(attr="params"), slice=ast.Constant(value=str(name))
            ):
                found.add(name)
            case ast.Call(
                func=ast.Attribute(attr="get", value=ast.Attribute(attr="params")),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.add(name)
    return found


def test_reading_a_parameter_is_seen() -> None:
    text = "a = task.params['one']\nb = self._task.params.get('two', 3)"
    assert parameters(ast.parse(text)) == {"one", "two"}
