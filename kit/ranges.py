"""Ranges of days that a report is about: the usual ones, any other, and the days before it to compare with."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from babel.dates import format_date

from kit import clock

CUSTOM = "custom"
CHOICES = {"7": "7 days", "30": "30 days", "90": "90 days", "month": "This month", "last_month": "Last month"}
USUAL = "30"
MOST_DAYS = 366
EARLIEST = date(2000, 1, 1)
# A chart of more days than this shows months.
MOST_SHOWN_BY_DAY = 100


@dataclass(frozen=True, slots=True)
class Range:
    """The days from `first` to `last`, both included. `code` is a key of `CHOICES` or `CUSTOM`."""

    code: str
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def previous(self) -> "Range":
        """As many days right before; of a month the same days of the month before, or all of it after a whole one."""
        if self.code in ("month", "last_month"):
            first = (self.first - timedelta(days=1)).replace(day=1)
            length = calendar.monthrange(first.year, first.month)[1]
            return Range(self.code, first, first.replace(day=length if self.code == "last_month" else min(self.last.day, length)))
        length = (self.last - self.first).days + 1
        return Range(CUSTOM, self.first - timedelta(days=length), self.first - timedelta(days=1))

    @property
    def words(self) -> str:
        """ "1–21 Nov 2026", as short as it can be said."""
        end = format_date(self.last, "d MMM y", locale="en")
        if self.first == self.last:
            return end
        if (self.first.year, self.first.month) == (self.last.year, self.last.month):
            return f"{self.first.day}–{end}"
        return f"{format_date(self.first, 'd MMM' if self.first.year == self.last.year else 'd MMM y', locale='en')} – {end}"

    @property
    def steps(self) -> tuple[tuple[date | str, list[date]], ...]:
        """What a chart of the range has along its axis, and the days of each: every day, or every month when they are many."""
        return _steps(self)


@lru_cache(maxsize=64)
def _steps(range: Range) -> tuple[tuple[date | str, list[date]], ...]:
    # A table of clients has a line for each, over the same days.
    days = range.days
    if len(days) <= MOST_SHOWN_BY_DAY:
        return tuple((day, [day]) for day in days)
    months: dict[str, list[date]] = {}
    for day in days:
        months.setdefault(format_date(day, "MMM y", locale="en"), []).append(day)
    return tuple(months.items())


def chosen(query: Mapping[str, str], time_zone: str, *, usual: str = USUAL) -> tuple[Range, str]:
    """The range that `range`, `first` and `last` of a query ask for, and "". When they ask for none there is, the usual one and why."""
    today = clock.today_in(time_zone)
    code = query.get("range", usual)
    if code != CUSTOM:
        return _usual(code if code in CHOICES else usual, today), ""
    try:
        first, last = _day(query.get("first", "")), _day(query.get("last", ""))
        return _custom(first, last, today), ""
    except ValueError as error:
        return _usual(usual, today), str(error)


def change(now: int, before: int) -> str:
    """By how much `now` is more or less than `before`, in percent: "+12 %", "−5 %", "new" where there was nothing before."""
    if not before or before < 0:
        return "new" if now > 0 else "–"
    percent = round(100 * (now - before) / before)
    return f"{'+' if percent > 0 else '−' if percent < 0 else '±'}{abs(percent):,} %"


def _usual(code: str, today: date) -> Range:
    if code == "month":
        return Range(code, today.replace(day=1), today)
    if code == "last_month":
        last = today.replace(day=1) - timedelta(days=1)
        return Range(code, last.replace(day=1), last)
    return Range(code, today - timedelta(days=int(code) - 1), today)


def _custom(first: date, last: date, today: date) -> Range:
    if last < first:
        raise ValueError("The range ends before it begins. Choose a later last day.")
    if first > today:
        raise ValueError("This range has not begun yet. Choose a first day that is not in the future.")
    if first < EARLIEST:
        raise ValueError(f"There is nothing before {EARLIEST.year}. Choose a later first day.")
    last = min(last, today)
    if (last - first).days >= MOST_DAYS:
        raise ValueError(f"A range has {MOST_DAYS} days at most. Choose a shorter one.")
    return Range(CUSTOM, first, last)


def _day(text: str) -> date:
    if not text:
        raise ValueError("Choose the first and the last day of the range.")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"“{text[:20]}” is no date. Write it like 2026-01-31.") from error
