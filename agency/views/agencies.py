"""Opening an agency, and what its Owner and Admins may change about it."""

from django.contrib import messages
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from agency import audit, security
from agency.access import AGENCY_ROLES, CAPABILITIES, CLIENT_ROLES, Can
from agency.forms import AgencyForm, NewAgencyForm, SecondFactorPolicyForm
from agency.models import Agency, Membership, User
from credits import ledger
from kit.refusal import Refusal
from subaccounts import addresses, opening, second_factors


def new(request: HttpRequest) -> HttpResponse:
    """Step two of signing up. Posted twice, it opens one agency."""
    if request.membership is not None:
        return redirect("/")
    form = NewAgencyForm(request.POST or None)
    if form.is_valid():
        try:
            agency = open_once(request, form)
        except Refusal as refusal:
            form.add_error("slug", refusal.message)
        else:
            messages.success(request, f"{agency.name} is open. Your trial has begun.")
            return redirect("/")
    return render(request, "agency/new.html", {"form": form})


@transaction.atomic
def open_once(request: HttpRequest, form: NewAgencyForm) -> Agency:
    """The person's row is locked, so of two posts at once the second finds the agency of the first."""
    owner = User.objects.select_for_update(of=("self",)).get(pk=request.user.pk)
    membership = Membership.objects.select_related("agency").filter(user=owner).first()
    if membership is not None:
        return membership.agency
    wished = form.cleaned_data["slug"] or addresses.suggest_slug(form.cleaned_data["name"])
    return opening.open_agency(
        owner=owner,
        name=form.cleaned_data["name"],
        slug=wished,
        time_zone=form.cleaned_data["time_zone"],
        currency=form.cleaned_data["currency"],
        by=request.actor,
    )


def suggest(request: HttpRequest) -> HttpResponse:
    """A piece of the page: the address as it would be, and whether it may be had."""
    name, wished = request.GET.get("name", "")[:80], request.GET.get("slug", "").strip().lower()[: addresses.SLUG_LENGTH + 1]
    slug, problem = wished or addresses.suggest_slug(name), ""
    try:
        if slug:
            addresses.check_slug(slug)
    except Refusal as refusal:
        problem = refusal.message
    return render(request, "agency/_address.html", {"host": addresses.host_name(slug) if slug else "", "problem": problem})


def settings(request: HttpRequest) -> HttpResponse:
    agency: Agency = request.agency
    before = model_to_dict(agency, ["name", "time_zone", "assists_need_reason"])
    form = AgencyForm(request.POST or None, instance=agency)
    if form.is_valid():
        with transaction.atomic():
            form.save()
            ledger.set_time_zone(agency_id=agency.public_id, time_zone=agency.time_zone, by=request.actor)
            audit.record("agency.changed", by=request.actor, agency=agency, subject=agency.name, before=before, after=form.cleaned_data)
        messages.success(request, "Your changes are saved.")
        return redirect("agency_settings")
    return render(request, "agency/settings.html", {"form": form, "agency": agency, "host": addresses.host_name(agency.slug)})


def agency_security(request: HttpRequest) -> HttpResponse:
    """Who needs a second factor. Whoever asks others for one has one."""
    agency: Agency = request.agency
    now = {"team": agency.team_needs_mfa, "clients": agency.clients_need_mfa}
    posted = request.POST if request.method == "POST" else None  # with both boxes empty there is nothing in it
    form = SecondFactorPolicyForm(posted, initial=now, has_one=security.has_second_factor(request.user))
    if form.is_valid() and form.has_changed():
        second_factors.ask(agency=agency, **form.cleaned_data, by=request.actor)
        messages.success(request, "Your security settings are saved. They count from now on.")
        return redirect("agency_security")
    team, clients = (second_factors.people_of(agency, side) for side in (second_factors.TEAM, second_factors.CLIENTS))
    context = {
        "form": form,
        "team": team.count(),
        "team_without": second_factors.without(agency, second_factors.TEAM).order_by("first_name", "email"),
        "clients": clients.count(),
        "clients_without": second_factors.without(agency, second_factors.CLIENTS).count(),
    }
    return render(request, "agency/security.html", context)


@require_safe
def roles(request: HttpRequest) -> HttpResponse:
    """The one role → capability table, as the doors read it."""
    columns = [*AGENCY_ROLES, *CLIENT_ROLES]
    rows = [{"label": can.label, "cells": [{"role": role.label, "may": can in CAPABILITIES[role]} for role in columns]} for can in Can]
    return render(request, "agency/roles.html", {"columns": [role.label for role in columns], "rows": rows})
