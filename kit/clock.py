"""The time, in one place, so that a test can move it (time-machine) and a reader can find it."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.utils import timezone


def now() -> datetime:
    """The current moment, aware, in UTC."""
    return timezone.now()


def today_in(zone: str) -> date:
    """The calendar day of `now()` in the time zone named `zone` (IANA)."""
    return now().astimezone(ZoneInfo(zone)).date()


def month_start(zone: str) -> datetime:
    """The first moment of the current calendar month in `zone`, aware."""
    return now().astimezone(ZoneInfo(zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
