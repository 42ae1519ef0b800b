"""How the answer to a query travels: the reply, or the error that the asker raises again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shared.errors import Invalid, Later, ReelwayError, Rejected, TooMany, Unavailable

KIND = "bus.answer.v1"


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error of the tree on the wire; ``type`` is its class's code, ``code`` may be narrower."""

    type: str
    code: str
    status: int
    detail: str
    hint: str = ""
    delay: float = 0.0
    errors: tuple[tuple[str, str], ...] = ()


class Answer(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=KIND, omit_defaults=True
):
    """The body of a reply: what was asked for, unless there is a fault."""

    reply: msgspec.Raw = msgspec.Raw(b"null")
    fault: Fault | None = None


def fault_of(error: BaseException) -> Fault:
    """The error as the asker may know it; what is not of our tree keeps its details here."""
    if not isinstance(error, ReelwayError):
        error = ReelwayError()
    delay = error.delay if isinstance(error, Later) else 0.0
    return Fault(
        type=error.default_code,
        code=error.code,
        status=error.status,
        detail=error.detail,
        hint=error.hint,
        delay=error.retry_after if isinstance(error, TooMany) else delay,
        errors=error.errors if isinstance(error, Invalid) else (),
    )


def error_of(fault: Fault) -> ReelwayError:
    """The error that was raised at the other end, of the same class where we know it."""
    kind = _class_of(fault)
    error: ReelwayError
    if issubclass(kind, Later | TooMany):
        error = kind(fault.delay, fault.detail)
    elif issubclass(kind, Invalid):
        error = kind(fault.detail, errors=fault.errors)
    else:
        error = kind(fault.detail)
    error.code = fault.code
    error.hint = fault.hint
    return error


def _class_of(fault: Fault) -> type[ReelwayError]:
    for kind in _tree(ReelwayError):
        if (kind.default_code, kind.status) == (fault.type, fault.status):
            return kind
    candidates: list[type[ReelwayError]] = [Rejected, Unavailable, *_tree(Rejected)]
    return next((one for one in candidates if one.status == fault.status), ReelwayError)


def _tree(root: type[ReelwayError]) -> Iterator[type[ReelwayError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)
