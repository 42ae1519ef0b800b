"""What the failures of a blob store mean."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from obstore.exceptions import BaseError, GenericError, NotFoundError

from shared.errors import Invalid, NotFound, StorageFull, Unavailable

# A provider's status stands only in the text, for errors that have no class of their own.
_STATUS = re.compile(r"status code: (?P<status>\d{3})\b")
_CODE = re.compile(r"<Code>(?P<code>\w{1,80})</Code>")
_ROLE = re.compile(r"169\.254\.169\.254|/latest/(?:api/token|meta-data/)|InstanceCredential")
_FULL = re.compile(r"\(os error (?:28|122)\)")
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk says that takes no more."""
_MAY_PASS = frozenset({408, 425, 429})
_GONE = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REGION = "set AWS_REGION, or region= in REELWAY_BLOBS_URL, to the bucket's region"
CURES: Final = {
    "NoSuchBucket": "create the bucket, or correct REELWAY_BLOBS_URL",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidToken": "check AWS_SESSION_TOKEN",
    "ExpiredToken": "renew the credentials",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AccessDenied": "let the credentials list, get, put and delete objects of the bucket",
    "AllAccessDisabled": "ask the provider why the bucket is closed",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "NoCredentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
}
"""What to do about what an S3 server says, by its code."""

_CHECK = "check its credentials, rights and settings"


class BlobsRefused(Unavailable):
    """The blob store answers, and does not let us: credentials, rights or settings are wrong."""

    default_code = "blobs_refused"


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of the libraries as ours, for a key that may be one."""
    checked(key)
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        if _code(str(error)) == "NoSuchBucket":
            raise _refused("NoSuchBucket") from error
        raise NotFound(f"there is no blob {key}") from error
    except BaseError as error:
        if _FULL.search(str(error)):
            raise no_space() from error
        raise _meaning(error) from error
    except OSError as error:
        if error.errno in FULL:
            raise no_space() from error
        raise
    except (ClientError, BotoCoreError) as error:
        raise _meaning_of_call(error, key) from error


def no_space() -> StorageFull:
    """The disk that holds the blobs is full."""
    return StorageFull("the disk is full", hint="make room; what waits for it goes on by itself")


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
    text = str(error)
    status = int(found["status"]) if (found := _STATUS.search(text)) else 0
    if _ROLE.search(text):
        return _refused("NoCredentials")
    if "without LOCATION" in text:  # how obstore tells of a redirect to another region
        return _refused("PermanentRedirect")
    if 300 <= status < 500 and status not in _MAY_PASS:
        return _refused(_code(text) or f"{status}")
    if status or isinstance(error, GenericError):
        return _away(f"it answers {status}" if status else _line(text))
    return _refused(_line(text))


def _meaning_of_call(error: ClientError | BotoCoreError, key: str) -> Unavailable | NotFound:
    if isinstance(error, NoCredentialsError):
        return _refused("NoCredentials")
    if not isinstance(error, ClientError):
        return _away(type(error).__name__)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _GONE:
        return NotFound(f"there is no blob {key}")
    if 300 <= status < 500 and status not in _MAY_PASS:
        return _refused(code or f"{status}")
    return _away(f"it answers {status} {code}".rstrip())


def _refused(what: str) -> BlobsRefused:
    return BlobsRefused(f"the blob store refused: {what}", hint=CURES.get(what, _CHECK))


def _away(what: str) -> Unavailable:
    hint = "check that its endpoint in REELWAY_BLOBS_URL is right and reachable"
    return Unavailable(f"the blob store failed: {what}", code="blobs_unavailable", hint=hint)


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found["code"] if found else ""


def _line(text: str) -> str:
    """What went wrong, without addresses and without the library's own debugging."""
    return text.split("\n", 1)[0].rpartition(" - ")[2][:200]
