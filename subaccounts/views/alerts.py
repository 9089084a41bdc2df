"""Below which balances of a client its agency is alerted."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency.access import Can
from agency.doors import agency_door
from credits.forms import ThresholdsForm
from credits.models import Threshold, Wallet
from subaccounts import thresholds
from subaccounts.views.detail import sub_account_of


@agency_door(Can.MOVE_CREDITS)
def sub_account_alerts(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = sub_account_of(request, public_id)
    own = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=shown.public_id).select_related("unit").order_by("unit__position")
    wallets = list(own)
    now = thresholds.of(shown, audience=Threshold.AGENCY)
    form = ThresholdsForm(request.POST if request.method == "POST" else None, units=[wallet.unit for wallet in wallets], now=now)
    if form.is_valid():
        thresholds.choose(sub_account=shown, audience=Threshold.AGENCY, wishes=form.cleaned_data, by=request.actor)
        messages.success(request, f"The alerts for {shown.name} are saved.")
        return redirect(shown)
    fields = [{"field": form[wallet.unit_id], "wallet": wallet} for wallet in wallets]
    return render(request, "subaccounts/alerts.html", {"sub_account": shown, "form": form, "fields": fields})
