"""One person of the agency: their role, what they reach, the address they sign in with, and their removal."""

from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency.access import CLIENT_ROLES, Can
from agency.doors import agency_door
from kit.requests import words_of
from subaccounts import people, reach, second_factors, team
from subaccounts.forms import AccountsForm, LoginAddressForm, ReachForm, RoleForm
from subaccounts.models import Access, AccessToAll, SubAccount, SubAccountQuerySet
from subaccounts.people import Person

SHOWN = 50
OFFERED = 20
SAME = "what changes writes its record; the same form sent again changes nothing"


def person_of(request: HttpRequest, public_id: UUID) -> Person:
    """Somebody of this agency; 404 for everybody else."""
    user = get_object_or_404(people.of_agency(request.agency), public_id=public_id)
    return people.described(request.agency, [user])[0]


@agency_door(Can.MANAGE_TEAM)
@require_safe
def user(request: HttpRequest, public_id: UUID) -> HttpResponse:
    person = person_of(request, public_id)
    search = words_of(request.GET.get("q", ""))
    accesses = _accesses(request, person).filter(sub_account__name__icontains=search).select_related("sub_account")
    shown = list(accesses.order_by("sub_account__name", "id")[: SHOWN + 1])
    to_all = AccessToAll.objects.filter(agency=request.agency, user=person.user).exists()
    context = {
        "person": person,
        "search": search,
        "may_change": not person.is_owner and person.user != request.user,
        "is_oneself": person.user == request.user,
        "role_form": RoleForm(choices=_roles_for(person), initial={"role": person.roles[0].value}),
        "reach_form": ReachForm(initial={"reach": ReachForm.ALL if to_all else ReachForm.SOME}) if not person.is_team else None,
        "has_grants": not (person.is_team and person.reaches_all),
        "goes_into_all": to_all,
        "accesses": shown[:SHOWN],
        "has_more": len(shown) > SHOWN,
        "offered": _offered(request, person).filter(name__icontains=search).order_by("name", "id")[:OFFERED],
        "keys": team.keys_of(person.user, request.agency),
    }
    return render(request, "people/person.html", context)


@agency_door(Can.MANAGE_TEAM, recent=True, unaudited=SAME)
@require_POST
def user_role(request: HttpRequest, public_id: UUID) -> HttpResponse:
    person = person_of(request, public_id)
    form = RoleForm(request.POST, choices=_roles_for(person))
    if not form.is_valid():
        return _not_so(request, person, form.errors["role"][0])
    team.change_role(user=person.user, agency=request.agency, role=form.cleaned_data["role"], by=request.actor)
    messages.success(request, f"{person.user.name} is {dict(_roles_for(person))[form.cleaned_data['role']]} now.")
    return redirect("user", public_id=public_id)


@agency_door(Can.MANAGE_TEAM, recent=True, unaudited=SAME)
@require_POST
def user_reach(request: HttpRequest, public_id: UUID) -> HttpResponse:
    person = person_of(request, public_id)
    form = ReachForm(request.POST)
    if person.is_team:
        raise Http404
    if not form.is_valid():
        return _not_so(request, person, form.errors["reach"][0])
    if form.cleaned_data["reach"] == ReachForm.ALL:
        reach.grant(user=person.user, agency=request.agency, role=person.roles[0], by=request.actor, to_all=True)
        messages.success(request, f"{person.user.name} goes into all sub-accounts, those to come included.")
    else:
        reach.no_longer_all(user=person.user, agency=request.agency, by=request.actor)
        messages.success(request, f"{person.user.name} goes into the sub-accounts listed here, and into no new ones.")
    return redirect("user", public_id=public_id)


