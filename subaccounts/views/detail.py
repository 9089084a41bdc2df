"""One sub-account as its agency sees it, and changing what the agency knows about it."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from subaccounts import activity, addresses, allocating, editing, overview
from subaccounts.forms import EditForm
from subaccounts.models import SubAccount

LATEST_ASSISTS = 4


def sub_account_of(request: HttpRequest, public_id: UUID) -> SubAccount:
    """The sub-account when this member of the team may enter it; 404 for every other id."""
    allowed = SubAccount.objects.open_to(request.membership).select_related("agency__plan")
    return get_object_or_404(allowed, public_id=public_id)


@agency_door(Can.SEE_AGENCY)
@require_safe
def sub_account(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = sub_account_of(request, public_id)
    context = {
        "sub_account": shown,
        "figures": overview.figures_of(shown),
        "people": shown.accesses.select_related("user").order_by("id"),
        "address": addresses.own_url(shown),
        "may_edit": Can.OPEN_SUB_ACCOUNTS in request.capabilities,
        "may_suspend": Can.SUSPEND_SUB_ACCOUNTS in request.capabilities and not shown.is_primary,
        "may_enter": Can.ENTER_SUB_ACCOUNTS in request.capabilities,
        "may_move": Can.MOVE_CREDITS in request.capabilities,
        "sees_credits": Can.SEE_CREDITS in request.capabilities,
    }
    if context["sees_credits"]:
        context |= overview.credits_of(shown) | {"lines": activity.lines_of(shown), "balances": allocating.balances_of(shown)}
    if Can.SEE_AUDIT in request.capabilities:
        context["assists"] = shown.assists.select_related("user").order_by("-started_at", "-id")[:LATEST_ASSISTS]
        context["events"] = activity.recent(shown.agency, sub_account=shown, with_credits=False)
    return render(request, "subaccounts/detail.html", context)


@agency_door(Can.OPEN_SUB_ACCOUNTS)
def sub_account_edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = sub_account_of(request, public_id)
    form = EditForm(request.POST or None, instance=shown)
    if form.is_valid():
        edited = editing.edit(sub_account=shown, by=request.actor, **form.cleaned_data)
        messages.success(request, f"{edited.name} is saved.")
        return redirect(edited)
    context = {"sub_account": shown, "form": form, "may_move": Can.MOVE_CREDITS in request.capabilities}
    if context["may_move"]:
        context["balances"] = allocating.balances_of(shown)
    return render(request, "subaccounts/edit.html", context)
