"""Run the gateway service alone: ``python -m services.gateway``."""

from __future__ import annotations

from services.gateway.service import GATEWAY
from shared.host import main

if __name__ == "__main__":
    main(GATEWAY)
