"""Whether two readings are of the same words."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.fuzz import ratio

_SIMILAR = 86


def texts_agree(one: str, other: str) -> bool:
    """Whether two readings are of one caption: much alike, and the same digits."""
    if [char for char in one if char.isdigit()] != [char for char in other if char.isdigit()]:
        return False
    return ratio(one, other) >= _SIMILAR


def distinct_texts(texts: Sequence[str]) -> int:
    """How many of the texts differ, reading errors aside."""
    kept: list[str] = []
    for text in texts:
        if not any(texts_agree(text, other) for other in kept):
            kept.append(text)
    return len(kept)
