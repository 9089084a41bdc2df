"""Who of the agency was in which client's workspace, when, why and what they changed."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import Can
from agency.doors import agency_door
from kit.ids import uuid_of
from subaccounts import activity, assist
from subaccounts.models import Assist, AssistQuerySet, SubAccount
from workspace import pages

STATES = [("", "All"), ("open", "Working now")]


def assists_of(request: HttpRequest) -> AssistQuerySet:
    return Assist.objects.of(request.agency).select_related("sub_account__agency", "user").with_changes()


@agency_door(Can.SEE_AUDIT)
@require_safe
def assist_list(request: HttpRequest) -> HttpResponse:
    rows, state = assists_of(request), request.GET.get("state", "")
    client = SubAccount.objects.of(request.agency).filter(public_id=uuid_of(request.GET.get("client", ""))).first()
    if client is not None:
        rows = rows.filter(sub_account=client)
    if state == "open":
        rows = rows.open()
    context = {
        "page": pages.newest(rows, "started_at", request.GET.get("cursor", "")),
        "client": client,
        "states": STATES,
        "state": state,
    }
    return render(request, "subaccounts/assists.html", context)


@agency_door(Can.SEE_AUDIT)
@require_safe
def assist_detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = get_object_or_404(assists_of(request), public_id=public_id)
    return render(request, "subaccounts/assist.html", {"assist": shown, "events": activity.of_assist(shown)})


@agency_door(Can.MANAGE_TEAM, unaudited="the end of an assist records itself; one that is over stays as it is")
@require_POST
def assist_end(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Acts on the next request of whoever is assisting."""
    shown = get_object_or_404(Assist.objects.of(request.agency).select_related("sub_account__agency", "user"), public_id=public_id)
    was_open = shown.is_open
    assist.end(assist=shown, by=request.actor, how=Assist.STOPPED)
    if was_open:
        messages.success(request, f"{shown.user.name} is no longer in {shown.sub_account.name}.")
    else:
        messages.info(request, "That assist was over already. Nothing was changed.")
    return redirect("assist_detail", public_id)
