"""What a wheel holds: the two packages with everything they read, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from services.settings_example import ALL
from shared.settings import SERVICES

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".lua", ".html", ".js", ".css", ".json", ".typed", ""}
"""What belongs into the packages; the last are LICENSE and NOTICE of what is vendored."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return archive


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def in_the_tree() -> set[str]:
    return {
        file.relative_to(ROOT).as_posix()
        for package in ("shared", "services")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_a_wheel_holds_every_file_of_the_two_packages_and_no_other(names: set[str]) -> None:
    assert names == in_the_tree()


def test_what_is_read_at_run_time_is_in_the_wheel(names: set[str]) -> None:
    for needed in (
        "shared/py.typed",
        "services/py.typed",
        "services/gateway/openapi.json",
        "services/gateway/web/docs.html",
        "services/gateway/web/docs.js",
        "services/gateway/web/vendor/swagger-ui/swagger-ui.css",
        "services/gateway/web/vendor/swagger-ui/LICENSE",
        "services/gateway/web/vendor/tus-js-client/tus.min.js",
        "services/gateway/web/vendor/tus-js-client/LICENSE",
        "shared/store/lua/commit.lua",
        "shared/work/lua/claim.lua",
        "shared/work/lua/include/prelude.lua",
    ):
        assert needed in names


def test_no_test_and_no_leftover_is_in_the_wheel(names: set[str]) -> None:
    assert {PurePosixPath(name).suffix for name in names} <= SUFFIXES
    assert {name.split("/", 1)[0] for name in names} == {"shared", "services"}
    assert not [name for name in names if "test" in PurePosixPath(name).name]


def test_every_folder_with_code_is_a_package(names: set[str]) -> None:
    folders = {str(PurePosixPath(name).parent) for name in names if name.endswith(".py")}
    assert {f"{folder}/__init__.py" for folder in folders} <= names


def test_the_licence_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_command_names_a_function_that_is_there() -> None:
    assert project()["project"]["scripts"] == {"reelway": "services.__main__:main"}


def test_every_service_is_hosted_and_known_to_the_settings() -> None:
    assert sorted(service.name for service in ALL) == sorted(SERVICES)


LOCKS = {"requirements.lock": "dev", "requirements-bench.lock": "bench"}


def pinned(lock: str) -> set[str]:
    text = (ROOT / lock).read_text("utf-8")
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==", text, re.MULTILINE))


def names_of(requirements: Sequence[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower() for each in requirements}


@pytest.mark.parametrize(("lock", "group"), LOCKS.items())
def test_what_is_declared_is_pinned(lock: str, group: str) -> None:
    assert names_of(project()["dependency-groups"][group]) <= pinned(lock)


def test_what_the_product_needs_is_pinned() -> None:
    assert names_of(project()["project"]["dependencies"]) <= pinned("requirements.lock")


def test_what_it_is_measured_against_is_not_installed_with_it() -> None:
    rivals = names_of(project()["dependency-groups"]["bench"]) - {"hiredis"}  # what both have
    assert rivals.isdisjoint(pinned("requirements.lock"))


@pytest.mark.parametrize("name", LOCKS)
def test_everything_pinned_has_hashes(name: str) -> None:
    lock = (ROOT / name).read_text("utf-8")
    pins = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert [pin.split(" ", 1)[0] for pin in pins if "--hash=sha256:" not in pin] == []


@pytest.mark.parametrize("name", ["setup.sh", "setup-browser.sh"])
def test_the_set_up_is_plain_shell(name: str) -> None:
    script = ROOT / "deploy" / name
    checked = subprocess.run(("sh", "-n", str(script)), capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert not re.search(r"\[\[|\bfunction \w|\blocal \w|<<<|\$'|\bsource ", text)
