"""Who used how much."""

from collections.abc import Iterable
from datetime import date, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from credits import totals as credit_totals
from credits.models import Unit, Wallet
from kit import clock
from subaccounts import credit_use
from subaccounts.models import SubAccount

RANGES = (7, 30, 90)
LARGEST_USERS = 5


@agency_door(Can.SEE_CREDITS)
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    days_back = next((days for days in RANGES if str(days) == request.GET.get("days")), 30)
    units = list(Unit.objects.all())
    unit = next((unit for unit in units if unit.code == request.GET.get("unit")), units[0])
    today = clock.today_in(agency.time_zone)
    days = [today - timedelta(days=back) for back in reversed(range(days_back))]
    counted = credit_use.days_of(agency)
    totals = credit_totals.used(counted, unit.code, days[0], today)
    by_client = credit_totals.used_by_day(counted, unit.code, days[0], today, among=list(totals))
    used: dict[date, dict[UUID, int]] = {}
    for public_id, of_client in by_client.items():
        for day, amount in of_client.items():
            used.setdefault(day, {})[public_id] = amount
    clients = {row.public_id: row for row in SubAccount.objects.of(agency).filter(public_id__in=totals)}
    own = dict(Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=totals, unit=unit).values_list("owner_id", "balance"))
    ranking = sorted(totals, key=lambda public_id: (-totals[public_id], str(public_id)))
    context = {
        "days": days_back,
        "ranges": RANGES,
        "unit": unit,
        "units": units,
        "total": sum(totals.values()),
        "labels": days,
        "series": _series(days, used, ranking, clients, unit),
        "rows": [{"client": clients.get(id), "used": totals[id], "own": own.get(id, 0)} for id in ranking],
    }
    return render(request, "credits/usage.html", context)


def _series(
    days: list[date], used: dict[date, dict[UUID, int]], ranking: list[UUID], clients: dict[UUID, SubAccount], unit: Unit
) -> list[tuple[str, list[float]]]:
    """Per client and day in whole units: the largest users by name, the others together."""

    def values(public_ids: Iterable[UUID]) -> list[float]:
        wanted = list(public_ids)
        return [round(sum(used.get(day, {}).get(id, 0) for id in wanted) / unit.steps, 2) for day in days]

    named, others = ranking[:LARGEST_USERS], ranking[LARGEST_USERS:]
    series = [(clients[id].name if id in clients else "Moved away", values([id])) for id in named]
    return [*series, (f"{len(others)} others", values(others))] if others else series
