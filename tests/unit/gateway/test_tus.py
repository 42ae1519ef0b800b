"""What the headers of resumable uploads say."""

from __future__ import annotations

import base64
import hashlib

import pytest

from services.gateway import tus
from services.gateway.tus import Headers
from shared.errors import Invalid, UnsupportedMedia
from shared.http.errors import PreconditionFailed
from shared.ids import derived_id

A, B = derived_id("a"), derived_id("b")


@pytest.mark.parametrize("given", [{}, {"Tus-Resumable": "0.2.2"}, {"Tus-Resumable": "1"}])
def test_another_version_is_not_spoken(given: Headers) -> None:
    with pytest.raises(PreconditionFailed):
        tus.check_version(given)
    tus.check_version({"Tus-Resumable": "1.0.0"})


def test_bytes_come_as_one_type() -> None:
    with pytest.raises(UnsupportedMedia):
        tus.check_type("application/octet-stream")
    tus.check_type("application/offset+octet-stream")


@pytest.mark.parametrize("given", ["-1", "1.5", "", " 1", "0x1", "1" * 19, "\u0661"])
def test_a_number_of_bytes_is_decimal(given: str) -> None:
    with pytest.raises(Invalid):
        tus.number({"Upload-Offset": given}, "Upload-Offset")


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({"Upload-Length": "0"}, 0),
        ({"Upload-Length": "734003200"}, 734_003_200),
        ({"Upload-Defer-Length": "1"}, None),
    ],
)
def test_a_length_is_told_now_or_later(given: Headers, length: int | None) -> None:
    assert tus.length_of(given) == length


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Upload-Defer-Length": "2"},
        {"Upload-Defer-Length": "0"},
        {"Upload-Defer-Length": "1", "Upload-Length": "5"},
    ],
)
def test_a_length_that_is_neither_is_refused(given: Headers) -> None:
    with pytest.raises(Invalid):
        tus.length_of(given)


def coded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", {}),
        (f"filename {coded('Ünï 🎬.mp4'.encode())}", {"filename": "Ünï 🎬.mp4"}),
        (f"a {coded(b'1')},b {coded(b'2')}", {"a": "1", "b": "2"}),
        (f"a {coded(b'1')}, is_private", {"a": "1", "is_private": ""}),
        (f"odd {coded(bytes([255]))}", {"odd": "\ufffd"}),
    ],
)
def test_metadata_are_names_and_values(given: str, found: dict[str, str]) -> None:
    assert tus.metadata_of({"Upload-Metadata": given}) == found


@pytest.mark.parametrize(
    "given",
    [
        f"a {coded(b'1')},a {coded(b'2')}",
        "a !!!",
        "a YQ",
        "ä YQ==",
        f" {coded(b'1')}x y",
        "a b c",
    ],
)
def test_metadata_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(Invalid):
        tus.metadata_of({"Upload-Metadata": given})


def test_a_checksum_names_its_algorithm() -> None:
    digest = hashlib.sha256(b"video").digest()
    given = {"Upload-Checksum": f"sha256 {coded(digest)}"}
    assert tus.checksum_of(given) == ("sha256", digest)
    assert tus.checksum_of({}) is None


@pytest.mark.parametrize("given", ["md5 YQ==", "sha1", "sha1 YQ==", "sha1 !", "", "sha512 YQ=="])
def test_a_checksum_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(Invalid):
        tus.checksum_of({"Upload-Checksum": given})


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (None, None),
        ("partial", None),
        (f"final;/v1/uploads/{A}", (A,)),
        (f"final;/v1/uploads/{A} https://here.example/v1/uploads/{B}", (A, B)),
    ],
)
def test_an_upload_may_be_a_part_or_consist_of_parts(
    given: str | None, parts: tuple[str, ...] | None
) -> None:
    assert tus.parts_of({"Upload-Concat": given} if given else {}) == parts


@pytest.mark.parametrize(
    "given",
    [
        "final",
        "final;",
        "final; ",
        "whole",
        "partial;/v1/uploads/x",
        "final;/v1/uploads/..",
        f"final;/v1/videos/{A}",
        f"final;/v1/uploads/{A}/../{B}",
        "final;" + f"/v1/uploads/{A} " * 1001,
    ],
)
def test_parts_that_are_no_uploads_are_refused(given: str) -> None:
    with pytest.raises(Invalid):
        tus.parts_of({"Upload-Concat": given})
