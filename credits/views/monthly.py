"""Monthly statements, of the agency's pool and of each client: to look at, to print, to send on."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from credits import monthly, totals
from credits.forms import NOBODY, StatementForm
from credits.models import Unit
from credits.monthly import Account
from credits.views.statement import all_clients, clients_named
from kit import clock
from kit.csv_stream import csv_response
from kit.units import decimal
from subaccounts.models import SubAccount

CSV_HEAD = ("Account", "Month", "Unit", "Part", "What", "Amount", "Amount in steps", "Lines")


@agency_door(Can.SEE_CREDITS)
@require_safe
def months(request: HttpRequest) -> HttpResponse:
    """The months of one year there are statements of, the newest first, with what was used in each."""
    agency, client = request.agency, _client(request)
    search = request.GET.get("search", "").strip()[:120]
    matches = clients_named(agency, search) if search and "\x00" not in search and not client else []
    if len(matches) == 1:
        return redirect(_address("credits_months", matches[0]))
    this_month = clock.today_in(agency.time_zone).replace(day=1)
    first = min(monthly.began(agency.public_id, agency.time_zone, client=client.public_id if client else None), this_month)
    asked = request.GET.get("year", "")
    year = next((year for year in range(first.year, this_month.year + 1) if str(year) == asked), this_month.year)
    shown = [month for month in _months_of(year) if first <= month <= this_month]
    used = _used(agency, client, shown)
    units = list(Unit.objects.all())
    context = {
        "client": client,
        "clients": all_clients(agency),
        "search": search,
        "matches": [(row.name, _address("credits_months", row)) for row in matches],
        "units": units,
        "rows": [
            {
                "month": month,
                "url": _address("credits_month", client, month),
                "csv_url": _address("credits_month_csv", client, month),
                "is_open": month == this_month,
                "used": [(unit, used.get(month, {}).get(unit.code, 0)) for unit in units],
            }
            for month in shown
        ],
        "year": year,
        "years": range(this_month.year, first.year - 1, -1),
    }
    return render(request, "credits/months.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def month(request: HttpRequest, month: str) -> HttpResponse:
    """One statement: opening balance, what came, was used and went, closing balance; and what the pool paid for a client."""
    agency, client = request.agency, _client(request)
    first = _asked_month(agency, month)
    accounts = _accounts(agency, client, first)
    this_month = clock.today_in(agency.time_zone).replace(day=1)
    began = monthly.began(agency.public_id, agency.time_zone, client=client.public_id if client else None)
    before, after = monthly.month_before(first), monthly.month_after(first)
    context = {
        "client": client,
        "month": first,
        "last_day": monthly.last_day(first),
        "is_open": first == this_month,
        "accounts": [account for account in accounts if not account.is_empty],
        "from_pool": [account for account in accounts if account.from_pool],
        "now": clock.now(),
        "months_url": _address("credits_months", client),
        "csv_url": _address("credits_month_csv", client, first),
        "lines_url": _lines_url(client, first),
        "previous_url": _address("credits_month", client, before) if before >= began else "",
        "next_url": _address("credits_month", client, after) if after <= this_month else "",
    }
    return render(request, "credits/month.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def month_csv(request: HttpRequest, month: str) -> HttpResponseBase:
    """The same as a file, a row for each figure."""
    agency, client = request.agency, _client(request)
    first = _asked_month(agency, month)
    name = client.name if client else f"{agency.name}, pool"
    rows = ([name, f"{first:%Y-%m}", *row] for account in _accounts(agency, client, first) for row in _csv_rows(account))
    file = f"{agency.slug}-{slugify(client.name) or 'client' if client else 'pool'}-{first:%Y-%m}.csv"
    return csv_response(file, CSV_HEAD, rows)


def _accounts(agency: Agency, client: SubAccount | None, first: date) -> list[Account]:
    days = totals.days_of(agency.public_id, agency.time_zone)
    return monthly.accounts(days, first, client=client.public_id if client else None)


def _used(agency: Agency, client: SubAccount | None, shown: list[date]) -> dict[date, dict[str, int]]:
    if not shown:
        return {}
    days = totals.days_of(agency.public_id, agency.time_zone)
    return monthly.used_by_month(days, shown[-1], monthly.last_day(shown[0]), client=client.public_id if client else None)


def _asked_month(agency: Agency, text: str) -> date:
    found = monthly.month_named(text)
    if found is None or found > clock.today_in(agency.time_zone):
        raise Http404
    return found


def _client(request: HttpRequest) -> SubAccount | None:
    """The client that is asked for; 404 for anybody who is not one of this agency."""
    form = StatementForm({"client": request.GET.get("client", "")})
    chosen = form.cleaned_data["client"] if form.is_valid() else NOBODY
    return get_object_or_404(SubAccount.objects.of(request.agency), public_id=chosen) if chosen else None


def _months_of(year: int) -> list[date]:
    return [date(year, number, 1) for number in range(12, 0, -1)]


def _address(name: str, client: SubAccount | None, month: date | None = None) -> str:
    path = reverse(name, args=[f"{month:%Y-%m}"] if month else [])
    return f"{path}?{urlencode({'client': str(client.public_id)})}" if client else path


def _lines_url(client: SubAccount | None, month: date) -> str:
    of_whom = {"client": str(client.public_id)} if client else {"wallet": "pool"}
    return f"{reverse('credits_statement')}?{urlencode({**of_whom, 'first': str(month), 'last': str(monthly.last_day(month))})}"


def _csv_rows(account: Account) -> Iterator[list[Any]]:
    def row(part: str, what: str, amount: int, lines: int | str = "") -> list[Any]:
        return [account.unit.code, part, what, decimal(amount, account.unit), amount, lines]

    yield row("Balance", "Opening balance", account.opening)
    for movement in account.movements:
        yield row(movement.group, movement.words, movement.amount, movement.lines)
    yield row("Balance", "Closing balance", account.closing)
    for movement in account.from_pool:
        yield row("Paid by the pool", movement.words, movement.amount, movement.lines)
