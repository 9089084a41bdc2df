"""The inbox of an agency's team, and what the inbox of a client's workspace shares with it."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from agency import notices as inbox_deeds
from agency.access import Can
from agency.doors import agency_door
from agency.models import Category
from agency.models.notice import NoticeQuerySet
from agency.notices import Reader
from subaccounts import inbox
from subaccounts.models import SubAccount
from workspace import pages

READING = "what somebody has read is theirs alone and changes nothing"
CLIENTS_SHOWN = 200


@agency_door(Can.SEE_AGENCY)
@require_GET
def notices(request: HttpRequest) -> HttpResponse:
    rows = inbox.of_member(request.membership)
    clients = _clients(request)
    chosen = next((client for client in clients if str(client.public_id) == pages.asked(request, "client")), None)
    if chosen is not None:
        rows = rows.filter(sub_account_id=chosen.public_id)
    context = {"clients": clients, "chosen_client": chosen, "may_set": Can.MANAGE_AGENCY in request.capabilities}
    return listed(request, rows, _reader(request), context)


@agency_door(Can.SEE_AGENCY, unaudited=READING)
@require_POST
def notice_read(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return read_one(request, inbox.of_member(request.membership), _reader(request), public_id)


@agency_door(Can.SEE_AGENCY, unaudited=READING)
@require_POST
def notices_read(request: HttpRequest) -> HttpResponse:
    return read_every(request, inbox.of_member(request.membership), _reader(request))


def listed(request: HttpRequest, rows: NoticeQuerySet, reader: Reader, context: dict[str, Any]) -> HttpResponse:
    """The page of `rows` under the filters that both hosts have."""
    category = pages.asked(request, "category")
    is_unread = pages.asked(request, "show") == "unread"
    if category in Category.values:
        rows = rows.filter(category=category)
    if is_unread:
        rows = inbox_deeds.unread(rows, reader)
    page = pages.newest(rows, "at", request.GET.get("cursor", ""))
    context |= {
        "page": page,
        "categories": context.get("categories", Category.choices),
        "category": category,
        "is_unread": is_unread,
        "is_filtered": is_unread or bool(category) or bool(context.get("chosen_client")),
    }
    unread = inbox_deeds.unread_among(page.rows, reader)
    context["lines"] = [{"notice": row, "is_unread": row.pk in unread} for row in page.rows]
    return render(request, "agency/notices.html", context)


def read_one(request: HttpRequest, rows: NoticeQuerySet, reader: Reader, public_id: UUID) -> HttpResponse:
    """Mark one as read; back to the list as it was filtered."""
    notice = get_object_or_404(rows, public_id=public_id)
    inbox_deeds.read([notice], by=reader.user)
    return _back(request)


def read_every(request: HttpRequest, rows: NoticeQuerySet, reader: Reader) -> HttpResponse:
    inbox_deeds.read_all(rows, reader)
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    asked = request.GET.urlencode()
    return redirect(reverse("notices") + (f"?{asked}" if asked else ""))


def _clients(request: HttpRequest) -> list[SubAccount]:
    """Those of this person's sub-accounts that there are notices about."""
    about = inbox.of_member(request.membership).values("sub_account_id")
    return list(SubAccount.objects.open_to(request.membership).filter(public_id__in=about).order_by("name", "pk")[:CLIENTS_SHOWN])


def _reader(request: HttpRequest) -> Reader:
    return Reader(request.user, request.agency)
