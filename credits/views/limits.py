"""How much of the pool each client may use, and what the limits promise together."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from credits.models import Unit
from kit import clock
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from kit.links import this_with
from kit.requests import words_of
from kit.units import figure
from subaccounts import pool_limits
from subaccounts.models import SubAccount

CSV_HEAD = ["Client", "Unit", "Policy", "Limit a month", "Used this month", "Left", "At the limit"]
FILTERS = [("", "All"), *pool_limits.POLICIES.items(), (pool_limits.REACHED, "Limit reached")]


@agency_door(Can.SEE_CREDITS)
@require_safe
def limits(request: HttpRequest) -> HttpResponse:
    agency, units = request.agency, list(Unit.objects.all())
    wish = _wish(request, units)
    sub_accounts = SubAccount.objects.of(agency).open_to(request.membership)
    page = pool_limits.page(agency, sub_accounts, wish, cursor=uuid_of(request.GET.get("cursor", "")))
    context = {
        "wish": wish,
        "units": units,
        "filters": FILTERS,
        "page": page,
        "commitments": pool_limits.commitments(agency),
        "pager_line": f"{len(page.rows)} shown, {pool_limits.PAGE} on a page",
        "first_url": this_with(request, cursor="") if "cursor" in request.GET else "",
        "next_url": this_with(request, cursor=str(page.next_cursor)) if page.next_cursor else "",
        "csv_url": f"{reverse('credits_limits_csv')}?{urlencode({'q': wish.search, 'policy': wish.policy, 'unit': wish.unit.code})}",
    }
    return render(request, "credits/limits.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def limits_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, all pages of it, as a table for other programs; amounts in whole units."""
    agency = request.agency
    wish = _wish(request, list(Unit.objects.all()))
    rows = pool_limits.every(agency, SubAccount.objects.of(agency).open_to(request.membership), wish)
    return csv_response(f"{agency.slug}-limits-{clock.today_in(agency.time_zone)}.csv", CSV_HEAD, map(_csv_row, rows))


def _csv_row(row: pool_limits.Row) -> list[Any]:
    limit, left = ("", "") if row.limit is None else (_plain(row.limit.amount, row.unit), _plain(row.limit.left, row.unit))
    return [row.sub_account.name, row.unit.plural, row.policy, limit, _plain(row.used, row.unit), left, row.at_limit]


def _plain(amount: int, unit: Unit) -> float | int:
    return float(figure(amount, unit).replace(",", "")) if amount % unit.steps else amount // unit.steps


def _wish(request: HttpRequest, units: list[Unit]) -> pool_limits.Wish:
    return pool_limits.Wish(
        unit=next((unit for unit in units if unit.code == request.GET.get("unit")), units[0]),
        search=words_of(request.GET.get("q", "")),
        policy=next((code for code, _ in FILTERS if code == request.GET.get("policy")), ""),
    )
