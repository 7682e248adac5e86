"""Cron lines: the moments they name in their zone, across clock changes as Debian's cron has them.

A daily line whose time is skipped in spring runs when the clock has moved on; one whose time comes twice in autumn runs
the first time. Lines with a `*` in minutes or hours run by elapsed time.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST_LINE = 100  # characters
FIELDS = "minute hour day-of-month month day-of-week, before them optionally second"


def check_cron(line: str) -> str:
    """Return the line when it is one and names a moment.

    Raises:
        ValueError: it is not or does not; the message says which field.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"a cron line has at most {LONGEST_LINE} characters")
    try:
        upcoming = next(CronSim(line, datetime.now(UTC)), None)
    except CronSimError as error:
        reason = str(error)
        raise ValueError(f"not a cron line: {reason[:1].lower()}{reason[1:]} (fields: {FIELDS})") from None
    if upcoming is None:
        raise ValueError("the cron line names no moment in the next 50 years")
    return line


def next_fire(line: str, timezone: str, *, after: datetime) -> datetime | None:
    """Return the first moment later than `after`, in UTC; None when there is none in 50 years."""
    moments = CronSim(line, after.astimezone(ZoneInfo(timezone)))
    # Between the two passes of a repeated hour the library starts from the first one: what it names may be over.
    return next((utc for moment in moments if (utc := moment.astimezone(UTC)) > after), None)


def latest_fire(line: str, timezone: str, *, since: datetime, until: datetime) -> datetime:
    """Return the last moment not later than `until`, or `since`, which is one, when none came after it."""
    end = until.astimezone(ZoneInfo(timezone)).replace(microsecond=0) + timedelta(seconds=1)
    before = next(CronSim(line, end, reverse=True), None)
    latest = since if before is None else max(since, before.astimezone(UTC))
    if latest > until:
        latest = since
    while (later := next_fire(line, timezone, after=latest)) is not None and later <= until:
        latest = later
    return latest
