"""Folders of libraries: which may be set, and that nothing outside of them is ever reached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.blobs.beneath import entries, opened
from shared.blobs.library import FileMissing, library_location, located
from shared.blobs.roots import MARKER, Marker, Root, read_marker, read_roots, roots_of, write_marker
from shared.settings import HostSettings, SettingsError
from shared.tenancy import tenant_id

ACME = tenant_id("acme")
LIBRARY = "5d2f4c1e-8f6e-5a0b-9f1f-0c6a3c1d7e21"


def test_several_folders_of_several_tenants(tmp_path: Path) -> None:
    given = (f"acme={tmp_path}/a", f"acme={tmp_path}/b/", f"other={tmp_path}/with=equals")
    assert read_roots(given) == (
        Root(ACME, f"{tmp_path}/a"),
        Root(ACME, f"{tmp_path}/b"),
        Root(tenant_id("other"), f"{tmp_path}/with=equals"),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("/films",), "allowed: tenant=/absolute/folder"),
        (("acme=films",), "allowed: tenant=/absolute/folder"),
        (("acme=/",), "allowed: tenant=/absolute/folder"),
        (("acme=",), "allowed: tenant=/absolute/folder"),
        (("Not A Tenant=/films",), "is no tenant name"),
        (("acme=/films", "acme=/films"), "overlap"),
        (("acme=/films", "other=/films"), "overlap"),
        (("acme=/films", "acme=/films/new"), "overlap"),
        (("acme=/films/new", "other=/films/../films"), "overlap"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_start(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        read_roots(given)
    assert "\n" not in caught.value.detail


def test_folders_that_overlap_by_way_of_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    with pytest.raises(SettingsError, match="overlap"):
        read_roots((f"acme={tmp_path}/films", f"other={tmp_path}/link"))


def test_where_reelway_keeps_its_own_there_is_no_library(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "data/blobs"):
        settings = HostSettings(data_dir=str(tmp_path / "data"), library_dirs=(f"acme={place}",))
        with pytest.raises(SettingsError, match="keeps its own files"):
            roots_of(settings)
    settings = HostSettings(
        data_dir=str(tmp_path / "data"),
        blobs_url=(tmp_path / "blobs").as_uri(),
        library_dirs=(f"acme={tmp_path}/blobs",),
    )
    with pytest.raises(SettingsError, match="keeps its own files"):
        roots_of(settings)


def test_a_marker_is_written_once(tmp_path: Path) -> None:
    place, mine = str(tmp_path), Marker(library=LIBRARY, tenant="acme")
    assert read_marker(place) is None
    assert write_marker(place, mine) == mine
    assert write_marker(place, Marker(library=LIBRARY, tenant="other")) == mine
    with pytest.raises(FileNotFoundError):
        read_marker(f"{place}/nowhere")
    (tmp_path / MARKER).write_bytes(b"\xff")
    with pytest.raises(ValueError, match="says nothing"):
        read_marker(place)
    (tmp_path / MARKER).unlink()
    (tmp_path / MARKER).symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="no plain file"):
        read_marker(place)


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "a/../../secret",
        "/etc/hostname",
        "a//b",
        ".",
        "a/.",
        "a\0b",
        "link",
        "folder/x",
    ],
)
def test_nothing_outside_is_reached(tmp_path: Path, path: str) -> None:
    root = tmp_path / "films"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=r".+"), opened(str(root), path):
        pass


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no plain file"), opened(str(tmp_path), "pipe"):
        pass


def test_a_failed_look_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for _ in range(20):
        with pytest.raises(FileNotFoundError), opened(str(tmp_path), "a/none"):
            pass
        assert entries(str(tmp_path), "a") == []
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def test_a_location_says_whose_file_it_is() -> None:
    location = library_location(ACME, LIBRARY, "f1")
    assert located(location) == (ACME, LIBRARY, "f1")
    for wrong in ("acme/files/f1/original", "library:acme/x", f"{location}/../x"):
        with pytest.raises(FileMissing):
            located(wrong)
