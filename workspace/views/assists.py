"""Who of the agency was in this workspace, when, why and what they changed."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import Can
from subaccounts import activity, assist
from subaccounts.doors import workspace_door
from subaccounts.models import Assist, AssistQuerySet, SubAccount
from workspace import pages


def assists_here(request: HttpRequest) -> AssistQuerySet:
    here = Assist.objects.filter(sub_account=request.site.sub_account)
    return here.select_related("sub_account__agency", "user").with_changes()


@workspace_door(Can.MANAGE_WORKSPACE)
@require_safe
def workspace_assists(request: HttpRequest) -> HttpResponse:
    context = {
        "page": pages.newest(assists_here(request), "started_at", request.GET.get("cursor", "")),
        "is_told": SubAccount.objects.get(pk=request.site.sub_account.pk).notify_of_assists,
        "may_choose": request.assist is None,
    }
    return render(request, "workspace/assists.html", context)


@workspace_door(Can.MANAGE_WORKSPACE)
@require_safe
def workspace_assist(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = get_object_or_404(assists_here(request), public_id=public_id)
    return render(request, "workspace/assist.html", {"assist": shown, "events": activity.of_assist(shown)})


@workspace_door(Can.MANAGE_WORKSPACE, assisting=False)
@require_POST
def workspace_assist_mails(request: HttpRequest) -> HttpResponse:
    """Whoever assists could come unseen if they might choose this."""
    is_wanted = request.POST.get("notify_of_assists") == "on"
    assist.choose_mails(sub_account=request.site.sub_account, is_wanted=is_wanted, by=request.actor)
    told = "You get a mail when an assist begins and when it ends." if is_wanted else "You get no mails about assists."
    messages.success(request, told)
    return redirect("workspace_assists")
