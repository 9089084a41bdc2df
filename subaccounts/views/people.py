"""The Users tab: everyone of the agency, its team and its clients' people."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can, Role
from agency.doors import agency_door
from kit import clock
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from kit.links import this_with
from kit.requests import words_of
from subaccounts import people

CSV_HEAD = ["Name", "E-mail", "Role", "Sub-accounts", "Last sign-in", "Second factor"]
ROLES = [("", "All"), *((role.value, role.label) for role in Role)]


@agency_door(Can.MANAGE_TEAM)
@require_safe
def user_list(request: HttpRequest) -> HttpResponse:
    wish = _wish(request)
    page = people.page(request.agency, wish, cursor=uuid_of(request.GET.get("cursor", "")))
    context = {
        "page": page,
        "wish": wish,
        "roles": ROLES,
        "pager_line": f"{len(page.rows)} shown, {people.PAGE} on a page",
        "first_url": this_with(request, cursor="") if "cursor" in request.GET else "",
        "next_url": this_with(request, cursor=str(page.next_cursor)) if page.next_cursor else "",
        "csv_url": f"{reverse('user_list_csv')}?{urlencode({'q': wish.search, 'role': wish.role, 'sort': wish.sort})}",
    }
    return render(request, "people/list.html", context)


@agency_door(Can.MANAGE_TEAM)
@require_safe
def user_list_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, all pages of it, as a table for other programs."""
    name = f"{request.agency.slug}-users-{clock.today_in(request.agency.time_zone)}.csv"
    return csv_response(name, CSV_HEAD, (_csv_row(person) for person in people.every(request.agency, _wish(request))))


def _csv_row(person: people.Person) -> list[Any]:
    user = person.user
    return [
        user.name,
        user.email,
        person.role,
        "All" if person.reaches_all else person.account_count,
        user.last_login.isoformat(timespec="seconds") if user.last_login else "",
        "Yes" if person.has_second_factor else "No",
    ]


def _wish(request: HttpRequest) -> people.Wish:
    return people.Wish(
        search=words_of(request.GET.get("q", "")),
        role=request.GET.get("role", ""),
        sort=request.GET.get("sort", people.DEFAULT_SORT),
    )
