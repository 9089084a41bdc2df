"""The time, in one place, so that a test can move it (time-machine) and a reader can find it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

_moved: ContextVar[datetime | None] = ContextVar("moved", default=None)


def now() -> datetime:
    """The current moment, aware, in UTC."""
    return _moved.get() or timezone.now()


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Deeds of the block happen at `moment`, in this thread only. For writing a history that never was: the demo data."""
    token = _moved.set(moment)
    try:
        yield
    finally:
        _moved.reset(token)


def today_in(zone: str) -> date:
    """The calendar day of `now()` in the time zone named `zone` (IANA)."""
    return now().astimezone(ZoneInfo(zone)).date()


def month_start(zone: str) -> datetime:
    """The first moment of the current calendar month in `zone`, aware."""
    return now().astimezone(ZoneInfo(zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
