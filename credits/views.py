"""The agency's credit pages: what is left, every line of the statement, and who used how much."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency import audit
from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from credits import ledger, statement
from credits.forms import ThresholdForm
from credits.models import Unit, Wallet
from kit import clock
from kit.csv_stream import csv_response
from kit.units import figure
from subaccounts import credit_use
from subaccounts.models import SubAccount

RANGES = (7, 30, 90)
LISTED_CLIENTS = 200
LARGEST_USERS = 5
NOBODY = UUID(int=0)
CSV_HEAD = (
    "When (UTC)", "Client", "What", "Detail", "Contact", "Change", "Unit", "Balance after", "Balance of", "Own AI key", "By", "On behalf of", "Entry",
)  # fmt: skip


@agency_door(Can.SEE_CREDITS)
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    month = clock.month_start(agency.time_zone).date()
    pools = [
        {"wallet": wallet, "unit": wallet.unit, "used": sum(_totals(credit_use.by_day(agency, month, unit=wallet.unit_id)).values())}
        for wallet in _pools(agency)
    ]
    latest = statement.page(agency.public_id, statement.Wish(), size=8).lines[:8]
    return render(request, "credits/home.html", {"pools": pools, "lines": _named(agency, latest)})


@agency_door(Can.MOVE_CREDITS)
def threshold(request: HttpRequest, unit: str) -> HttpResponse:
    wallet = get_object_or_404(_pools(request.agency), unit_id=unit)
    now = None if wallet.low_at is None else Decimal(wallet.low_at) / wallet.unit.steps
    form = ThresholdForm(request.POST or None, unit=wallet.unit, initial={"low_at": now})
    if request.method == "POST" and form.is_valid():
        low_at: int | None = form.cleaned_data["low_at"]
        with transaction.atomic():
            ledger.set_threshold(wallet=wallet, low_at=low_at, by=request.actor)
            audit.record(
                "credit_alert.changed",
                by=request.actor,
                agency=request.agency,
                subject=f"{wallet.unit.plural} of the pool",
                before={"low_at": wallet.low_at},
                after={"low_at": low_at},
            )
        messages.success(request, f"The alert for {wallet.unit.plural} is {'off' if low_at is None else 'set'}.")
        return redirect("credits_home")
    return render(request, "credits/threshold.html", {"form": form, "wallet": wallet, "unit": wallet.unit})


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines(request: HttpRequest) -> HttpResponse:
    agency, wish = request.agency, _wish(request)
    cursor = request.GET.get("cursor", "")
    found = statement.page(agency.public_id, wish, before=_uuid(cursor))
    context = {
        "wish": wish,
        "lines": _named(agency, found.lines),
        "kinds": [("", "Everything"), *statement.KINDS.items()],
        "clients": _clients_to_choose(agency, wish.client),
        "pager_line": f"{len(found.lines)} line{'' if len(found.lines) == 1 else 's'} on this page",
        "first_url": _url(request, cursor="") if cursor else "",
        "next_url": _url(request, cursor=str(found.next_cursor)) if found.next_cursor else "",
        "query": _url(request, cursor="").partition("?")[2],
    }
    return render(request, "credits/statement.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file."""
    agency, wish = request.agency, _wish(request)
    names = dict(SubAccount.objects.of(agency).values_list("public_id", "name"))
    rows = (_csv_row(line, names) for line in statement.every(agency.public_id, wish))
    return csv_response(f"{agency.slug}-statement-{clock.today_in(agency.time_zone)}.csv", CSV_HEAD, rows)


@agency_door(Can.SEE_CREDITS)
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    days_back = next((days for days in RANGES if str(days) == request.GET.get("days")), 30)
    units = list(Unit.objects.all())
    unit = next((unit for unit in units if unit.code == request.GET.get("unit")), units[0])
    today = clock.today_in(agency.time_zone)
    days = [today - timedelta(days=back) for back in reversed(range(days_back))]
    used = credit_use.by_day(agency, days[0], unit=unit.code)
    totals = _totals(used)
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


def _pools(agency: Agency) -> Any:
    return Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency.public_id).select_related("unit").order_by("unit__position")


def _totals(used: dict[date, dict[UUID, int]]) -> dict[UUID, int]:
    totals: dict[UUID, int] = {}
    for of_day in used.values():
        for public_id, amount in of_day.items():
            totals[public_id] = totals.get(public_id, 0) + amount
    return totals


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


def _named(agency: Agency, lines: list[statement.Line]) -> list[dict[str, Any]]:
    """Each line with the client it is about."""
    ids = {line.sub_account_id for line in lines if line.sub_account_id}
    clients = {row.public_id: row for row in SubAccount.objects.of(agency).filter(public_id__in=ids)}
    return [{"line": line, "client": clients.get(line.sub_account_id) if line.sub_account_id else None} for line in lines]


def _clients_to_choose(agency: Agency, chosen: UUID | None) -> list[SubAccount]:
    """The first clients by name, and the chosen one if it is not among them."""
    found = list(SubAccount.objects.of(agency).order_by("name", "id")[:LISTED_CLIENTS])
    if chosen and all(row.public_id != chosen for row in found):
        found += SubAccount.objects.of(agency).filter(public_id=chosen)
    return found


def _csv_row(line: statement.Line, names: dict[UUID, str]) -> list[Any]:
    return [
        line.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00"),
        names.get(line.sub_account_id, "") if line.sub_account_id else "",
        line.kind,
        line.detail,
        line.contact,
        Decimal(figure(line.change, line.unit).replace(",", "")),
        line.unit,
        Decimal(figure(line.balance, line.unit).replace(",", "")),
        "pool" if line.is_pool else "client",
        "yes" if line.own_key else "no",
        line.by,
        line.on_behalf_of,
        str(line.id),
    ]


def _wish(request: HttpRequest) -> statement.Wish:
    kind = request.GET.get("kind", "")
    client = request.GET.get("client", "")
    # Nonsense is nobody's id: it finds no line, rather than everybody's.
    return statement.Wish(client=(_uuid(client) or NOBODY) if client else None, kind=kind if kind in statement.KINDS else "")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _url(request: HttpRequest, **changes: str) -> str:
    """This page's address with other query parameters; an empty one is left out."""
    query = {name: value for name, value in {**request.GET.dict(), **changes}.items() if value}
    return f"{request.path}?{urlencode(query)}" if query else request.path
