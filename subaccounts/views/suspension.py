"""Pausing a sub-account and restoring it."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from agency.access import Can
from agency.doors import agency_door
from subaccounts import lifecycle
from subaccounts.forms import SuspendForm
from subaccounts.views.detail import sub_account_of


@agency_door(Can.SUSPEND_SUB_ACCOUNTS)
def suspension(request: HttpRequest, public_id: UUID) -> HttpResponse:
    sub_account = sub_account_of(request, public_id)
    form = SuspendForm(request.POST or None)
    if form.is_valid():
        lifecycle.suspend(sub_account=sub_account, by=request.actor, **form.cleaned_data)
        messages.info(request, f"{sub_account.name} is suspended. Its data is kept.")
        return redirect(sub_account)
    return render(request, "subaccounts/suspension.html", {"sub_account": sub_account, "form": form})


@agency_door(Can.SUSPEND_SUB_ACCOUNTS)
@require_POST
def restoration(request: HttpRequest, public_id: UUID) -> HttpResponse:
    sub_account = sub_account_of(request, public_id)
    lifecycle.restore(sub_account=sub_account, by=request.actor)
    messages.success(request, f"{sub_account.name} works again.")
    return redirect(sub_account)
