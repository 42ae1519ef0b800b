"""When a recurring job recurs. Pure: the time of day comes from the caller.

Every so many seconds, counted from its last time so that it keeps its beat; or by a cron
expression of five fields, read as Debian's cron does: a fixed time of day that the clock jumps over
comes right after the jump, one that comes twice counts once; where minute or hour begin with ``*``,
time that has passed counts, not the face of the clock.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.contracts.schedules import Schedule
from shared.errors import Invalid

SHORTEST_SECONDS = 60
LONGEST_SECONDS = 366 * 24 * 3600
_LONGEST_TEXT = 200
_FIELDS = 5
_MACHINES_OWN = frozenset({"localtime", "posixrules"})
"""Names that mean another zone on each machine."""


def check_times(schedule: Schedule) -> None:
    """:class:`Invalid` unless it is plain when this recurs."""
    if bool(schedule.every) == bool(schedule.cron):
        raise Invalid(
            "a schedule has either an interval or a cron expression", code="invalid_schedule"
        )
    if schedule.every and not SHORTEST_SECONDS <= schedule.every <= LONGEST_SECONDS:
        raise Invalid(
            f"an interval is from {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds",
            code="invalid_schedule",
        )
    if next_time(schedule, 0) is None:
        raise Invalid("this cron expression never comes true", code="invalid_cron")


def next_time(schedule: Schedule, now: int) -> int | None:
    """The first time after ``now``, or None when there is none within 50 years. An interval is
    counted from the schedule's own ``next_at``, or from now where it has none. What lies between
    the two is passed over. :class:`Invalid` when it cannot be told.
    """
    if not schedule.cron:
        beat, begin = schedule.every * 1000, schedule.next_at or now
        return begin + beat * (max(0, now - begin) // beat + 1)
    moment = datetime.fromtimestamp(now // 1000, _zone(schedule.timezone))
    for found in _read(schedule.cron, moment):
        # An hour that comes twice is begun anew by the library: what is over does not count.
        if (at := int(found.timestamp()) * 1000) > now:
            return at
    return None


def _read(cron: str, moment: datetime) -> CronSim:
    hint = "five fields: minute, hour, day of month, month, day of week"
    if len(cron) > _LONGEST_TEXT or len(cron.split()) != _FIELDS:
        raise Invalid("that is no cron expression", code="invalid_cron", hint=hint)
    try:
        return CronSim(cron, moment)
    except CronSimError as error:
        detail = f"that is no cron expression: {str(error).lower()}"
        raise Invalid(detail, code="invalid_cron", hint=hint) from error


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name not in _MACHINES_OWN:
        with suppress(KeyError, ValueError, OSError):  # unknown, no name of a zone, a folder
            return ZoneInfo(name)
    raise Invalid(
        f"there is no time zone {name[:80]!r}",
        code="unknown_timezone",
        hint="use a name such as Europe/Berlin or UTC",
    )
