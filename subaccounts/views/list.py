"""All sub-accounts of the agency that this person may see."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from kit import clock
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from kit.links import this_with
from kit.requests import words_of
from subaccounts import addresses, listing
from subaccounts.models import Invitation, SubAccount

CSV_HEAD = ["Name", "Workspace", "Status", "Contact", "E-mail", "Opened", "Chatbots", "Messages this month", "Leads", "Credits this month"]
STATUSES = [("", "All"), ("active", "Active"), ("suspended", "Suspended")]


@agency_door(Can.SEE_AGENCY)
@require_safe
def sub_account_list(request: HttpRequest) -> HttpResponse:
    agency, wish = request.agency, _wish(request)
    month = clock.month_start(agency.time_zone).date()
    sub_accounts = SubAccount.objects.of(agency).open_to(request.membership)
    page = listing.page(agency, sub_accounts, wish, month=month, cursor=uuid_of(request.GET.get("cursor", "")))
    context = {
        "page": page,
        "wish": wish,
        "statuses": STATUSES,
        "invited": Invitation.objects.open().opening().filter(agency=agency).order_by("-id")
        if Can.OPEN_SUB_ACCOUNTS in request.capabilities and not wish.is_filtered
        else [],
        "used": sub_accounts.clients().ready().count(),
        "limit": agency.max_sub_accounts if Can.OPEN_SUB_ACCOUNTS in request.capabilities else None,
        "pager_line": f"{len(page.rows)} shown, {listing.PAGE} on a page",
        "first_url": this_with(request, cursor="") if "cursor" in request.GET else "",
        "next_url": this_with(request, cursor=str(page.next_cursor)) if page.next_cursor else "",
        "new_url": reverse("sub_account_new"),
        "csv_url": f"{reverse('sub_account_list_csv')}?{urlencode({'q': wish.search, 'status': wish.status, 'sort': wish.sort})}",
    }
    return render(request, "subaccounts/list.html", context)


@agency_door(Can.SEE_AGENCY)
@require_safe
def sub_account_list_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, all pages of it, as a table for other programs."""
    agency, sees_credits = request.agency, Can.SEE_CREDITS in request.capabilities
    month = clock.month_start(agency.time_zone).date()
    rows = listing.every(agency, SubAccount.objects.of(agency).open_to(request.membership), _wish(request), month=month)
    head = CSV_HEAD if sees_credits else CSV_HEAD[:-1]
    name = f"{agency.slug}-sub-accounts-{clock.today_in(agency.time_zone)}.csv"
    return csv_response(name, head, (_csv_row(row)[: len(head)] for row in rows))


def _csv_row(row: listing.Row) -> list[Any]:
    sub_account = row.sub_account
    return [
        sub_account.name,
        addresses.own_url(sub_account),
        "Suspended" if row.is_suspended else "Active",
        sub_account.contact_name,
        sub_account.contact_email,
        sub_account.created_at.date().isoformat(),
        sub_account.chatbots,
        row.messages,
        row.leads,
        row.credits,
    ]


def _wish(request: HttpRequest) -> listing.Wish:
    return listing.Wish(
        search=words_of(request.GET.get("q", "")),
        status=request.GET.get("status", ""),
        sort=request.GET.get("sort", listing.DEFAULT_SORT),
    )
