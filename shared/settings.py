"""Settings from environment variables, checked before anything opens.

A settings type is a frozen struct; every field is one variable, ``<prefix><FIELD>``. Whatever is
wrong is said in one line that names the variable, what was given and what is allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from shared.errors import ReelwayError

PREFIX = "REELWAY_"
SERVICES = ("catalog", "drive", "jobs", "gateway")
"""Every service there is, in the order in which a host opens them."""

OF_CLIENTS = frozenset({f"{PREFIX}URL", f"{PREFIX}API_KEY"})
"""What commands over HTTP read; no service has such a setting."""

_PASSWORD = re.compile(r"(?<=://)([^/?#@\s]*?):([^/?#\s]*)@")
_QUERY_SECRET = re.compile(r"([?&](?:password|secret|token|key)=)[^&\s]+", re.IGNORECASE)


class SettingsError(ReelwayError):
    """A setting is not valid."""

    default_code = "settings_invalid"


class Secret:
    """A text that does not show itself: only :meth:`reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other.reveal()

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "***" if self._text else "''"


def redact(url: str) -> str:
    """The URL without its password.

    >>> redact("amqp://reelway:geheim@rabbit:5672/")
    'amqp://reelway:***@rabbit:5672/'
    """
    return _QUERY_SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every settings type extends: nothing unknown is accepted, nothing secret is shown."""

    def __repr__(self) -> str:
        shown = (f"{field.name}={shown_value(self, field.name)}" for field in fields_of(type(self)))
        return f"{type(self).__name__}({', '.join(shown)})"


Chosen = TypeVar("Chosen", bound=Settings)
Said = msgspec.Meta


class HostSettings(Settings, frozen=True, kw_only=True):
    """What can be set for a process, whichever services it hosts."""

    bus_url: Annotated[
        str,
        Said(
            pattern=r"^(memory:|amqps?://)",
            description="Who carries messages: `memory:` (all four in one process) or `amqp://…`",
        ),
    ] = "memory:"
    store_url: Annotated[
        str,
        Said(
            pattern=r"^(embedded:$|rediss?://|unix://)",
            description="Where records are: `embedded:` (our own child), `redis://…`, `unix://…`",
        ),
    ] = "embedded:"
    blobs_url: Annotated[
        str,
        Said(
            description="Where bytes are: empty (data folder), `file://…`, `gs://…`, `az://…` or "
            "`s3://bucket/prefix?endpoint=…&region=…&style=path&public=…`"
        ),
    ] = ""
    library_dirs: Annotated[
        tuple[str, ...], Said(description="Folders to index in place, each as `tenant=/folder`")
    ] = ()
    data_dir: Annotated[str, Said(min_length=1, description="The data folder")] = ".reelway"
    worker_role: Annotated[
        Literal["both", "api", "worker"],
        Said(description="`api`: doors and handlers, `worker`: loops and steps, `both`"),
    ] = "both"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Said(description="The least that is logged")
    ] = "info"
    log_format: Annotated[Literal["text", "json"], Said(description="How a log line looks")] = (
        "text"
    )
    traces: Annotated[
        Literal["off", "log", "otlp"],
        Said(description="Where spans go; `otlp` reads the usual `OTEL_EXPORTER_OTLP_…` variables"),
    ] = "off"
    admin_host: Annotated[
        str, Said(description="Where probes and metrics are served beside the gateway")
    ] = "127.0.0.1"
    admin_port: Annotated[
        int, Said(ge=0, le=65535, description="Their port; 0 means they are not served")
    ] = 0
    lease_seconds: Annotated[
        float,
        Said(ge=1, le=300, description="How long a worker holds a job without a heartbeat"),
    ] = 15.0
    retry_seconds: Annotated[
        float, Said(gt=0, le=3600, description="The first wait before another attempt; it doubles")
    ] = 5.0
    attempts: Annotated[
        int, Said(ge=1, le=20, description="Attempts at a job before it has failed for good")
    ] = 5
    silence_seconds: Annotated[
        float,
        Said(ge=1, description="A step that says nothing for so long is ended"),
    ] = 300.0
    patience_seconds: Annotated[
        float,
        Said(gt=0, description="How long a job waits for what is away before it has failed"),
    ] = 24 * 3600.0
    disk_reserve_mb: Annotated[
        int,
        Said(ge=0, description="Steps that write wait while less than this is free (MiB)"),
    ] = 512
    shutdown_seconds: Annotated[
        float, Said(gt=0, le=3600, description="How long stopping may take before it is cut short")
    ] = 30.0


