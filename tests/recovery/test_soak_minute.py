"""A minute of what ``make soak`` does for ten: everything is killed, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recovery.soak import soak
from tests.recovery.soak_plan import planned


@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_stuck_while_everything_is_killed(tmp_path: Path) -> None:
    plan = planned(60.0)
    assert plan.kills >= 60
    report = soak(plan, tmp_path)
    assert report.violations == (), str(report)
    assert report.figures["processes killed"] == str(plan.kills)
    assert report.figures["RabbitMQ killed"] == report.figures["Redis killed"] == "1"
    assert int(report.figures["claims that lost their worker"]) > 0
