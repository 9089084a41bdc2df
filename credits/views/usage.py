"""Who used how much, when and for what."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from credits import totals
from credits.models import Unit
from kit import ranges
from kit.csv_stream import csv_response
from kit.links import this_with
from kit.ranges import Range
from kit.units import figure
from subaccounts import credit_use, usage

SHOWN_BY = {"client": "By client", "kind": "By kind", "payer": "Own and pool"}


@dataclass(frozen=True)
class Wish:
    """What the person asked to see. `error` says why it is not the range they asked for."""

    unit: Unit
    units: list[Unit]
    range: Range
    error: str
    by: str


@agency_door(Can.SEE_CREDITS)
@require_safe
def trend(request: HttpRequest) -> HttpResponse:
    agency, wish = request.agency, wish_of(request)
    days, shown, before = totals.looked_through(credit_use.days_of(agency), wish.unit.code), wish.range, wish.range.previous
    cursor = request.GET.get("cursor", "")
    page = usage.page(agency, days, wish.unit, shown, cursor=cursor)
    lines, lines_before = usage.compared(totals.sums(days, [wish.unit.code], before.first, shown.last), shown)
    series = {
        "client": lambda: usage.by_client(days, wish.unit.code, shown) if cursor else usage.by_first(page, lines, shown),
        "kind": lambda: usage.by_kind(lines, shown),
        "payer": lambda: usage.by_payer(lines, shown),
    }[wish.by]()
    context = range_context(request, wish) | {
        "by": wish.by,
        "shown_by": SHOWN_BY,
        "summary": usage.summary(lines, lines_before, clients=page.clients),
        "kinds": usage.kinds(lines, lines_before),
        "series": usage.in_units(series, wish.unit),
        "rows": page.rows,
        "pager_line": f"{len(page.rows)} of {page.clients:,} client{'' if page.clients == 1 else 's'} on this page",
        "first_url": this_with(request, cursor="") if request.GET.get("cursor") else "",
        "next_url": this_with(request, cursor=page.next_cursor) if page.next_cursor else "",
        "query": this_with(request, cursor="").partition("?")[2],
    }
    return render(request, "credits/usage.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def trend_csv(request: HttpRequest) -> HttpResponseBase:
    """The table of clients, all pages of it."""
    agency, wish = request.agency, wish_of(request)
    name = f"{agency.slug}-usage-{wish.unit.code}-{wish.range.first}-{wish.range.last}.csv"
    plural = wish.unit.plural
    head = ["Client", f"Used ({plural})", "Share of all", f"Used {wish.range.previous.words} ({plural})", "Change", f"Own {plural} left"]
    return csv_response(name, head, _csv_rows(request, wish))


def _csv_rows(request: HttpRequest, wish: Wish) -> Iterator[list[Any]]:
    agency, unit = request.agency, wish.unit
    days, cursor = credit_use.days_of(agency), ""
    total = sum(totals.used_by_day(days, unit.code, wish.range.first, wish.range.last).get(totals.NOBODY, {}).values())
    while True:
        page = usage.page(agency, days, unit, wish.range, cursor=cursor, size=500)
        for row in page.rows:
            share = f"{round(Decimal(row.used) * 100 / total)} %" if total else ""
            yield [row.name, _whole(row.used, unit), share, _whole(row.before, unit), row.change, _whole(row.own, unit)]
        cursor = page.next_cursor
        if not cursor:
            return


def wish_of(request: HttpRequest, *, usual: str = ranges.USUAL) -> Wish:
    """Of nonsense the usual is shown; only a range somebody wrote is answered with what is wrong with it."""
    units = list(Unit.objects.all())
    unit = next((unit for unit in units if unit.code == request.GET.get("unit")), units[0])
    shown, error = ranges.chosen(request.GET, request.agency.time_zone, usual=usual)
    by = request.GET.get("by", "")
    return Wish(unit, units, shown, error, by if by in SHOWN_BY else "client")


def range_context(request: HttpRequest, wish: Wish) -> dict[str, Any]:
    """What `credits/_range.html` and a chart of the range need."""
    return {
        "range": wish.range,
        "choices": ranges.CHOICES,
        "range_error": wish.error,
        "asked": {name: request.GET.get(name, "")[:20] for name in ("first", "last")},
        "before": wish.range.previous,
        "unit": wish.unit,
        "units": wish.units,
        "labels": [label for label, _ in wish.range.steps],
    }


def _whole(amount: int, unit: Unit) -> Decimal:
    return Decimal(figure(amount, unit).replace(",", ""))
