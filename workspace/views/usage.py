"""What a workspace used: for everybody in it, in every mode, and never with a balance."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agency.access import Can
from credits.models import Unit
from kit import clock, ranges
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from kit.links import this_with
from kit.units import figure
from subaccounts import figures
from subaccounts.doors import workspace_door
from workspace import lines, pages, replies, usage

USES_HEAD = ("When (UTC)", "What", "Chatbot or campaign", "Contact", "Amount", "Unit", "Own AI key")


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def workspace_usage(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    shown, problem = ranges.chosen(request.GET, sub_account.agency.time_zone)
    units = list(Unit.objects.all())
    unit = next((unit for unit in units if unit.code == request.GET.get("unit")), units[0])
    context: dict[str, Any] = {
        "shows_balance": sub_account.shows_balance,
        "choices": ranges.CHOICES,
        "range": shown,
        "range_error": problem,
        "asked": {name: request.GET.get(name, "")[:20] for name in ("first", "last")},
        "units": units,
        "unit": unit,
        "usage": usage.of(sub_account, shown, unit),
        "figures": figures.total(sub_account, shown.first, shown.last),
        "reply_cost": replies.cost(sub_account),
    }
    return render(request, "workspace/usage.html", context)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def workspace_uses(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    kinds = {**lines.USES, "void": lines.RECEIVED["void"]}
    context = listed(request, kinds, only_uses=True) | {"shows_balance": sub_account.shows_balance}
    return render(request, "workspace/uses.html", context)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def workspace_uses_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file. What was given back is negative."""
    sub_account = request.site.sub_account
    found = lines.every(sub_account, wish_of(request), only_uses=True)
    rows = ([*told(line), number(-line.change, line.unit), line.unit, "yes" if line.own_key else "no"] for line in found)
    return csv_response(f"{sub_account.slug}-usage-{clock.today_in(sub_account.agency.time_zone)}.csv", USES_HEAD, rows)


def listed(request: HttpRequest, kinds: dict[str, str], *, only_uses: bool) -> dict[str, Any]:
    """A page of lines and what stands around it."""
    cursor, wish = request.GET.get("cursor", ""), wish_of(request)
    page = lines.page(request.site.sub_account, wish, only_uses=only_uses, before=uuid_of(cursor))
    count = len(page.lines)
    return {
        "wish": wish,
        "kinds": [("", "Everything"), *kinds.items()],
        "lines": page.lines,
        "pager_line": f"{count} line{'' if count == 1 else 's'} on this page",
        "first_url": this_with(request, cursor="") if cursor else "",
        "next_url": this_with(request, cursor=str(page.next_cursor)) if page.next_cursor else "",
        "query": this_with(request, cursor="").partition("?")[2],
    }


def wish_of(request: HttpRequest) -> lines.Wish:
    """What the address asks for; what makes no sense there is not asked."""
    kind = request.GET.get("kind", "")
    return lines.Wish(
        kind=kind if kind in lines.KINDS else "",
        contact=pages.asked(request, "contact"),
        first=_day(request, "from"),
        last=_day(request, "to"),
    )


def told(line: lines.Line) -> list[Any]:
    """The columns that every file of lines begins with."""
    return [line.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00"), line.what, line.detail, line.contact]


def number(amount: int, unit: str) -> Decimal:
    return Decimal(figure(amount, unit).replace(",", ""))


def _day(request: HttpRequest, name: str) -> date | None:
    try:
        day = date.fromisoformat(request.GET.get(name, ""))
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2200 else None
