"""The credit dashboard of one client: what it bought, was given, used and has left, and how that goes on (R-13, R-14)."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from credits import grants, totals
from credits.views.usage import range_context, wish_of
from subaccounts import account, credit_use, usage
from subaccounts.views.detail import sub_account_of

SHOWN_BY = {"kind": "By kind", "payer": "Own and pool"}
LATEST_GRANTS = 5


@agency_door(Can.SEE_CREDITS)
@require_safe
def client_credits(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown, wish = sub_account_of(request, public_id), wish_of(request)
    days, code, before = credit_use.days_of(request.agency), wish.unit.code, wish.range.previous
    found = totals.sums(days, [code], before.first, wish.range.last, client=shown.public_id)
    lines, lines_before = usage.compared(found, wish.range)
    by = request.GET.get("by") if request.GET.get("by") in SHOWN_BY else "kind"
    series = usage.by_kind(lines, wish.range) if by == "kind" else usage.by_payer(lines, wish.range)
    accounts = account.accounts(shown)
    wallet = shown.wallet(code)
    context = range_context(request, wish) | {
        "sub_account": shown,
        "accounts": accounts,
        "account_lines": account.lines(accounts),
        "account": next((one for one in accounts if one.unit.code == code), None),
        "without_price": [one.unit.plural for one in accounts if one.price is None],
        "by": by,
        "shown_by": SHOWN_BY,
        "summary": usage.summary(lines, lines_before),
        "kinds": usage.kinds(lines, lines_before),
        "series": usage.in_units(series, wish.unit),
        "pool_use": account.pool_use(shown, wallet),
        "wallet": wallet,
        "grants": grants.page(wallet, size=LATEST_GRANTS).rows,
    }
    return render(request, "subaccounts/credits.html", context)
