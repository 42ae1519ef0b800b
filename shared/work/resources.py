"""What steps need and workers have, beside a slot: amounts by name, as ``"memory=2048,ocr=1"``.

``memory`` and ``disk`` are MiB, ``ocr`` counts recognisers. A step is claimed only by a worker that
has all of it free; what a worker does not name, it does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from shared.errors import Invalid

_TEXT = re.compile(r"(?:[a-z_]+=[0-9]+(?:,[a-z_]+=[0-9]+)*)?")

Amounts = Mapping[str, int]


def amounts(text: str) -> dict[str, int]:
    """The amounts in a text; :class:`Invalid` when it is none.

    >>> amounts("memory=2048,ocr=1")
    {'memory': 2048, 'ocr': 1}
    """
    if not _TEXT.fullmatch(text):
        raise Invalid(f"{text[:80]!r} does not name amounts")
    pairs = (part.split("=") for part in text.split(",") if part)
    return {name: int(amount) for name, amount in pairs}


def as_text(given: Amounts) -> str:
    """The amounts as they are sent and kept: by name, so that equals are equal."""
    return ",".join(f"{name}={max(0, int(given[name]))}" for name in sorted(given))


def nothing_measured() -> Amounts:
    """No resource is limited by what is measured."""
    return {}


class Capacity:
    """What one worker has: fixed amounts that running steps take from, and measured ones (the disk)
    that are asked for each time, as others use them too.
    """

    def __init__(
        self, fixed: Amounts | None = None, measured: Callable[[], Amounts] = nothing_measured
    ) -> None:
        self._fixed = dict(fixed or {})
        self._measured = measured
        self._taken: dict[str, int] = {}

    @property
    def total(self) -> Amounts:
        """What there is when nothing runs; what is measured counts as endless, it may come back."""
        return {**dict.fromkeys(self._measured(), 1 << 40), **self._fixed}

    @property
    def free(self) -> Amounts:
        """What is left now."""
        fixed = {name: has - self._taken.get(name, 0) for name, has in self._fixed.items()}
        return {**self._measured(), **fixed}

    @contextmanager
    def taking(self, needs: str) -> Iterator[None]:
        """While the block is open, what a step needs is taken."""
        wanted = amounts(needs)
        self._change(wanted, 1)
        try:
            yield
        finally:
            self._change(wanted, -1)

    def _change(self, wanted: Amounts, sign: int) -> None:
        for name, amount in wanted.items():
            self._taken[name] = self._taken.get(name, 0) + sign * amount
