"""Telling a content again, wherever it has gone, without reading all of it."""

from __future__ import annotations

import hashlib
import os

from shared.blobs.beneath import look_at, opened
from shared.contracts.library import Look

_END = 1024 * 1024
_SAMPLES = 16
_SAMPLE = 64 * 1024


def fingerprint(place: str, path: str, expected: Look) -> str:
    """A hash of a file's size, its first and its last MiB, and 16 samples in between; empty when it
    is not there any more, cannot be read, or changes while one looks.
    """
    try:
        with opened(place, path) as descriptor:
            if not is_same(look_at(descriptor), expected):
                return ""
            digest = _digest(descriptor, expected.size)
            return digest if is_same(look_at(descriptor), expected) else ""
    except OSError:
        return ""


def is_same(one: Look, other: Look) -> bool:
    """Whether a file has not been written to between two looks."""
    return (one.size, one.mtime_ns, one.ctime_ns) == (other.size, other.mtime_ns, other.ctime_ns)


def _digest(descriptor: int, size: int) -> str:
    digest = hashlib.blake2b(str(size).encode(), digest_size=20)
    step = max(_SAMPLE, size // (_SAMPLES + 1))
    samples = [(start, _SAMPLE) for start in range(step, size - _END, step) if start >= _END]
    for start, length in [(0, _END), *samples, (max(0, size - _END), _END)]:
        digest.update(os.pread(descriptor, length, start))
    return digest.hexdigest()
