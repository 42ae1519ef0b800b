"""File names as labels: shown to people, never used to store anything."""

from __future__ import annotations

import re

from shared.errors import Invalid

LONGEST = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def video_name(given: str) -> str:
    r"""The last part of what may be a path. :class:`Invalid` for control and direction characters,
    and for more than 255 characters.

    >>> video_name("C:\\films\\day one.mp4")
    'day one.mp4'
    """
    if _CONTROL.search(given):
        raise Invalid("the name has characters that cannot be shown", code="invalid_name")
    name = re.split(r"[/\\]", given)[-1].strip()
    if len(name) > LONGEST:
        raise Invalid(
            f"the name has {len(name)} characters", code="invalid_name", hint=f"at most {LONGEST}"
        )
    return "video" if name in {"", ".", ".."} else name
