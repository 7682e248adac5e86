"""The moment, asked for in one place so that tests can move it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current moment in UTC; hosts that share a database keep their clocks within a second (NTP)."""
    return datetime.now(UTC)
