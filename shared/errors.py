"""The error tree: one vocabulary for the bus and for HTTP.

::

    ReelwayError                 500 internal
    ├── Later                    503 later            deliver again after ``delay``; not an attempt
    ├── Unavailable              503 unavailable      something we need is away; try again
    └── Rejected                 400 rejected         repeating it cannot help
        ├── Invalid              400 invalid
        ├── Unauthorized         401 unauthorized
        ├── Forbidden            403 forbidden
        ├── NotFound             404 not_found
        ├── Conflict             409 conflict
        │   └── IdempotencyInProgress   409 idempotency_in_progress
        ├── Gone                 410 gone
        ├── TooLarge             413 too_large
        ├── UnsupportedMedia     415 unsupported_media
        ├── RangeUnsatisfiable   416 range_not_satisfiable
        ├── IdempotencyMismatch  422 idempotency_mismatch
        ├── Locked               423 locked
        ├── TooMany              429 too_many_requests
        ├── StorageFull          507 storage_full
        └── Undecodable          400 undecodable      bytes that are no message of ours

Every class carries a stable ``code`` and an HTTP ``status``; an instance may narrow the code.
"""

from __future__ import annotations

from typing import ClassVar


class ReelwayError(Exception):
    """Something went wrong inside Reelway."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"

    def __init__(self, detail: str = "", *, code: str = "", hint: str = "") -> None:
        self.detail = detail or (type(self).__doc__ or "").split("\n", 1)[0]
        self.code = code or self.default_code
        self.hint = hint
        super().__init__(self.detail)


class Later(ReelwayError):
    """Not now: deliver it again after a delay, without counting an attempt."""

    status = 503
    default_code = "later"

    def __init__(self, delay: float, detail: str = "") -> None:
        self.delay = delay
        super().__init__(detail)


class Unavailable(ReelwayError):
    """Something this needs cannot be reached at the moment."""

    status = 503
    default_code = "unavailable"


class Rejected(ReelwayError):
    """It cannot be done, and repeating it will not help."""

    status = 400
    default_code = "rejected"


class Invalid(Rejected):
    """The request is not valid."""

    default_code = "invalid"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str = "",
        hint: str = "",
        errors: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.errors = errors
        super().__init__(detail, code=code, hint=hint)


class Unauthorized(Rejected):
    """A valid API key is required."""

    status = 401
    default_code = "unauthorized"


class Forbidden(Rejected):
    """The key may not do that."""

    status = 403
    default_code = "forbidden"


class NotFound(Rejected):
    """There is no such thing."""

    status = 404
    default_code = "not_found"


class Conflict(Rejected):
    """The present state does not allow that."""

    status = 409
    default_code = "conflict"


class IdempotencyInProgress(Conflict):
    """The first request with this Idempotency-Key is still being answered."""

    default_code = "idempotency_in_progress"


class Gone(Rejected):
    """It was here, and is no longer."""

    status = 410
    default_code = "gone"


class TooLarge(Rejected):
    """That is larger than allowed."""

    status = 413
    default_code = "too_large"


class UnsupportedMedia(Rejected):
    """That content type or coding is not accepted here."""

    status = 415
    default_code = "unsupported_media"


class RangeUnsatisfiable(Rejected):
    """The requested range lies outside the content."""

    status = 416
    default_code = "range_not_satisfiable"


class IdempotencyMismatch(Rejected):
    """The Idempotency-Key was used for another request."""

    status = 422
    default_code = "idempotency_mismatch"


class Locked(Rejected):
    """Another request is changing this at the moment."""

    status = 423
    default_code = "locked"


class TooMany(Rejected):
    """Too many requests; try again later."""

    status = 429
    default_code = "too_many_requests"

    def __init__(
        self, retry_after: float, detail: str = "", *, code: str = "", hint: str = ""
    ) -> None:
        self.retry_after = retry_after
        super().__init__(detail, code=code, hint=hint)


class StorageFull(Rejected):
    """There is not enough free space to keep this."""

    status = 507
    default_code = "storage_full"


class Undecodable(Rejected):
    """These bytes are no message of ours."""

    default_code = "undecodable"
