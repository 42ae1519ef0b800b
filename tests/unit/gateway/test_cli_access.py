from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.cli.access import DEFAULT_URL, access
from services.gateway.cli.failures import CommandFailed, Misused

KEY = "rw_" + "a" * 12 + "_" + "b" * 43


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder after the first start."""
    (tmp_path / "default.key").write_text(f"{KEY}\n")
    return tmp_path


def test_the_key_of_the_first_start_is_found_in_the_data_folder(data: Path) -> None:
    found = access("", "", {"REELWAY_DATA_DIR": str(data)}, is_admin=False)
    assert (found.url, found.key) == (DEFAULT_URL, KEY)
    assert str(data) in found.origin


def test_what_is_said_counts_more_than_the_environment_and_that_more_than_the_folder(
    data: Path, tmp_path: Path
) -> None:
    environ = {
        "REELWAY_DATA_DIR": str(data),
        "REELWAY_API_KEY": "env",
        "REELWAY_URL": "http://e:1/",
    }
    found = access("", "", environ, is_admin=False)
    assert (found.url, found.key, found.origin) == (
        "http://e:1",
        "env",
        "the key in REELWAY_API_KEY",
    )
    (tmp_path / "own.key").write_text("own")
    found = access("https://o:2", str(tmp_path / "own.key"), environ, is_admin=False)
    assert (found.url, found.key) == ("https://o:2", "own")


def test_the_key_of_the_first_start_is_not_sent_to_another_machine(data: Path) -> None:
    environ = {"REELWAY_DATA_DIR": str(data)}
    with pytest.raises(CommandFailed, match="REELWAY_API_KEY"):
        access("http://archive.example", "", environ, is_admin=False)


def test_operators_need_the_admin_key_and_no_other(data: Path) -> None:
    environ = {"REELWAY_DATA_DIR": str(data), "REELWAY_API_KEY": "env"}
    with pytest.raises(CommandFailed, match="REELWAY_GATEWAY_ADMIN_KEY"):
        access("", "", environ, is_admin=True)
    found = access("", "", {**environ, "REELWAY_GATEWAY_ADMIN_KEY": "admin"}, is_admin=True)
    assert found.key == "admin"


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "//x", "http:/x"])
def test_an_address_that_is_none_is_misuse(url: str) -> None:
    with pytest.raises(Misused, match="no address"):
        access(url, "", {"REELWAY_API_KEY": "env"}, is_admin=False)


def test_a_key_file_that_is_not_there_or_holds_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        access("", str(tmp_path / "none"), {}, is_admin=False)
    for text in ("", "two\nlines", "schl\u00fcssel"):
        (tmp_path / "odd").write_text(text)
        with pytest.raises(CommandFailed, match="there is no key in"):
            access("", str(tmp_path / "odd"), {}, is_admin=False)
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandFailed, match="no text"):
        access("", str(tmp_path / "odd"), {}, is_admin=False)


def test_without_any_key_it_says_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="REELWAY_API_KEY or --key-file"):
        access("", "", {"REELWAY_DATA_DIR": str(tmp_path)}, is_admin=False)
