"""Opening an agency, and what its Owner and Admins may change about it."""

from django.contrib import messages
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from agency import audit
from agency.access import AGENCY_ROLES, CAPABILITIES, CLIENT_ROLES, Can
from agency.forms import AgencyForm, NewAgencyForm
from agency.models import Agency, Membership, User
from credits import ledger
from kit.refusal import Refusal
from subaccounts import addresses, opening


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


@require_safe
def roles(request: HttpRequest) -> HttpResponse:
    """The one role → capability table, as the doors read it."""
    columns = [*AGENCY_ROLES, *CLIENT_ROLES]
    rows = [{"label": can.label, "cells": [{"role": role.label, "may": can in CAPABILITIES[role]} for role in columns]} for can in Can]
    return render(request, "agency/roles.html", {"columns": [role.label for role in columns], "rows": rows})
