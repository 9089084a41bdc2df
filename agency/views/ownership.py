"""Handing the agency over: the Owner's page, and the page of the colleague it is offered to."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency import ownership
from agency.access import Can, Role
from agency.doors import agency_door
from agency.forms import OfferForm
from agency.models import OwnershipOffer, User


@agency_door(Can.TRANSFER_OWNERSHIP, recent=True)
def owner(request: HttpRequest) -> HttpResponse:
    """What the Owner offers, to whom; or the offer that is open."""
    team = (
        User.objects.filter(memberships__agency=request.agency)
        .exclude(memberships__role=Role.OWNER)
        .order_by("first_name", "last_name", "id")
    )
    form = OfferForm(request.POST or None, team=team)
    if form.is_valid():
        made = ownership.offer(agency=request.agency, to=form.cleaned_data["to"], owner=request.user, by=request.actor)
        messages.success(request, f"{made.offered_to.name} has a mail. Until they take it over, nothing changes.")
        return redirect("ownership")
    context = {"form": form, "offer": ownership.open_offer(request.agency), "has_team": team.exists()}
    return render(request, "agency/ownership.html", context)


@agency_door(Can.TRANSFER_OWNERSHIP)
@require_POST
def withdrawal(request: HttpRequest) -> HttpResponse:
    ownership.withdraw(agency=request.agency, by=request.actor)
    messages.info(request, "The offer is withdrawn. You are the Owner as before.")
    return redirect("ownership")


@agency_door(Can.SEE_AGENCY)
@require_safe
def offered(request: HttpRequest) -> HttpResponse:
    return render(request, "agency/ownership_offer.html", {"offer": _offer_to(request)})


@agency_door(Can.SEE_AGENCY, recent=True)
@require_POST
def taking(request: HttpRequest) -> HttpResponse:
    ownership.take(agency=request.agency, user=request.user, by=request.actor)
    messages.success(request, f"You are the Owner of {request.agency.name} now.")
    return redirect("agency_home")


@agency_door(Can.SEE_AGENCY)
@require_POST
def declining(request: HttpRequest) -> HttpResponse:
    ownership.decline(agency=request.agency, user=request.user, by=request.actor)
    messages.info(request, "You declined. The Owner is told.")
    return redirect("agency_home")


def _offer_to(request: HttpRequest) -> OwnershipOffer:
    """The open offer when it is made to this person; 404 for everybody else."""
    made = ownership.open_offer(request.agency)
    if made is None or made.offered_to != request.user:
        raise Http404
    return made
