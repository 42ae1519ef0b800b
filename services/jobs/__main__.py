"""Run the jobs service alone: ``python -m services.jobs``."""

from __future__ import annotations

from services.jobs.service import JOBS
from shared.host import main

if __name__ == "__main__":
    main(JOBS)
