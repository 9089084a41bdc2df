"""The People page of a workspace: its own people, and inviting colleagues."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import CLIENT_ROLES, Can
from subaccounts import colleagues, invitations
from subaccounts.doors import workspace_door
from subaccounts.invitation_forms import ColleagueForm, ColleagueRoleForm
from subaccounts.models import Access, Invitation


@workspace_door(Can.MANAGE_WORKSPACE)
@require_safe
def colleague_list(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    context = {
        "people": colleagues.of(sub_account),
        "invited": colleagues.invited_to(sub_account),
        "may_change": request.assist is None,
    }
    return render(request, "colleagues/list.html", context)


@workspace_door(Can.MANAGE_WORKSPACE, recent=True, assisting=False)
def colleague_invite(request: HttpRequest) -> HttpResponse:
    form = ColleagueForm(request.POST or None)
    if form.is_valid() and (sent := _sent(request, form)):
        messages.success(request, f"The invitation is on its way to {sent.email}.")
        return redirect("colleague_list")
    return render(request, "colleagues/invite.html", {"form": form}, status=400 if form.is_bound else 200)


@workspace_door(Can.MANAGE_WORKSPACE, assisting=False)
@require_POST
def colleague_resend(request: HttpRequest, public_id: UUID) -> HttpResponse:
    sent = invitations.resend(invitation=_invitation_of(request, public_id), inviter=request.user, by=request.actor)
    messages.success(request, f"A new link is on its way to {sent.email}. The former one opens nothing any more.")
    return redirect("colleague_list")


@workspace_door(Can.MANAGE_WORKSPACE, assisting=False)
@require_POST
def colleague_revocation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    invitation = _invitation_of(request, public_id)
    invitations.revoke(invitation=invitation, by=request.actor)
    messages.success(request, f"The invitation to {invitation.email} is revoked. Its link opens nothing any more.")
    return redirect("colleague_list")


@workspace_door(Can.MANAGE_WORKSPACE, recent=True, assisting=False)
def colleague_role(request: HttpRequest, public_id: UUID) -> HttpResponse:
    access = _access_of(request, public_id)
    form = ColleagueRoleForm(request.POST or None, initial={"role": access.role})
    if form.is_valid():
        role = form.cleaned_data["role"]
        colleagues.change_role(sub_account=request.site.sub_account, user=access.user, role=role, by=request.actor)
        messages.success(request, f"{access.user.name} has another role from now on.")
        return redirect("colleague_list")
    return render(request, "colleagues/role.html", {"form": form, "access": access}, status=400 if form.is_bound else 200)


@workspace_door(Can.MANAGE_WORKSPACE, recent=True, assisting=False)
def colleague_removal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    access = _access_of(request, public_id)
    if request.method == "POST":
        colleagues.remove(sub_account=request.site.sub_account, user=access.user, by=request.actor)
        messages.success(request, f"{access.user.name} has no access any more.")
        return redirect("colleague_list")
    return render(request, "colleagues/removal.html", {"access": access})


def _access_of(request: HttpRequest, public_id: UUID) -> Access:
    """Somebody of this workspace; 404 for everybody else."""
    here = Access.objects.filter(sub_account=request.site.sub_account, role__in=CLIENT_ROLES).select_related("user")
    return get_object_or_404(here, user__public_id=public_id)


def _invitation_of(request: HttpRequest, public_id: UUID) -> Invitation:
    """One that this workspace's own people sent; 404 for every other."""
    sent_here = Invitation.objects.filter(invited_in=request.site.sub_account).select_related("agency__plan", "invited_in")
    return get_object_or_404(sent_here, public_id=public_id)


def _sent(request: HttpRequest, form: ColleagueForm) -> Invitation | None:
    here = request.site.sub_account
    try:
        return invitations.invite(
            agency=here.agency, sub_accounts=[here], invited_in=here, inviter=request.user, by=request.actor, **form.cleaned_data
        )
    except (invitations.AlreadyInvited, invitations.AlreadyIn) as refusal:
        form.add_error("email", refusal.message)
        return None
