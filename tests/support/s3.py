"""Which S3 the tests use: ``TEST_S3_URL``, or moto's server, started once a session.

``TEST_S3_URL`` is what ``REELWAY_BLOBS_URL`` would be: a bucket that exists, its credentials in
``AWS_…``. Every test has a prefix of its own in it.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import botocore.session
import pytest
from botocore.config import Config

from shared.blobs.s3 import bucket_of
from tests.support.processes import Process, free_port

BUCKET = "archive"
_LOCAL = "http://127.0.0.1"
_session = ExitStack()
atexit.register(_session.close)


@functools.cache
def server() -> str:
    """The URL of this session's bucket."""
    if url := os.environ.get("TEST_S3_URL"):
        return url
    endpoint = _session.enter_context(moto())
    return f"s3://{BUCKET}?endpoint={endpoint}&region=eu-central-1"


@contextmanager
def moto() -> Iterator[str]:
    """A running moto with an empty bucket, gone with the block; answers its address."""
    with tempfile.TemporaryDirectory(prefix="rw-moto-") as folder:
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "LANG": "C.UTF-8"}
        process = Process(command, environment, Path(folder) / "moto.log")
        try:
            process.until(lambda: _answers(f"{_LOCAL}:{port}/moto-api/"))
            ask(f"{_LOCAL}:{port}/{BUCKET}", "PUT", _LOCATION)
            yield f"{_LOCAL}:{port}"
        finally:
            process.end()


def fresh_url(environment: pytest.MonkeyPatch) -> str:
    """The URL of a prefix of the bucket that nobody else has; its credentials are set."""
    parts = urlsplit(server())
    if not os.environ.get("TEST_S3_URL"):
        environment.setenv("AWS_ACCESS_KEY_ID", "reelway")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    return urlunsplit(parts._replace(path=f"{parts.path}/{uuid4().hex}"))


def ask(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """A bare request, as moto takes it without a signature."""
    request = urllib.request.Request(url, method=method, data=body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def _answers(url: str) -> bool:
    try:
        ask(url)
    except OSError:
        return False
    return True


_LOCATION = (
    b"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>"
    b"</CreateBucketConfiguration>"
)


class Beside:
    """Looks into the bucket past Reelway."""

    def __init__(self, url: str) -> None:
        self._bucket = bucket_of(url)
        self._client = botocore.session.get_session().create_client(
            "s3",
            region_name=self._bucket.region,
            endpoint_url=self._bucket.endpoint or None,
            config=Config(s3={"addressing_style": "path"}),
        )

    async def unfinished(self) -> list[str]:
        """The keys of uploads in parts that are neither complete nor given up."""
        answer = await asyncio.to_thread(
            self._client.list_multipart_uploads, Bucket=self._bucket.name
        )
        keys = [str(each["Key"]) for each in answer.get("Uploads", ())]
        return [key for key in keys if key.startswith(f"{self._bucket.prefix}/")]