def split(
    environ: MutableMapping[str, str], services: Collection[str] = SERVICES
) -> dict[str, dict[str, str]]:
    """Take every ``REELWAY_…`` variable out of ``environ``, sorted by the service it belongs to.

    What belongs to no service is under ``""``: the host's own, and misspellings, which
    :func:`load` then refuses. What is for clients is dropped. Children started later inherit none
    of them.
    """
    parts: dict[str, dict[str, str]] = {owner: {} for owner in ("", *services)}
    for variable in [name for name in environ if name.startswith(PREFIX)]:
        if variable in OF_CLIENTS:
            del environ[variable]
            continue
        first = variable.removeprefix(PREFIX).split("_", 1)[0].lower()
        owner = first if first in services else ""
        parts[owner][variable] = environ.pop(variable)
    return parts


def prefix_of(service: str) -> str:
    """How the variables of a service begin; ``""`` is the host.

    >>> prefix_of("jobs")
    'REELWAY_JOBS_'
    """
    return f"{PREFIX}{service.upper()}_" if service else PREFIX


def load(kind: type[Chosen], environ: MutableMapping[str, str], prefix: str) -> Chosen:
    """The settings given by the variables that start with ``prefix``, which leave ``environ``.

    An empty variable counts as not set. Anything unknown or not valid raises
    :class:`SettingsError` with one line.
    """
    known = {prefix + field.name.upper(): field for field in fields_of(kind)}
    values: dict[str, Any] = {}
    for variable in sorted(name for name in environ if name.startswith(prefix)):
        if variable not in known:
            raise SettingsError(_unknown(variable, known))
        given = environ.pop(variable)
        if given.strip():
            field = known[variable]
            values[field.name] = _convert(variable, given.strip(), field.type)
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise SettingsError(_one_line(f"{prefix}…: {error}", known, values)) from error


def fields_of(kind: type[Settings]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a settings type, as declared."""
    return msgspec.structs.fields(kind)


def shown_value(settings: Settings, name: str) -> str:
    """A setting's value as it may be shown in logs."""
    value = getattr(settings, name)
    return repr(redact(value)) if isinstance(value, str) else repr(value)


def _unknown(variable: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(variable, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "see .env.example for what there is"
    return f"{variable} is no setting; {hint}"


def _one_line(text: str, known: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """What is missing or contradictory, in the words of the environment."""
    for variable, field in known.items():
        if field.required and field.name not in values:
            return f"{variable} must be set: {allowed(field.type)}"
    return " ".join(text.split())


def _convert(variable: str, given: str, kind: Any) -> Any:
    raw: Any = given
    if _is_list(kind):
        raw = [part.strip() for part in given.split(",") if part.strip()]
    try:
        return msgspec.convert(raw, kind, strict=False, dec_hook=_custom)
    except msgspec.ValidationError as error:
        shown = "***" if is_secret(kind) else repr(redact(given)[:200])
        raise SettingsError(f"{variable}={shown} is not valid; allowed: {allowed(kind)}") from error


def _custom(kind: type, given: object) -> object:
    if kind is Secret and isinstance(given, str):
        return Secret(given)
    raise NotImplementedError(f"a setting cannot be a {kind}")


def _info(kind: Any) -> tuple[msgspec.inspect.Type, str]:
    """A type as msgspec sees it, and its description."""
    info = msgspec.inspect.type_info(kind)
    description = ""
    while isinstance(info, msgspec.inspect.Metadata):
        description = (info.extra_json_schema or {}).get("description", description)
        info = info.type
    return info, description


def is_secret(kind: Any) -> bool:
    """Whether a field of this type is never shown."""
    info, _ = _info(kind)
    return isinstance(info, msgspec.inspect.CustomType) and info.cls is Secret


def _is_list(kind: Any) -> bool:
    info, _ = _info(kind)
    lists = (
        msgspec.inspect.VarTupleType,
        msgspec.inspect.ListType,
        msgspec.inspect.FrozenSetType,
        msgspec.inspect.SetType,
    )
    return isinstance(info, lists)


def describe(kind: Any) -> str:
    """What a field is for, from its ``msgspec.Meta(description=…)``."""
    return _info(kind)[1]


def allowed(kind: Any) -> str:
    """What may be given for a field of this type, in words."""
    info, _ = _info(kind)
    if isinstance(info, msgspec.inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in info.values)
    if isinstance(info, msgspec.inspect.BoolType):
        return "true or false"
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        word = "a whole number" if isinstance(info, msgspec.inspect.IntType) else "a number"
        return " ".join((word, *_bounds(info)))
    if isinstance(info, msgspec.inspect.StrType) and info.pattern:
        return f"a text that matches {info.pattern}"
    return "a comma-separated list" if _is_list(kind) else "a text"


def _bounds(info: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> Iterator[str]:
    words = {"from": info.ge, "above": info.gt, "to": info.le, "below": info.lt}
    for word, bound in words.items():
        if bound is not None:
            yield f"{word} {bound:g}"
