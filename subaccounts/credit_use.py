"""How many credits the clients of an agency used, out of the ledger's totals: exact at every moment, however many entries there are."""

from collections.abc import Collection, Iterable
from datetime import date, timedelta
from uuid import UUID

from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from agency.models import Agency
from credits import totals
from credits.models import Calendar, Unit
from credits.totals import Days, Query
from kit import clock
from subaccounts.models import SubAccount

UNIT = "credit"


def days_of(agency: Agency) -> Days:
    """By which days the agency's use is counted."""
    return totals.days_of(agency.public_id, agency.time_zone)


def by_sub_account(agency: Agency, first: date, *, among: Iterable[UUID]) -> dict[UUID, int]:
    """Credits used since the start of `first` in the agency's time zone, by the public id of the sub-account."""
    return totals.used(days_of(agency), UNIT, first, _today(agency), among=list(among))


def totals_query(agency: Agency, first: date) -> Query:
    """The same of all sub-accounts, as a statement with rows of public id and credits, to be joined."""
    return totals.used_query(days_of(agency), UNIT, first, _today(agency))


def by_day(sub_account: SubAccount, first: date, *, unit: str = UNIT) -> dict[date, int]:
    """What one sub-account used on each day since `first`; other days are left out."""
    agency = sub_account.agency
    found = totals.used_by_day(days_of(agency), unit, first, _today(agency), among=[sub_account.public_id])
    return found.get(sub_account.public_id, {})


def today(agency: Agency, unit: str) -> dict[UUID, int]:
    """What each sub-account used of `unit` today; who used nothing is left out."""
    day = _today(agency)
    return totals.used(days_of(agency), unit, day, day)


def days_before(agency: Agency, unit: str, days: int, *, among: Collection[UUID]) -> dict[UUID, list[int]]:
    """What each of some sub-accounts used of `unit` on each of the `days` before today, those without use included."""
    last = _today(agency) - timedelta(days=1)
    span = [last - timedelta(days=distance) for distance in range(days)]
    found = totals.used_by_day(days_of(agency), unit, span[-1], last, among=list(among))
    return {public_id: [found.get(public_id, {}).get(day, 0) for day in span] for public_id in among}


def of_pool_by_unit(agency: Agency, first: date) -> dict[str, int]:
    """What the pool paid for its clients since `first`, of every unit."""
    units = list(Unit.objects.values_list("code", flat=True))
    lines = [line for line in totals.sums(days_of(agency), units, first, _today(agency)) if line.is_pool]
    return {unit: totals.net((line for line in lines if line.unit == unit), totals.USED, minus=totals.RETURNED) for unit in units}


def sweep() -> int:
    """Have every agency's days counted in its time zone, and fold what is not in the totals yet; how many lines that was."""
    newest = Calendar.objects.filter(agency_id=OuterRef("public_id")).order_by("-id").values("time_zone")[:1]
    for agency in Agency.objects.annotate(counted_in=Coalesce(Subquery(newest), Value(""))).exclude(counted_in=F("time_zone")):
        totals.keep_days(agency.public_id, agency.time_zone)
    return totals.fold()


def _today(agency: Agency) -> date:
    return clock.today_in(agency.time_zone)
