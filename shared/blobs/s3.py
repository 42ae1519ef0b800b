"""Where a bucket of S3, or of a server that speaks it, is: its URL and the usual AWS variables.

::

    s3://<bucket>/<prefix>?endpoint=http://minio:9000&region=eu-central-1&style=path&public=https://…

``endpoint`` is the server, where it is not AWS (else ``AWS_ENDPOINT_URL_S3`` or
``AWS_ENDPOINT_URL``). ``region`` stands for ``AWS_REGION``. ``style`` is how the bucket is named:
in the ``path`` (the default), or as a ``virtual`` host. ``public`` is the server as browsers reach
it, for addresses that are handed out. Credentials are never part of it: ``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY``, or the role of the machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.store import S3Store

from shared.blobs.remote import Patience
from shared.settings import SettingsError, redact

SCHEMES: Final = frozenset({"s3", "s3a"})
_OPTIONS = frozenset({"endpoint", "region", "style", "public"})
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORM = "s3://bucket/prefix?endpoint=…&region=…&style=path|virtual&public=…"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and what is before every key in it; ``endpoint`` is empty for AWS itself."""

    name: str
    prefix: str = ""
    region: str = "us-east-1"
    endpoint: str = ""
    public: str = ""
    is_virtual: bool = False

    def key(self, key: str) -> str:
        """A key of ours as the bucket knows it."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def store(self, patience: Patience) -> S3Store:
        """The bucket for obstore."""
        config: Any = {
            "region": self.region,
            "virtual_hosted_style_request": self.is_virtual,
        }
        if self.endpoint:
            config["aws_endpoint_url_s3"] = self._host() if self.is_virtual else self.endpoint
        client = patience.client()
        client["allow_http"] = self.endpoint.startswith("http://")
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            config=config,
            client_options=client,
            retry_config=patience.retry(),
        )

    def _host(self) -> str:
        scheme, _, rest = self.endpoint.partition("://")
        return f"{scheme}://{self.name}.{rest}"


def bucket_of(url: str, environ: Mapping[str, str] = os.environ) -> Bucket:
    """The bucket that a URL names; :class:`SettingsError` says in one line what is wrong."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.username is not None or parts.password is not None:
        raise _wrong(url, "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if unknown := sorted(given.keys() - _OPTIONS):
        raise _wrong(url, f"{unknown[0]!r} is no option")
    if not _NAME.fullmatch(parts.netloc):
        raise _wrong(url, f"{parts.netloc!r} is no name of a bucket")
    style = given.get("style", "path")
    if style not in {"path", "virtual"}:
        raise _wrong(url, f"style={style!r} is neither path nor virtual")
    endpoint = given.get("endpoint") or _first(
        environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"
    )
    if style == "virtual" and _is_number(endpoint):
        raise _wrong(url, "style=virtual needs an endpoint with a name, not a number")
    return Bucket(
        name=parts.netloc,
        prefix=_prefix(url, unquote(parts.path)),
        region=given.get("region") or _region(environ),
        endpoint=_server(url, endpoint),
        public=_server(url, given.get("public", "") or endpoint),
        is_virtual=style == "virtual",
    )


def _prefix(url: str, path: str) -> str:
    prefix = path.strip("/")
    if prefix and any(part in {"", ".", ".."} for part in prefix.split("/")):
        raise _wrong(url, f"{prefix!r} is no prefix of keys")
    return prefix


def _server(url: str, address: str) -> str:
    parts = urlsplit(address)
    if address and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise _wrong(url, f"{redact(address)!r} is no address like http://minio:9000")
    if parts.path.strip("/") or parts.query:
        raise _wrong(url, f"{redact(address)!r} has more than a host and a port")
    return address.rstrip("/")


def _is_number(address: str) -> bool:
    with suppress(ValueError):
        ip_address(urlsplit(address).hostname or "")
        return True
    return False


def _region(environ: Mapping[str, str]) -> str:
    return _first(environ, "AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((found for name in names if (found := environ.get(name, "").strip())), "")


def _wrong(url: str, what: str) -> SettingsError:
    shown = redact(url.split("?", 1)[0])
    return SettingsError(f"REELWAY_BLOBS_URL={shown!r} is not valid: {what}; it looks like {_FORM}")
