"""Inviting: into the agency's team, into sub-accounts, and as a new sub-account; and what became of it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import Can, Role
from agency.doors import agency_door
from subaccounts import addresses, invitations, opening
from subaccounts.invitation_forms import InviteForm, InviteSubAccountForm
from subaccounts.models import Invitation

_FIELD_OF: dict[type[Exception], str | None] = {
    opening.EmailKnown: "email",
    opening.SubAccountLimitReached: None,
    addresses.BadSlug: "slug",
    addresses.SlugTaken: "slug",
    invitations.AlreadyInvited: "email",
    invitations.AlreadyIn: "email",
    invitations.NotAssignable: None,
    invitations.WhiteLabelNotIncluded: "is_white_label",
}


@agency_door(
    Can.MANAGE_TEAM, recent=True, unaudited="an invitation and added access write their records; looking for a sub-account changes nothing"
)
def user_invite(request: HttpRequest) -> HttpResponse:
    if "look" in request.POST:
        form = InviteForm(request.POST, agency=request.agency)
        form.errors.clear()
        return render(request, "people/invite.html", {"form": form})
    form = InviteForm(request.POST or None, agency=request.agency)
    if not form.is_valid():
        return _shown(request, "people/invite.html", form)
    email, wish = form.cleaned_data["email"], form.wish
    try:
        invitations.invite(agency=request.agency, email=email, inviter=request.user, by=request.actor, **wish)
    except invitations.AddressKnown as known:
        return _add_access(request, form, known)
    except tuple(_FIELD_OF) as refusal:
        return _refused(request, "people/invite.html", form, refusal)
    messages.success(request, f"The invitation is on its way to {email}.")
    return redirect("invitation_list")


@agency_door(Can.MANAGE_TEAM)
@require_safe
def user_invite_accounts(request: HttpRequest) -> HttpResponse:
    """The list of sub-accounts to choose from, narrowed by what is looked for."""
    return render(request, "people/_choice.html", {"form": InviteForm(request.GET, agency=request.agency)})


@agency_door(Can.OPEN_SUB_ACCOUNTS, unaudited="an invitation writes its record")
def sub_account_invite(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    form = InviteSubAccountForm(request.POST or None, agency=agency)
    slots = opening.slots_left(agency)
    context = {"slots": slots, "limit": agency.max_sub_accounts, "title": "Invite sub-account"}
    if slots == 0:
        return render(request, "subaccounts/limit.html", context, status=409 if request.method == "POST" else 200)
    if not form.is_valid():
        return _shown(request, "subaccounts/invite.html", form, context)
    wanted = form.cleaned_data
    slug = wanted["slug"] or addresses.suggest_slug(wanted["business_name"])
    if not slug:
        form.add_error("slug", "No web address can be made of this name. Enter one, for instance acme-plumbing.")
        return _shown(request, "subaccounts/invite.html", form, context)
    try:
        invitations.invite_sub_account(agency=agency, inviter=request.user, by=request.actor, **{**wanted, "slug": slug})
    except tuple(_FIELD_OF) as refusal:
        return _refused(request, "subaccounts/invite.html", form, refusal, context)
    messages.success(request, f"The invitation for {wanted['business_name']} is on its way to {wanted['email']}.")
    return redirect("sub_account_list")


@agency_door(Can.MANAGE_TEAM)
@require_safe
def invitation_list(request: HttpRequest) -> HttpResponse:
    return render(request, "people/pending.html", {"invitations": invitations.pending(request.agency)})


@agency_door(Can.MANAGE_TEAM)
@require_POST
def invitation_resend(request: HttpRequest, public_id: UUID) -> HttpResponse:
    sent = invitations.resend(invitation=_invitation_of(request, public_id), inviter=request.user, by=request.actor)
    messages.success(request, f"A new link is on its way to {sent.email}. The former one opens nothing any more.")
    return redirect("invitation_list")


@agency_door(Can.MANAGE_TEAM)
def invitation_revocation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    invitation = _invitation_of(request, public_id)
    if request.method == "POST":
        invitations.revoke(invitation=invitation, by=request.actor)
        messages.success(request, f"The invitation to {invitation.email} is revoked. Its link opens nothing any more.")
        return redirect("invitation_list")
    return render(request, "people/revoke.html", {"invitation": invitation})


def _invitation_of(request: HttpRequest, public_id: UUID) -> Invitation:
    return get_object_or_404(Invitation.objects.select_related("agency__plan", "invited_in"), agency=request.agency, public_id=public_id)


def _add_access(request: HttpRequest, form: InviteForm, known: invitations.AddressKnown) -> HttpResponse:
    """For a client the agency knows: a page that says whom, then at once."""
    if "confirmed" not in request.POST:
        workspaces = known.user.accesses.select_related("sub_account").order_by("sub_account__name")
        context = {"form": form, "known": known.user, "workspaces": workspaces, **form.wish}
        context["role_label"] = Role(form.cleaned_data["role"]).label
        return render(request, "people/add_access.html", context)
    try:
        invitations.add_access(agency=request.agency, user=known.user, by=request.actor, **form.wish)
    except invitations.AlreadyIn as refusal:
        return _refused(request, "people/invite.html", form, refusal)
    messages.success(request, f"{known.user.name} has access now and is told by e-mail.")
    return redirect("user_list")


def _refused(request: HttpRequest, template: str, form: Any, refusal: Exception, context: dict[str, Any] | None = None) -> HttpResponse:
    form.add_error(_FIELD_OF[type(refusal)], refusal.message)  # type: ignore[attr-defined]
    return _shown(request, template, form, context, status=refusal.status)  # type: ignore[attr-defined]


def _shown(request: HttpRequest, template: str, form: Any, context: dict[str, Any] | None = None, status: int = 400) -> HttpResponse:
    return render(request, template, {**(context or {}), "form": form}, status=status if form.is_bound else 200)
