"""The agency's statement: every line, on pages and as a file."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from credits import statement
from kit import clock
from kit.csv_stream import csv_response
from kit.units import figure
from subaccounts.models import SubAccount

LISTED_CLIENTS = 200
NOBODY = UUID(int=0)
CSV_HEAD = (
    "When (UTC)", "Client", "What", "Detail", "Contact", "Change", "Unit", "Balance after", "Balance of", "Own AI key", "By", "On behalf of", "Entry",
)  # fmt: skip


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines(request: HttpRequest) -> HttpResponse:
    agency, wish = request.agency, _wish(request)
    cursor = request.GET.get("cursor", "")
    found = statement.page(agency.public_id, wish, before=_uuid(cursor))
    context = {
        "wish": wish,
        "lines": named(agency, found.lines),
        "kinds": [("", "Everything"), *statement.KINDS.items()],
        "clients": _clients_to_choose(agency, wish.client),
        "pager_line": f"{len(found.lines)} line{'' if len(found.lines) == 1 else 's'} on this page",
        "first_url": _url(request, cursor="") if cursor else "",
        "next_url": _url(request, cursor=str(found.next_cursor)) if found.next_cursor else "",
        "query": _url(request, cursor="").partition("?")[2],
    }
    return render(request, "credits/statement.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file."""
    agency, wish = request.agency, _wish(request)
    names = dict(SubAccount.objects.of(agency).values_list("public_id", "name"))
    rows = (_csv_row(line, names) for line in statement.every(agency.public_id, wish))
    return csv_response(f"{agency.slug}-statement-{clock.today_in(agency.time_zone)}.csv", CSV_HEAD, rows)


def named(agency: Agency, lines: list[statement.Line]) -> list[dict[str, Any]]:
    """Each line with the client it is about."""
    ids = {line.sub_account_id for line in lines if line.sub_account_id}
    clients = {row.public_id: row for row in SubAccount.objects.of(agency).filter(public_id__in=ids)}
    return [{"line": line, "client": clients.get(line.sub_account_id) if line.sub_account_id else None} for line in lines]


def _clients_to_choose(agency: Agency, chosen: UUID | None) -> list[SubAccount]:
    """The first clients by name, and the chosen one if it is not among them."""
    found = list(SubAccount.objects.of(agency).order_by("name", "id")[:LISTED_CLIENTS])
    if chosen and all(row.public_id != chosen for row in found):
        found += SubAccount.objects.of(agency).filter(public_id=chosen)
    return found


def _csv_row(line: statement.Line, names: dict[UUID, str]) -> list[Any]:
    return [
        line.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00"),
        names.get(line.sub_account_id, "") if line.sub_account_id else "",
        line.kind,
        line.detail,
        line.contact,
        Decimal(figure(line.change, line.unit).replace(",", "")),
        line.unit,
        Decimal(figure(line.balance, line.unit).replace(",", "")),
        "pool" if line.is_pool else "client",
        "yes" if line.own_key else "no",
        line.by,
        line.on_behalf_of,
        str(line.id),
    ]


def _wish(request: HttpRequest) -> statement.Wish:
    kind = request.GET.get("kind", "")
    client = request.GET.get("client", "")
    # Nonsense is nobody's id: it finds no line, rather than everybody's.
    return statement.Wish(client=(_uuid(client) or NOBODY) if client else None, kind=kind if kind in statement.KINDS else "")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _url(request: HttpRequest, **changes: str) -> str:
    """This page's address with other query parameters; an empty one is left out."""
    query = {name: value for name, value in {**request.GET.dict(), **changes}.items() if value}
    return f"{request.path}?{urlencode(query)}" if query else request.path
