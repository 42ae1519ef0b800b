"""Tenants from the command line: their quotas."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from services.gateway.admin import run_command, size

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1k", 1024),
        ("2MB", 2 << 20),
        ("500G", 500 << 30),
        ("1.5TiB", 3 << 39),
    ],
)
def test_a_size_is_written_as_people_write_it(text: str, is_: int) -> None:
    assert size(text) == is_


@pytest.mark.parametrize("text", ["", "much", "-1", "1Q", "1e9", "G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no size"):
        size(text)


def test_a_quota_can_be_set_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        monkeypatch.setenv("REELWAY_DATA_DIR", str(tmp_path))  # it leaves the environment each time
        assert run_command(["tenant", *words]) == 0
        return capsys.readouterr().out

    said("create", "acme", "--max-bytes", "1G")
    assert "1073741824 bytes" in said("list")
    assert "premium" in said("change", "acme", "--tier", "premium")
    assert "1073741824 bytes" in said("list")
    assert "any number of bytes" in said("change", "acme", "--max-bytes", "0")


def test_a_tenant_that_is_not_there_cannot_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REELWAY_DATA_DIR", str(tmp_path))
    assert run_command(["tenant", "change", "nobody", "--tier", "free"]) == 1
    assert "no tenant nobody" in capsys.readouterr().err
