"""Deleting the agency, and the one page that is left of it for thirty days."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import Can, Role
from agency.doors import agency_door, person_door
from agency.forms import NameTypedForm
from agency.models import Membership
from subaccounts import deletion


@agency_door(Can.TRANSFER_OWNERSHIP, recent=True)
def agency_deletion(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    form = NameTypedForm(request.POST or None, name=agency.name)
    if form.is_valid():
        deletion.delete(agency=agency, owner=request.user, by=request.actor)
        return redirect("agency_deleted")
    context = {"form": form, "agency": agency, "reach": deletion.reach_of(agency), "days": deletion.RESTORABLE_FOR.days}
    return render(request, "agency/deletion.html", context)


@person_door("whose agency is deleted reads until when it can be restored")
@require_safe
def agency_deleted(request: HttpRequest) -> HttpResponse:
    found = Membership.objects.filter(user=request.user, agency__deleted_at__isnull=False, agency__purged_at=None).select_related("agency")
    rows = [
        {"agency": membership.agency, "until": deletion.restorable_until(membership.agency), "may_restore": membership.role == Role.OWNER}
        for membership in found.order_by("agency__deleted_at", "id")
    ]
    return render(request, "agency/deleted.html", {"rows": rows}) if rows else redirect("agency_home")


@person_door("the Owner restores an agency that is closed to everybody")
@require_POST
def agency_restoration(request: HttpRequest, public_id: UUID) -> HttpResponse:
    owned = Membership.objects.filter(user=request.user, role=Role.OWNER, agency__purged_at=None).select_related("agency")
    agency = get_object_or_404(owned, agency__public_id=public_id).agency
    deletion.restore(agency=agency, owner=request.user, by=request.actor)
    messages.success(request, f"{agency.name} is restored. Everything is as it was; the others sign in again.")
    return redirect("agency_home")
