"""Which bucket a URL and the usual variables mean, and what is wrong with those that mean none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.blobs.remote import LEAST_PART, MOST_PARTS, Patience, part_bytes
from shared.blobs.s3 import Bucket, bucket_of
from shared.blobs.store import open_blobs
from shared.settings import SettingsError

MINIO = "http://minio:9000"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("s3://archive", {}, Bucket("archive")),
        ("s3a://archive/", {}, Bucket("archive")),
        ("s3://archive/a/b/", {}, Bucket("archive", "a/b")),
        ("s3://archive/%C3%BC", {}, Bucket("archive", "ü")),
        ("s3://archive", {"AWS_DEFAULT_REGION": "r1"}, Bucket("archive", region="r1")),
        ("s3://archive?region=r2", {"AWS_REGION": "r1"}, Bucket("archive", region="r2")),
        (
            "s3://archive",
            {"AWS_ENDPOINT_URL": MINIO, "AWS_ENDPOINT_URL_S3": "https://s3.example"},
            Bucket("archive", endpoint="https://s3.example", public="https://s3.example"),
        ),
        (
            f"s3://archive?endpoint={MINIO}/&public=https://s3.example",
            {"AWS_ENDPOINT_URL": "https://other.example"},
            Bucket("archive", endpoint=MINIO, public="https://s3.example"),
        ),
        ("s3://archive?style=virtual", {}, Bucket("archive", is_virtual=True)),
    ],
)
def test_a_bucket_is_what_its_url_says(url: str, environ: dict[str, str], expected: Bucket) -> None:
    assert bucket_of(url, environ) == expected


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "no name of a bucket"),
        ("s3://UPPER", "no name of a bucket"),
        ("s3://key:secret@archive", "AWS_SECRET_ACCESS_KEY"),
        ("s3://archive?secret_access_key=topsecret", "is no option"),
        ("s3://archive?endpoint=minio:9000", "no address like http://minio:9000"),
        ("s3://archive?endpoint=http://minio:9000/archive", "more than a host and a port"),
        ("s3://archive?style=host", "neither path nor virtual"),
        ("s3://archive?style=virtual&endpoint=http://127.0.0.1:1", "a name, not a number"),
        ("s3://archive/a/../b", "no prefix of keys"),
    ],
)
def test_a_url_that_means_no_bucket_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        bucket_of(url, {})
    assert "REELWAY_BLOBS_URL=" in caught.value.detail
    assert "\n" not in caught.value.detail
    assert "topsecret" not in caught.value.detail
    assert "key:secret" not in caught.value.detail


@pytest.mark.parametrize("url", ["ftp://host/x", "archive", "/var/blobs"])
def test_what_names_no_store_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="REELWAY_BLOBS_URL=") as caught:
        open_blobs(url)
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("at_most", [0, 1, 50 * 1024**3, 5 * 1024**4])
def test_an_upload_of_any_size_has_few_enough_parts(at_most: int) -> None:
    size = part_bytes(at_most)
    assert size >= LEAST_PART
    assert -(-at_most // size) <= MOST_PARTS


@pytest.mark.parametrize(("style", "host"), [("path", "minio"), ("virtual", "archive.minio")])
def test_a_bucket_is_named_in_the_path_or_in_the_host(style: str, host: str) -> None:
    bucket = bucket_of(f"s3://archive/pre?endpoint={MINIO}&style={style}", {})
    config: Any = bucket.store(Patience()).config
    assert config["endpoint_url_s3"] == f"http://{host}:9000"
