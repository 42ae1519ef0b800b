"""What is generated from the types of settings: ``.env.example`` and the README's table.

``python -m services.settings_example`` writes both into the present folder; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.catalog.service import CATALOG
from services.drive.service import DRIVE
from services.gateway.service import GATEWAY
from services.jobs.service import JOBS
from shared.settings import HostSettings, Settings, prefix_of
from shared.settings_reference import environment_example, settings_table

ALL: Final = (CATALOG, DRIVE, JOBS, GATEWAY)
EXAMPLE: Final = Path(".env.example")
README: Final = Path("README.md")
BEGIN: Final = "<!-- settings: written by `make examples` -->\n"
END: Final = "<!-- end of settings -->\n"


def every_type() -> Mapping[str, type[Settings]]:
    """Every type of settings by the prefix of its variables, the host's first."""
    own = {prefix_of(service.name): service.settings for service in ALL}
    return {prefix_of(""): HostSettings, **own}


def example() -> str:
    """The text of ``.env.example``."""
    return environment_example(every_type())


def with_table(readme: str) -> str:
    """A README with the table of settings between its two markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README needs the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{begin}{_escaped(settings_table(every_type()))}{end}{after}"


def _escaped(table: str) -> str:
    """A bar inside a cell, as in a pattern, is no border: borders have spaces beside them."""
    head, divider, *rows = table.splitlines(keepends=True)
    return "".join((head, divider, *(re.sub(r"(?<=\S)\|(?=\S)", r"\|", row) for row in rows)))


if __name__ == "__main__":
    EXAMPLE.write_text(example(), "utf-8")
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
