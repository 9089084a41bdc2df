"""What units and uses cost: the agency's markups and rates for all its clients, and for one of them."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency.access import Can
from agency.doors import agency_door
from credits import rates
from subaccounts import pricing
from subaccounts.forms import PricesForm
from subaccounts.models import SubAccount
from subaccounts.views.detail import sub_account_of

_UNCHANGED = "a change writes its record; saving what is there already changes nothing"


@agency_door(Can.SEE_CREDITS, unaudited=_UNCHANGED)
def of_agency(request: HttpRequest) -> HttpResponse:
    return _prices(request, None)


@agency_door(Can.SEE_CREDITS, unaudited=_UNCHANGED)
def of_client(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return _prices(request, sub_account_of(request, public_id))


def _prices(request: HttpRequest, sub_account: SubAccount | None) -> HttpResponse:
    may_edit = Can.MOVE_CREDITS in request.capabilities
    if request.method == "POST" and not may_edit:
        raise PermissionDenied
    price_rows, rate_rows = pricing.price_rows(request.agency, sub_account), pricing.rate_rows(request.agency, sub_account)
    form = PricesForm(request.POST if request.method == "POST" else None, prices=price_rows, rates=rate_rows)
    if form.is_bound and form.is_valid() and _saved(request, sub_account, form):
        return redirect(request.path)
    context = {
        "sub_account": sub_account,
        "form": form,
        "may_edit": may_edit,
        "prices": [(row, form[f"markup_{row.unit.code}"]) for row in price_rows],
        "rates": [(row, form[f"rate_{row.kind.code}"]) for row in rate_rows],
        "currency": request.agency.currency,
    }
    return render(request, "credits/prices.html", context, status=400 if form.errors else 200)


def _saved(request: HttpRequest, sub_account: SubAccount | None, form: PricesForm) -> bool:
    """Whether it is done; otherwise the form says why not."""
    try:
        changed = pricing.save(agency=request.agency, sub_account=sub_account, markups=form.markups, steps=form.steps, by=request.actor)
    except rates.BelowFloor as refusal:  # staff raised it since the form was checked
        form.add_error(None, refusal.message)
        return False
    whose = sub_account.name if sub_account else "all clients"
    messages.success(request, f"The prices of {whose} are saved." if changed else f"The prices of {whose} stay as they were.")
    return True
