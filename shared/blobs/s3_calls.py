"""What S3 can do beyond obstore: addresses to hand out, uploads in parts, copies of large objects.

The calls are botocore's, which signs them as AWS says; each runs in a thread and has the same
deadlines and repetitions as everything else that is asked of the store.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from botocore.config import Config

from shared.blobs.failures import translated
from shared.blobs.remote import MOST_PARTS, Patience
from shared.blobs.s3 import Bucket

T = TypeVar("T")
COPY_BYTES: Final = 256 * 1024 * 1024
"""Larger objects are copied in parts of this size: S3 copies at most 5 GiB in one request, and a
request has a deadline."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_COPIES_AT_A_TIME: Final = 4


class Part(NamedTuple):
    """A part that has arrived: its number from 1 on, its entity tag, its size in bytes."""

    number: int
    etag: str
    size: int


class S3Calls:
    """Calls to one bucket. Keys are ours; the bucket's prefix is added here."""

    def __init__(
        self, bucket: Bucket, patience: Patience | None = None, copy_bytes: int = COPY_BYTES
    ) -> None:
        self._bucket = bucket
        self._patience = patience or Patience()
        self._copy_bytes = copy_bytes
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    async def address(
        self, key: str, seconds: int, method: str = "GET", shown: Mapping[str, str] = NOTHING
    ) -> str:
        """Where anybody may GET (or HEAD) the blob for so long; ``shown`` are headers of the answer
        by their names: Content-Type, Content-Disposition, Cache-Control.
        """
        asked = {f"Response{name.replace('-', '')}": value for name, value in shown.items()}
        call = "head_object" if method == "HEAD" else "get_object"
        return await self._signed(key, call, {**self._named(key), **asked}, seconds)

    async def begin(self, key: str) -> str:
        """Begin an upload in parts; answers the store's name for it."""
        answer = await self._call(key, "create_multipart_upload", **self._named(key))
        return str(answer["UploadId"])

    async def part_address(self, key: str, upload: str, part: tuple[int, int], seconds: int) -> str:
        """Where a part, by its number and size, may be PUT for so long. The size is signed: neither
        more nor fewer bytes are taken.
        """
        number, size = part
        named: dict[str, Any] = {**self._named(key), "UploadId": upload}
        named |= {"PartNumber": number, "ContentLength": size}
        return await self._signed(key, "upload_part", named, seconds)

    async def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that have arrived, in order; :class:`NotFound` when the upload has gone."""
        found: list[Part] = []
        named: dict[str, Any] = {**self._named(key), "UploadId": upload}
        while True:
            answer = await self._call(key, "list_parts", **named)
            found += [
                Part(int(each["PartNumber"]), str(each["ETag"]), int(each["Size"]))
                for each in answer.get("Parts", ())
            ]
            if not answer.get("IsTruncated"):
                return found
            named["PartNumberMarker"] = answer["NextPartNumberMarker"]

    async def finish(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make the parts, by number and entity tag in their order, one blob."""
        named = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        await self._call(
            key,
            "complete_multipart_upload",
            **self._named(key),
            UploadId=upload,
            MultipartUpload={"Parts": named},
        )

    async def give_up(self, key: str, upload: str) -> None:
        """Remove an upload and its parts; :class:`NotFound` when it has gone."""
        await self._call(key, "abort_multipart_upload", **self._named(key), UploadId=upload)

    def is_large(self, size: int) -> bool:
        """Whether a blob of so many bytes is copied in parts."""
        return size > self._copy_bytes

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy a large blob inside the store, whole or not at all."""
        upload = await self.begin(target)
        try:
            parts = await self._copied(source, target, upload, size)
            await self.finish(target, upload, parts)
        except BaseException:
            await asyncio.shield(self.give_up(target, upload))
            raise

    async def _copied(
        self, source: str, target: str, upload: str, size: int
    ) -> list[tuple[int, str]]:
        step = max(self._copy_bytes, -(-size // MOST_PARTS))
        gate = asyncio.Semaphore(_COPIES_AT_A_TIME)

        async def copy(number: int, start: int) -> tuple[int, str]:
            async with gate:
                answer = await self._call(
                    source,
                    "upload_part_copy",
                    **self._named(target),
                    UploadId=upload,
                    PartNumber=number,
                    CopySource=self._named(source),
                    CopySourceRange=f"bytes={start}-{min(start + step, size) - 1}",
                )
            return number, str(answer["CopyPartResult"]["ETag"])

        starts = enumerate(range(0, size, step), 1)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(copy(number, start)) for number, start in starts]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    async def _call(self, key: str, name: str, **named: Any) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            return getattr(self._client(self._bucket.endpoint), name)(**named)  # type: ignore[no-any-return]

        return await self._in_thread(key, call)

    async def _signed(self, key: str, name: str, named: Mapping[str, Any], seconds: int) -> str:
        def sign() -> str:
            client = self._client(self._bucket.public)
            return str(client.generate_presigned_url(name, Params=named, ExpiresIn=seconds))

        return await self._in_thread(key, sign)

    async def _in_thread(self, key: str, call: Callable[[], T]) -> T:
        with translated(key):
            return await asyncio.to_thread(call)

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": self._bucket.key(key)}

    def _client(self, endpoint: str) -> Any:
        """The client for an endpoint, made once: it may be used by several threads."""
        with self._lock:
            if endpoint not in self._made:
                self._made[endpoint] = self._new_client(endpoint)
            return self._made[endpoint]

    def _new_client(self, endpoint: str) -> Any:
        patience = self._patience
        config = Config(
            signature_version="s3v4",
            connect_timeout=patience.connect,
            read_timeout=patience.request,
            retries={"total_max_attempts": 1 + patience.retries, "mode": "standard"},
            s3={"addressing_style": "virtual" if self._bucket.is_virtual else "path"},
            # Checksums that not every server knows, and no browser would send.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        # A quarter of a second and 15 MB that only those need who have S3.
        session = import_module("botocore.session").get_session()
        return session.create_client(
            "s3", region_name=self._bucket.region, endpoint_url=endpoint or None, config=config
        )
