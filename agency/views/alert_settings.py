"""Which alerts reach the agency's team, and the thresholds that are set."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency import alerting
from agency.access import Can
from agency.doors import agency_door
from agency.forms import AlertsForm
from agency.models import Agency, Category, Membership
from credits.models import Threshold, Wallet
from subaccounts.models import SubAccount

CLIENTS_SHOWN = 50
_HELP = {
    Category.LOW_BALANCE: "Your pool, or a client's own balance, falls below a number you set.",
    Category.SPIKE: "A client uses far more on a day than it usually does.",
    Category.FALLBACK_STARTED: "A client has nothing left of its own, and your pool begins to pay.",
    Category.LIMIT_REACHED: "A client has used what it may use of your pool this month.",
    Category.STOPPED: "Neither a client's own units nor your pool could pay: its assistant did not answer.",
}


@agency_door(Can.MANAGE_AGENCY)
def alert_settings(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    rules = alerting.rules_of(agency)
    form = AlertsForm(
        request.POST if request.method == "POST" else None,
        words=_HELP,
        channels=alerting.channels_of(agency),
        team=Membership.objects.filter(agency=agency).select_related("user").order_by("id"),
        initial={
            "spike_factor": f"{Decimal(rules.spike_factor).normalize():f}",
            "spike_least": rules.spike_least,
            "recipients": [member.pk for member in alerting.chosen_recipients(agency)],
        },
    )
    if form.is_valid():
        _save(request, form)
        messages.success(request, "Your alerts are saved.")
        return redirect("alert_settings")
    return render(request, "agency/alert_settings.html", {"form": form, **_thresholds(agency)})


@transaction.atomic
def _save(request: HttpRequest, form: AlertsForm) -> None:
    agency = request.agency
    alerting.choose_channels(agency=agency, channels=form.channels(), by=request.actor, subject="the team")
    numbers = {name: form.cleaned_data[name] for name in ("spike_factor", "spike_least", "recipients")}
    alerting.choose_rules(agency=agency, by=request.actor, **numbers)


def _thresholds(agency: Agency) -> dict[str, Any]:
    """The pool's alerts of every unit, and those the agency has set for clients."""
    pools = Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency.public_id).select_related("unit").order_by("unit__position")
    of_clients = Threshold.objects.filter(
        audience=Threshold.AGENCY, wallet__owner_kind=Wallet.SUB_ACCOUNT, wallet__agency_id=agency.public_id
    ).select_related("wallet__unit")
    shown = list(of_clients.order_by("wallet__owner_id", "wallet__unit__position")[: CLIENTS_SHOWN + 1])
    ready = SubAccount.objects.of(agency).ready().filter(public_id__in=[row.wallet.owner_id for row in shown])
    clients = {client.public_id: client for client in ready}
    rows = [{"client": clients[row.wallet.owner_id], "threshold": row} for row in shown[:CLIENTS_SHOWN] if row.wallet.owner_id in clients]
    return {"pools": pools, "client_thresholds": rows, "has_more": len(shown) > CLIENTS_SHOWN}
