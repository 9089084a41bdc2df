"""How many credits the clients of an agency used: sums over the ledger's entries."""

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, Case, F, Q, QuerySet, Sum, When
from django.db.models.functions import TruncDate

from agency.models import Agency
from credits.books import USED, VOIDED, book
from credits.models import Entry
from subaccounts.models import SubAccount

UNIT = "credit"


def by_sub_account(agency: Agency, first: date, *, among: Iterable[UUID]) -> dict[UUID, int]:
    """Credits used since the start of `first` in the agency's time zone, by the public id of the sub-account. One query."""
    rows = totals_query(agency, first).filter(sub_account_id__in=list(among))
    return {row["sub_account_id"]: row["total"] for row in rows}


def totals_query(agency: Agency, first: date) -> QuerySet[Entry, Any]:
    """The same as rows of `sub_account_id` and `total`, to be joined."""
    entries = _entries(agency, first).filter(sub_account_id__isnull=False)
    return entries.order_by().values("sub_account_id").annotate(total=_used()).values("sub_account_id", "total")


def by_day(agency: Agency, first: date, *, sub_account: SubAccount | None = None, unit: str = UNIT) -> dict[date, dict[UUID, int]]:
    """For each day (in the agency's time zone) what each sub-account used of `unit`. One query."""
    entries = _entries(agency, first, unit)
    if sub_account is not None:
        entries = entries.filter(sub_account_id=sub_account.public_id)
    day = TruncDate("at", tzinfo=ZoneInfo(agency.time_zone))
    days: dict[date, dict[UUID, int]] = {}
    for row in entries.annotate(day=day).values("day", "sub_account_id").annotate(used=_used()).order_by("day"):
        if row["sub_account_id"]:
            days.setdefault(row["day"], {})[row["sub_account_id"]] = row["used"]
    return days


def totals(used: dict[date, dict[UUID, int]]) -> dict[UUID, int]:
    """What each sub-account used over all days of `by_day`."""
    totals: dict[UUID, int] = {}
    for of_day in used.values():
        for public_id, amount in of_day.items():
            totals[public_id] = totals.get(public_id, 0) + amount
    return totals


def _entries(agency: Agency, first: date, unit: str = UNIT) -> QuerySet[Entry]:
    """Uses, and the voids that gave uses back. An entry's id begins with its milliseconds, so the range reads only the months it needs."""
    start = datetime.combine(first, time.min, tzinfo=ZoneInfo(agency.time_zone))
    moved = Q(to_wallet_id=book(USED, unit)) | Q(from_wallet_id=book(VOIDED, unit))
    return Entry.objects.filter(moved, agency_id=agency.public_id, pk__gte=UUID(int=int(start.timestamp() * 1000) << 80))


def _used() -> Sum:
    is_void = When(kind="void", then=-F("amount"))
    return Sum(Case(is_void, default=F("amount"), output_field=BigIntegerField()))
