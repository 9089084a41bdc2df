"""A client's own balances. Where its agency hides them there are no such pages, for nobody in the workspace."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from agency.access import Can
from credits import grants, monthly
from credits.forms import ThresholdForm
from credits.models import Threshold
from kit import clock
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from subaccounts import thresholds
from subaccounts.doors import workspace_door
from subaccounts.models import SubAccount
from workspace import balances, lines, months
from workspace.views.usage import listed, number, told, wish_of

CSV_HEAD = ("When (UTC)", "What", "Chatbot or campaign", "Contact", "Change", "Unit", "Balance after", "Whose", "Own AI key")

MONTH_HEAD = ("Month", "Unit", "Part", "What", "Amount", "Lines")


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_credits(request: HttpRequest) -> HttpResponse:
    sub_account = shown(request)
    own = balances.of(sub_account)
    chosen = next((one for one in own if one.unit.code == request.GET.get("unit")), own[0])
    cursor = request.GET.get("cursor", "")
    page = grants.page(chosen.wallet, after=uuid_of(cursor))
    context = {
        "balances": own,
        "chosen": chosen,
        "unit": chosen.unit,
        "grants": [{"opened": opened, "source": balances.in_words(opened)} for opened in page.rows],
        "afterwards": balances.AFTERWARDS[sub_account.pool_fallback],
        "pager_line": f"{len(page.rows)} on this page",
        "first_url": f"{request.path}?unit={chosen.unit.code}" if cursor else "",
        "next_url": f"{request.path}?unit={chosen.unit.code}&cursor={page.next_cursor}" if page.next_cursor else "",
    }
    return render(request, "workspace/credits.html", context)


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_statement(request: HttpRequest) -> HttpResponse:
    """Every line of its own wallets, and what its agency paid for it."""
    shown(request)
    return render(request, "workspace/statement.html", listed(request, lines.KINDS, only_uses=False))


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_statement_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file."""
    sub_account = shown(request)
    rows = (_csv_row(line) for line in lines.every(sub_account, wish_of(request), only_uses=False))
    return csv_response(f"{sub_account.slug}-statement-{clock.today_in(sub_account.agency.time_zone)}.csv", CSV_HEAD, rows)


def _csv_row(line: lines.Line) -> list[Any]:
    balance = "" if line.balance is None else number(line.balance, line.unit)
    return [
        *told(line), number(line.change, line.unit), line.unit, balance, "your agency" if line.balance is None else "own wallet",
        "yes" if line.own_key else "no",
    ]  # fmt: skip


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_months(request: HttpRequest) -> HttpResponse:
    """The statement of this month, so far."""
    today = clock.today_in(shown(request).agency.time_zone)
    return redirect("workspace_month", month=f"{today:%Y-%m}")


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_month(request: HttpRequest, month: str) -> HttpResponse:
    """One month of its own wallets: what there was, what came, was used and went, what was left; and what its agency paid."""
    sub_account = shown(request)
    zone = sub_account.agency.time_zone
    first = _asked_month(sub_account, month)
    this_month = clock.today_in(zone).replace(day=1)
    began = monthly.began(sub_account.agency.public_id, zone, client=sub_account.public_id)
    before, after = monthly.month_before(first), monthly.month_after(first)
    accounts = months.accounts(sub_account, first)
    context = {
        "month": first,
        "last_day": monthly.last_day(first),
        "is_open": first == this_month,
        "accounts": [account for account in accounts if account.opening or account.movements],
        "paid": [account for account in accounts if account.from_pool],
        "previous": f"{before:%Y-%m}" if before >= began else "",
        "next": f"{after:%Y-%m}" if after <= this_month else "",
    }
    return render(request, "workspace/month.html", context)


@workspace_door(Can.SEE_WORKSPACE)
@require_safe
def workspace_month_csv(request: HttpRequest, month: str) -> HttpResponseBase:
    """The same as a file, a row for each figure."""
    sub_account = shown(request)
    first = _asked_month(sub_account, month)
    rows = ([f"{first:%Y-%m}", *row] for account in months.accounts(sub_account, first) for row in _month_rows(account))
    return csv_response(f"{sub_account.slug}-{first:%Y-%m}.csv", MONTH_HEAD, rows)


def _asked_month(sub_account: SubAccount, text: str) -> date:
    found = monthly.month_named(text)
    if found is None or found > clock.today_in(sub_account.agency.time_zone):
        raise Http404
    return found


def _month_rows(account: monthly.Account) -> Iterator[list[Any]]:
    unit = account.unit.code
    yield [unit, "Balance", "Opening balance", number(account.opening, unit), ""]
    for movement in account.movements:
        yield [unit, movement.group, movement.words, number(movement.amount, unit), movement.lines]
    yield [unit, "Balance", "Closing balance", number(account.closing, unit), ""]
    for movement in account.from_pool:
        yield [unit, "Paid by your agency", movement.words, number(movement.amount, unit), movement.lines]


@workspace_door(Can.MANAGE_WORKSPACE)
def workspace_alert(request: HttpRequest, unit: str) -> HttpResponse:
    """When the client itself wants to hear that its own balance is low."""
    sub_account = shown(request)
    balance = next((one for one in balances.of(sub_account) if one.unit.code == unit), None)
    if balance is None:
        raise Http404
    now = None if balance.low_at is None else Decimal(balance.low_at) / balance.unit.steps
    form = ThresholdForm(request.POST or None, unit=balance.unit, initial={"low_at": now})
    if request.method == "POST" and form.is_valid():
        wishes = {unit: form.cleaned_data["low_at"]}
        thresholds.choose(sub_account=sub_account, audience=Threshold.CLIENT, wishes=wishes, by=request.actor)
        messages.success(request, f"The alert for {balance.unit.plural} is {'off' if form.cleaned_data['low_at'] is None else 'set'}.")
        return redirect("workspace_credits")
    return render(request, "workspace/alert.html", {"form": form, "balance": balance, "unit": balance.unit})


def shown(request: HttpRequest) -> SubAccount:
    """The workspace's sub-account where it may be told its balances; otherwise there is no such page."""
    sub_account = request.site.sub_account
    if not sub_account.shows_balance:
        raise Http404
    return sub_account
