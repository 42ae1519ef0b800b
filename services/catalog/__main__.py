"""Run the catalog service alone: ``python -m services.catalog``."""

from __future__ import annotations

from services.catalog.service import CATALOG
from shared.host import main

if __name__ == "__main__":
    main(CATALOG)