@agency_door(Can.MANAGE_TEAM, recent=True, unaudited=SAME)
@require_POST
def user_accounts(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Let them into the ticked sub-accounts."""
    person = person_of(request, public_id)
    if person.is_team and person.reaches_all:
        raise Http404
    form = AccountsForm(request.POST, offered=_offered(request, person))
    if not form.is_valid():
        return _not_so(request, person, form.errors["sub_account"][0])
    role = Access.GRANTED if person.is_team else person.roles[0].value
    given = list(form.cleaned_data["sub_account"])
    reach.grant(user=person.user, agency=request.agency, role=role, by=request.actor, sub_accounts=given)
    messages.success(request, f"{person.user.name} goes into {_named(given)} now.")
    return redirect("user", public_id=public_id)


@agency_door(Can.MANAGE_TEAM, recent=True)
@require_POST
def user_accounts_removal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Shut them out of the ticked sub-accounts; they keep the others."""
    person = person_of(request, public_id)
    held = SubAccount.objects.filter(pk__in=_accesses(request, person).values("sub_account"))
    form = AccountsForm(request.POST, offered=held)
    if not form.is_valid():
        return _not_so(request, person, form.errors["sub_account"][0])
    taken = list(form.cleaned_data["sub_account"])
    team.take_accounts(user=person.user, agency=request.agency, sub_accounts=taken, by=request.actor)
    messages.success(request, f"{person.user.name} does not get into {_named(taken)} any more.")
    return redirect("user", public_id=public_id)


@agency_door(Can.MANAGE_TEAM, recent=True, unaudited="the first post only asks; the second writes its record")
def user_address(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The address a client signs in with (C-21): typed, shown beside the old one, changed."""
    person = person_of(request, public_id)
    if person.is_team:
        raise Http404
    form = LoginAddressForm(request.POST or None)
    context = {"person": person, "form": form}
    if not form.is_valid():
        return render(request, "people/address.html", context)
    if not form.cleaned_data["confirmed"]:
        return render(request, "people/address_review.html", context | {"email": form.cleaned_data["email"]})
    try:
        team.change_address(user=person.user, agency=request.agency, email=form.cleaned_data["email"], by=request.actor)
    except team.AddressKnown as refusal:
        form.add_error("email", refusal.message)
        return render(request, "people/address.html", context, status=refusal.status)
    messages.success(request, f"{person.user.name} signs in with {person.user.email} now. Both addresses get a mail.")
    return redirect("user", public_id=public_id)


@agency_door(Can.MANAGE_TEAM, recent=True)
def user_removal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    person = person_of(request, public_id)
    if request.method == "POST":
        team.remove(user=person.user, agency=request.agency, by=request.actor)
        messages.success(request, f"{person.user.name} is removed. Their sessions are over.")
        return redirect("user_list")
    context = {
        "person": person,
        "keys": team.keys_of(person.user, request.agency),
        "may_change": not person.is_owner and person.user != request.user,
    }
    return render(request, "people/removal.html", context)


@agency_door(Can.MANAGE_TEAM, recent=True, unaudited=SAME)
def user_second_factor(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Somebody lost their phone and their recovery codes."""
    person = person_of(request, public_id)
    if request.method == "POST":
        second_factors.reset(agency=request.agency, user=person.user, by=request.actor)
        messages.success(request, f"{person.user.name} has no second factor any more and is signed out. They are told by e-mail.")
        return redirect("user", public_id=person.user.public_id)
    may_change = person.has_second_factor and not person.is_owner and person.user != request.user
    return render(request, "people/second_factor.html", {"person": person, "may_change": may_change})


def _not_so(request: HttpRequest, person: Person, problem: object) -> HttpResponse:
    """Back to the person, with what was wrong."""
    messages.error(request, f"{problem} Nothing was changed.")
    return redirect("user", public_id=person.user.public_id)


def _roles_for(person: Person) -> list[tuple[str, str]]:
    roles = team.TEAM_ROLES if person.is_team else CLIENT_ROLES
    return [(role.value, str(role.label)) for role in roles]


def _accesses(request: HttpRequest, person: Person) -> QuerySet[Access]:
    return Access.objects.filter(user=person.user, sub_account__agency=request.agency, sub_account__status=SubAccount.READY)


def _offered(request: HttpRequest, person: Person) -> SubAccountQuerySet:
    """What they could be let into; a client's person never into the agency's own workspace."""
    ready = SubAccount.objects.of(request.agency).ready().exclude(pk__in=_accesses(request, person).values("sub_account"))
    return ready if person.is_team else ready.clients()


def _named(sub_accounts: list[SubAccount]) -> str:
    return sub_accounts[0].name if len(sub_accounts) == 1 else f"{len(sub_accounts)} sub-accounts"
