"""All sub-accounts of the agency that this person may see."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from kit import clock
from subaccounts import listing
from subaccounts.models import SubAccount

STATUSES = [("", "All"), ("active", "Active"), ("suspended", "Suspended")]


@agency_door(Can.SEE_AGENCY)
@require_safe
def sub_account_list(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    wish = listing.Wish(
        search=request.GET.get("q", "").replace("\x00", "").strip()[:120],
        status=request.GET.get("status", ""),
        sort=request.GET.get("sort", listing.DEFAULT_SORT),
    )
    month = clock.month_start(agency.time_zone).date()
    sub_accounts = SubAccount.objects.of(agency).open_to(request.membership)
    page = listing.page(agency, sub_accounts, wish, month=month, cursor=_public_id(request.GET.get("cursor", "")))
    context = {
        "page": page,
        "wish": wish,
        "statuses": STATUSES,
        "used": SubAccount.objects.of(agency).clients().ready().count(),
        "limit": agency.max_sub_accounts,
        "pager_line": f"{len(page.rows)} shown, {listing.PAGE} on a page",
        "first_url": _url(request, cursor="") if "cursor" in request.GET else "",
        "next_url": _url(request, cursor=str(page.next_cursor)) if page.next_cursor else "",
        "new_url": reverse("sub_account_new"),
    }
    return render(request, "subaccounts/list.html", context)


def _url(request: HttpRequest, **changes: str) -> str:
    """This page's address with other query parameters; an empty one is left out."""
    query = {name: value for name, value in {**request.GET.dict(), **changes}.items() if value}
    return f"{request.path}?{urlencode(query)}"


def _public_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
