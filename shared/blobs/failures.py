"""What the failures of a blob store mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError, GenericError, NotFoundError

from shared.errors import Invalid, NotFound, Unavailable

# A provider's status stands only in the text, for errors that have no class of their own.
_STATUS = re.compile(r"status code: (?P<status>\d{3})\b")
_MAY_PASS = frozenset({408, 425, 429})


class BlobsRefused(Unavailable):
    """The blob store answers, and does not let us: credentials, rights or settings are wrong."""

    default_code = "blobs_refused"


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Obstore's errors as ours, for a key that may be one."""
    checked(key)
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound(f"there is no blob {key}") from error
    except BaseError as error:
        raise _meaning(error) from error


def checked(key: str) -> str:
    """The key (or prefix, which ends in a slash); :class:`Invalid` when it could lead elsewhere, or
    is a location in a library, where nothing may be written or removed.
    """
    if ":" in key:
        raise Invalid(f"{key[:80]!r} is no blob key, and can only be read")
    if any(part in {"", ".", ".."} for part in key.removesuffix("/").split("/")):
        raise Invalid(f"{key[:80]!r} is no blob key")
    return key


def _meaning(error: BaseError) -> Unavailable:
    detail = str(error).split("\n", 1)[0]  # what follows is its own debugging
    if _is_refusal(error, detail):
        return BlobsRefused(
            f"the blob store refused: {detail}", hint="check its credentials, rights and settings"
        )
    return Unavailable(f"the blob store failed: {detail}", code="blobs_unavailable")


def _is_refusal(error: BaseError, detail: str) -> bool:
    """Whether the store is well and repeating cannot help: a 4xx that is not about time."""
    if found := _STATUS.search(detail):
        status = int(found["status"])
        return 400 <= status < 500 and status not in _MAY_PASS
    return not isinstance(error, GenericError)
