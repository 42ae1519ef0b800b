"""One line per log record, as JSON or as text, with what is known about the work in hand.

What a client sends cannot make a second line, or move a terminal's cursor.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO, Literal

import msgspec
from opentelemetry import trace

from shared.clock import rfc3339

Field = str | Callable[[], str] | None
"""What a bound field says; a callable is asked for every line, as long as it is not known yet."""

_bound: ContextVar[Mapping[str, str | Callable[[], str]]] = ContextVar("reelway_log_fields")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Libraries that say more than anybody wants to know. What aiormq calls errors are connections that
# could not be made yet, of which our own lines tell.
_NOISY = {
    "aio_pika": logging.ERROR,
    "aiormq": logging.CRITICAL,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "opentelemetry": logging.WARNING,
}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NEEDS_QUOTES = re.compile(r"[\s\"=]|^$")


@contextmanager
def bind(**fields: Field) -> Iterator[None]:
    """Every log line inside the block, and in tasks started there, carries these fields:
    ``request_id``, ``tenant``, ``job_id``, ``correlation_id`` and the like. ``None`` and ``""``
    bind nothing.
    """
    token = _bound.set({**_bound.get({}), **{name: text for name, text in fields.items() if text}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> Mapping[str, str]:
    """What is bound here."""
    told = {name: each() if callable(each) else each for name, each in _bound.get({}).items()}
    return {name: text for name, text in told.items() if text}


@contextmanager
def logging_to(
    level: str, style: Literal["text", "json"], stream: IO[str] | None = None
) -> Iterator[None]:
    """Send what the process logs to ``stream`` (standard error) while the block is open."""
    root = logging.getLogger()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    previous = {name: logging.getLogger(name).level for name in _NOISY}
    previous_level = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(previous_level)
        for name, old in previous.items():
            logging.getLogger(name).setLevel(old)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What one record says, by field, in the order in which it is shown."""
    extra = {name: str(value) for name, value in vars(record).items() if name not in _STANDARD}
    action = extra.pop("action", "")
    return {
        "time": rfc3339(int(record.created * 1000)),
        "level": record.levelname.lower(),
        "message": record.getMessage(),
        **({"action": action} if action else {}),
        **bound(),
        **_trace(),
        **extra,
        "logger": record.name,
    }


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        said = fields_of(record)
        if failure := _failure(self, record):
            said["error"] = failure
        return msgspec.json.encode({name: _encodable(text) for name, text in said.items()}).decode()


class TextFormatter(logging.Formatter):
    """For people: time, level, message, then ``name=value``, without what they can tell from the
    rest of the line. A traceback follows, indented, so that nothing in it can pass for another
    record.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        said = _short(fields_of(record), record)
        head = f"{said.pop('time')} {said.pop('level'):<7} {safe(said.pop('message'))}"
        line = " ".join((head, *(f"{name}={_quoted(text)}" for name, text in said.items())))
        failure = _failure(self, record)
        return "\n    ".join((line, *(safe(part) for part in failure.splitlines())))


def safe(text: str) -> str:
    """The text on one line: what could break the line or steer a terminal is shown as escapes."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _short(said: dict[str, str], record: logging.LogRecord) -> dict[str, str]:
    """Without ids that say the same as another one, and without the logger where the action
    says what the line is about.
    """
    known = said.get("request_id") or said.get("correlation_id")
    if said.get("correlation_id") == said.get("request_id"):
        said.pop("correlation_id", None)
    if known and not trace.get_current_span().get_span_context().trace_flags.sampled:
        said.pop("trace_id", None)
    if record.levelno < logging.ERROR and "action" in said:
        del said["logger"]
    return said


def _quoted(text: str) -> str:
    shown = safe(text)
    return '"' + shown.replace('"', r"\"") + '"' if _NEEDS_QUOTES.search(shown) else shown


def _encodable(text: str) -> str:
    """Lone surrogates, as in file names that are no UTF-8, cannot be written as JSON."""
    return text.encode("utf-8", "backslashreplace").decode()


def _failure(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _trace() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else {}
