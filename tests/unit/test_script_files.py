from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shared.store.scripts import read_scripts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "package_of_lua" / "lua" / "include").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "package_of_lua" / "lua"


def texts(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (folder / f"{name.replace('__', '/')}.lua").write_text(text)
    return {name: script.text for name, script in read_scripts("package_of_lua", "lua").items()}


def test_every_lua_file_is_a_script_and_parts_are_none(folder: Path) -> None:
    (folder / "notes.md").write_text("not a script")
    assert texts(folder, claim="return 1", include__prelude="local a") == {"claim": "return 1"}


def test_named_parts_come_first_in_the_order_given(folder: Path) -> None:
    found = texts(
        folder,
        include__one="local one",
        include__two="local two",
        claim="-- include: two one\nreturn 1",
    )
    assert found["claim"] == "local two\nlocal one\n-- include: two one\nreturn 1"


def test_a_part_that_several_name_comes_once_before_all_of_them(folder: Path) -> None:
    found = texts(
        folder,
        include__base="local base",
        include__a="-- include: base\nlocal a",
        include__b="-- include: base a\nlocal b",
        claim="-- include: a b\nreturn 1",
    )
    words = [line for line in found["claim"].splitlines() if not line.startswith("--")]
    assert words == ["local base", "local a", "local b", "return 1"]


def test_only_the_first_line_includes(folder: Path) -> None:
    found = texts(folder, include__a="local a", claim="-- a claim\n-- include: a\nreturn 1")
    assert "local a" not in found["claim"]


def test_a_part_that_is_missing_is_said_at_once(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        texts(folder, claim="-- include: missing\nreturn 1")


def test_the_name_on_the_server_is_the_sha1_of_the_whole_text(folder: Path) -> None:
    (folder / "claim.lua").write_text("return 'ü'", encoding="utf-8")
    script = read_scripts("package_of_lua", "lua")["claim"]
    expected = hashlib.sha1("return 'ü'".encode(), usedforsecurity=False).hexdigest()
    assert script.sha1 == expected
