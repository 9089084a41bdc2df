"""Who pays when a client's own units are used up, and up to what."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency.access import Can
from agency.doors import agency_door
from subaccounts import pool_policy
from subaccounts.forms import PoolPolicyForm
from subaccounts.views.detail import sub_account_of


@agency_door(Can.MOVE_CREDITS, unaudited="choosing writes its record; the same form sent again changes nothing")
def sub_account_limit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = sub_account_of(request, public_id)
    policy = pool_policy.of(shown)
    form = PoolPolicyForm(request.POST if request.method == "POST" else None, policy=policy)
    if form.is_valid():
        chosen = pool_policy.choose(sub_account=shown, **form.cleaned_data, by=request.actor)
        messages.success(request, f"Saved for {chosen.name}: {chosen.get_pool_fallback_display().lower()}.")
        return redirect("sub_account_limit", public_id=chosen.public_id)
    rows = [{"field": field, "use": use} for field, use in zip(form.rows, policy.uses, strict=True)]
    return render(request, "subaccounts/pool_limit.html", {"sub_account": shown, "form": form, "rows": rows})
