"""Header field values that have a grammar of their own: dates and content dispositions."""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final, Literal
from urllib.parse import quote

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_CLOCK = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_FORMS = (
    re.compile(f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT"),
    re.compile(f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT"),
    re.compile(f"{_DAY} {_MONTH} (?P<day>[0-9 ][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})"),
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff/\\]")
_ATTR_CHAR: Final = "!#$&+-.^_`|~"
_LONGEST_NAME: Final = 200


def http_date(seconds: float) -> str:
    """A time as HTTP writes it (RFC 9110 section 5.6.7).

    >>> http_date(784111777)
    'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    return formatdate(int(seconds), usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Seconds since the epoch, from any of the three forms of RFC 9110 section 5.6.7."""
    for form in _FORMS:
        found = form.fullmatch(text.strip(" \t"))
        if found is not None:
            return _moment(found)
    return None


def _moment(found: re.Match[str]) -> int | None:
    year, month, day = _year(found["year"]), _MONTHS.index(found["month"]) + 1, int(found["day"])
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if second == 60:  # a leap second
        second = 59
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:  # no such day or time
        return None


def _year(digits: str) -> int:
    if len(digits) == 4:
        return int(digits)
    # A two-digit year more than 50 years ahead is the past one with these digits.
    present = time.gmtime().tm_year
    year = present - present % 100 + int(digits)
    return year - 100 if year > present + 50 else year


def safe_name(name: str) -> str:
    """A file name that is only a name: no folders, no controls, no reversed writing direction."""
    bare = _UNSAFE.sub("_", name).strip(" .")
    stem, dot, suffix = bare.rpartition(".")
    if not stem or len(suffix) > 16:
        stem, dot, suffix = bare, "", ""
    return (stem[: _LONGEST_NAME - len(suffix) - 1] + dot + suffix) or "download"


def content_disposition(kind: Literal["inline", "attachment"], name: str) -> str:
    """RFC 6266: a plain ``filename`` for old clients, ``filename*`` (RFC 8187) where it differs.

    >>> print(content_disposition("attachment", "vídeo.mp4"))
    attachment; filename="video.mp4"; filename*=UTF-8''v%C3%ADdeo.mp4
    """
    name = safe_name(name)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    # Some clients decode %xx inside filename=, and quotes need no escape that everybody knows.
    plain = re.sub(r'["%]', "_", plain).strip()
    if not plain.partition(".")[0]:
        plain = f"download{plain}".rstrip(".")
    value = f'{kind}; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe=_ATTR_CHAR)}"
