"""Topping a client up out of the pool, and taking back."""

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from agency.access import Can
from agency.doors import agency_door
from credits import ledger
from kit.units import in_words
from subaccounts import allocating
from subaccounts.forms import AllocationForm
from subaccounts.models import SubAccount
from subaccounts.views.detail import sub_account_of

_DONE = {
    allocating.TOP_UP: "{name} is topped up with {amount}. {change}.",
    allocating.TAKE_BACK: "{amount} taken back from {name}. {change}.",
}


@agency_door(Can.MOVE_CREDITS, unaudited="moving writes its record; the same form sent again moves nothing")
@never_cache
def allocation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Two forms, one for each act. A GET with an amount shows what it would do to both balances."""
    shown = sub_account_of(request, public_id)
    balances = allocating.balances_of(shown)
    forms = {act: AllocationForm(act=act, balances=balances) for act in allocating.ACTS}
    asked = request.POST if request.method == "POST" else request.GET
    act, status = asked.get("act", ""), 200
    if request.method == "POST":
        if act not in forms:
            raise BadRequest("the form has no such button")
        form = forms[act] = AllocationForm(request.POST, act=act, balances=balances)
        if form.is_valid() and _moved(request, shown, form):
            return redirect("allocation", public_id=shown.public_id)
        status = 409 if form.non_field_errors() else 200
    elif act in forms and asked.get("amount"):
        forms[act] = AllocationForm({**asked.dict(), "key": str(uuid4())}, act=act, balances=balances)
    context = {
        "sub_account": shown,
        "balances": balances,
        "acts": [_act(request, shown, form) for form in forms.values()],
        "form": forms.get(act),
    }
    return render(request, "subaccounts/allocation.html", context, status=status)


def _act(request: HttpRequest, sub_account: SubAccount, form: AllocationForm) -> dict[str, Any]:
    planned = form.planned() if form.is_bound and form.is_valid() else None
    # While somebody types, only the preview is swapped, so it has to say what is wrong; on a whole page the field says it.
    problem = " ".join(map(str, form.errors.get("amount", []))) if request.htmx else ""
    return {"form": form, "name": form.kind, "preview": planned.in_words(sub_account.name) if planned else problem}


def _moved(request: HttpRequest, sub_account: SubAccount, form: AllocationForm) -> bool:
    """Whether it is done; otherwise the form says why not."""
    unit, amount, key = form.chosen.unit, form.steps, form.cleaned_data["key"]
    try:
        moved = allocating.move(act=form.kind, sub_account=sub_account, unit=unit, amount=amount, key=key, by=request.actor)
    except ledger.InsufficientCredits as refusal:
        form.refuse(refusal.available)
        return False
    except ledger.KeyReused:
        form.add_error(None, "This form was sent before, with something else in it. Nothing was moved. Open the page again.")
        return False
    said = _DONE[form.kind].format(name=sub_account.name, amount=in_words(amount, unit), change=moved.in_words(sub_account.name))
    messages.success(request, said[:1].upper() + said[1:])
    return True
