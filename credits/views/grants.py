"""What a balance is made of: the open grants of the pool, or of one client's own wallet, in the order in which they are used up."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from credits import grants
from credits.models import Wallet
from credits.views.balances import pools_of
from kit import clock
from kit.ids import uuid_of
from subaccounts.views.detail import sub_account_of


@agency_door(Can.SEE_CREDITS)
@require_safe
def of_pool(request: HttpRequest, unit: str) -> HttpResponse:
    wallet = get_object_or_404(pools_of(request.agency), unit_id=unit)
    return render(request, "credits/grants.html", _made_of(request, wallet))


@agency_door(Can.SEE_CREDITS)
@require_safe
def of_sub_account(request: HttpRequest, public_id: UUID, unit: str) -> HttpResponse:
    shown = sub_account_of(request, public_id)
    own = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=shown.public_id).select_related("unit")
    wallet = get_object_or_404(own, unit_id=unit)
    return render(request, "credits/grants.html", _made_of(request, wallet) | {"sub_account": shown})


def _made_of(request: HttpRequest, wallet: Wallet) -> dict[str, Any]:
    cursor = request.GET.get("cursor", "")
    page = grants.page(wallet, after=uuid_of(cursor))
    return {
        "wallet": wallet,
        "unit": wallet.unit,
        "outlook": grants.outlook([wallet])[wallet.pk],
        "lapsed": grants.lapsed([wallet], clock.month_start(request.agency.time_zone)).get(wallet.pk, 0),
        "grants": page.rows,
        "pager_line": f"{len(page.rows)} grant{'' if len(page.rows) == 1 else 's'} on this page",
        "first_url": request.path if cursor else "",
        "next_url": f"{request.path}?cursor={page.next_cursor}" if page.next_cursor else "",
    }
