"""What is left of every unit, and when to warn."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from agency import audit
from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from credits import grants, ledger, statement
from credits.forms import ThresholdForm
from credits.models import Wallet
from credits.views.statement import named
from kit import clock
from subaccounts import credit_use


@agency_door(Can.SEE_CREDITS)
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    month = clock.month_start(agency.time_zone)
    wallets, used = list(pools_of(agency)), credit_use.of_pool_by_unit(agency, month.date())
    outlooks, lapsed = grants.outlook(wallets), grants.lapsed(wallets, month)
    pools = [
        {
            "wallet": wallet,
            "unit": wallet.unit,
            "outlook": outlooks[wallet.pk],
            "lapsed": lapsed.get(wallet.pk, 0),
            "used": used[wallet.unit_id],
        }
        for wallet in wallets
    ]
    latest = statement.page(agency.public_id, statement.Wish(), size=8).lines[:8]
    return render(request, "credits/home.html", {"pools": pools, "lines": named(agency, latest)})


@agency_door(Can.MOVE_CREDITS)
def threshold(request: HttpRequest, unit: str) -> HttpResponse:
    wallet = get_object_or_404(pools_of(request.agency), unit_id=unit)
    now = None if wallet.low_at is None else Decimal(wallet.low_at) / wallet.unit.steps
    form = ThresholdForm(request.POST or None, unit=wallet.unit, initial={"low_at": now})
    if request.method == "POST" and form.is_valid():
        low_at: int | None = form.cleaned_data["low_at"]
        with transaction.atomic():
            ledger.set_threshold(wallet=wallet, low_at=low_at, by=request.actor)
            audit.record(
                "credit_alert.changed",
                by=request.actor,
                agency=request.agency,
                subject=f"{wallet.unit.plural} of the pool",
                before={"low_at": wallet.low_at},
                after={"low_at": low_at},
            )
        messages.success(request, f"The alert for {wallet.unit.plural} is {'off' if low_at is None else 'set'}.")
        return redirect("credits_home")
    return render(request, "credits/threshold.html", {"form": form, "wallet": wallet, "unit": wallet.unit})


def pools_of(agency: Agency) -> Any:
    return Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency.public_id).select_related("unit").order_by("unit__position")
