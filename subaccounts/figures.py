"""What sub-accounts did per day, in public: deeds add, agency pages sum. No page ever looks into many workspaces."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from django.db import connection
from django.db.models import QuerySet, Sum

from agency.models import Agency
from kit import clock
from subaccounts.models import DailyFigures, SubAccount


@dataclass(frozen=True)
class Figures:
    """Counts over some days; `seconds` are seconds of calls."""

    conversations: int = 0
    messages: int = 0
    replies: int = 0
    leads: int = 0
    contacts: int = 0
    campaign_sends: int = 0
    calls: int = 0
    seconds: int = 0


NAMES = tuple(field.name for field in fields(Figures))
_SUMS = {name: Sum(name) for name in NAMES}


def add(sub_account: SubAccount, **counts: int) -> None:
    """Add `counts` (names of `Figures`, none negative) to today in the agency's time zone.

    In the caller's transaction, so that the figure stands exactly when the deed does. The day's row stays locked until the
    commit: call it last. An unknown name raises TypeError, a negative count ValueError.
    """
    if unknown := set(counts) - set(NAMES):
        raise TypeError(f"no such figures: {', '.join(sorted(unknown))}")
    if any(count < 0 for count in counts.values()):
        raise ValueError("figures only grow")
    values = {name: counts.get(name, 0) for name in NAMES}
    table = DailyFigures._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (sub_account_id, day, {', '.join(NAMES)}) VALUES (%s, %s{', %s' * len(NAMES)}) "
            f"ON CONFLICT (sub_account_id, day) DO UPDATE SET {', '.join(f'{name} = {table}.{name} + EXCLUDED.{name}' for name in counts)}",
            [sub_account.pk, clock.today_in(sub_account.agency.time_zone), *values.values()],
        )


def total(of: Agency | SubAccount, first: date, last: date) -> Figures:
    """The sums of an agency or one sub-account over the days `first` to `last`, both included, in one query."""
    return _figures(_rows(of, first, last).aggregate(**_SUMS))


def by_sub_account(agency: Agency, first: date, last: date, *, among: Iterable[int] | None = None) -> dict[int, Figures]:
    """The sums of each sub-account, by its id, in one query; one that did nothing is left out. `among` narrows it to some ids."""
    rows = _rows(agency, first, last)
    if among is not None:
        rows = rows.filter(sub_account_id__in=list(among))
    return {row["sub_account_id"]: _figures(row) for row in rows.values("sub_account_id").annotate(**_SUMS).order_by()}


def by_day(of: Agency | SubAccount, first: date, last: date) -> dict[date, Figures]:
    """The sums of each day on which something happened, in the order of days, in one query."""
    return {row["day"]: _figures(row) for row in _rows(of, first, last).values("day").annotate(**_SUMS).order_by("day")}


def _rows(of: Agency | SubAccount, first: date, last: date) -> QuerySet[DailyFigures]:
    rows = DailyFigures.objects.filter(day__range=(first, last))
    return rows.filter(sub_account__agency=of) if isinstance(of, Agency) else rows.filter(sub_account=of)


def _figures(row: Mapping[str, Any]) -> Figures:
    return Figures(**{name: row[name] or 0 for name in NAMES})
