"""Run the drive service alone: ``python -m services.drive``."""

from __future__ import annotations

from services.drive.service import DRIVE
from shared.host import main

if __name__ == "__main__":
    main(DRIVE)
