"""The agency's statement: every line, on pages and as a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from credits import statement
from credits.forms import StatementForm
from kit import clock
from kit.csv_stream import csv_response
from kit.units import decimal
from subaccounts.models import SubAccount

LISTED_CLIENTS = 30
MATCHES = 12
CSV_HEAD = (
    "When (UTC)", "Client", "What", "Detail", "Contact", "Change", "Unit", "Balance after", "Balance of", "Own AI key", "By", "On behalf of",
    "Campaign", "Chatbot", "Reference", "Grant", "Grant expires (UTC)", "Change in steps", "Steps after", "Entry",
)  # fmt: skip


@dataclass
class Asked:
    """What the address asks of an agency's statement."""

    agency: Agency
    query: QueryDict

    @cached_property
    def form(self) -> StatementForm:
        return StatementForm(self.query)

    @cached_property
    def matches(self) -> list[SubAccount]:
        """The first clients whose name has what was searched for, while none is chosen."""
        if not self.form.is_valid() or self.form.cleaned_data["client"] or not (text := self.form.cleaned_data["search"]):
            return []
        return clients_named(self.agency, text)

    @cached_property
    def client(self) -> SubAccount | None:
        if self.form.is_valid() and (chosen := self.form.cleaned_data["client"]):
            return SubAccount.objects.of(self.agency).filter(public_id=chosen).first()
        return self.matches[0] if len(self.matches) == 1 else None

    @cached_property
    def is_answerable(self) -> bool:
        """Not while something is wrong with what was typed, or while a search for a client has yet to find one."""
        return self.form.is_valid() and not (self.form.cleaned_data["search"] and not self.form.cleaned_data["client"] and not self.client)

    @property
    def range(self) -> str:
        """The range that was chosen by its name; days that were typed come before it."""
        chosen = self.query.get("range", "")
        return chosen if not self.is_dated and chosen in ranges(self.agency) else ""

    @property
    def is_dated(self) -> bool:
        return bool(self.query.get("first") or self.query.get("last"))

    @property
    def days(self) -> tuple[date | None, date | None]:
        if self.range:
            _, first, last = ranges(self.agency)[self.range]
            return first, last
        return self.form.cleaned_data["first"], self.form.cleaned_data["last"]

    @property
    def wish(self) -> statement.Wish:
        asked = self.form.cleaned_data
        since, until = statement.between(*self.days, self.agency.time_zone)
        return statement.Wish(
            client=self.client.public_id if self.client else asked["client"],
            kind=asked["kind"],
            unit=asked["unit"],
            wallet=asked["wallet"],
            campaign=asked["campaign"],
            contact=asked["contact"],
            own_key={"yes": True, "no": False}.get(asked["own_key"]),
            since=since,
            until=until,
        )

    @property
    def is_everything(self) -> bool:
        return self.is_answerable and self.wish == statement.Wish()

    @property
    def chips(self) -> Iterator[tuple[str, str]]:
        """What is filtered, in words, each with the address of the page without it."""
        if not self.form.is_valid():
            return
        if self.form.cleaned_data["client"] or self.client:
            yield self.client.name if self.client else "Nobody of this agency", self.address(client="", search="")
        for name, words in self.form.in_words():
            yield words, self.address(**{name: ""})

    def address(self, *, name: str = "credits_statement", **changes: str) -> str:
        """The address of this statement with other parameters; an empty one is left out, and so is the place on it."""
        query = {**self.query.dict(), "cursor": "", "newer": "", **changes}
        kept = urlencode([(parameter, str(value)) for parameter, value in query.items() if value])
        return f"{reverse(name)}?{kept}" if kept else reverse(name)


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines(request: HttpRequest) -> HttpResponse:
    agency, asked = request.agency, Asked(request.agency, request.GET)
    found = statement.Page([])
    if asked.is_answerable:
        if asked.client and not asked.form.cleaned_data["client"]:
            return redirect(asked.address(client=str(asked.client.public_id), search=""))
        cursor, newer = _uuid(request.GET.get("cursor", "")), _uuid(request.GET.get("newer", ""))
        found = statement.page(agency.public_id, asked.wish, before=cursor, after=newer)
    form = asked.form
    context = {
        "asked": asked,
        "form": form,
        "selects": [form[name] for name in ("kind", "unit", "wallet", "own_key", "contact", "campaign")],
        "chips": (chips := list(asked.chips)),
        "opens": chips or form.errors or asked.matches or form["search"].value(),
        "lines": named(agency, found.lines),
        "page": found,
        "ranges": [(code, words, asked.address(range=code, first="", last="")) for code, (words, *_) in ranges(agency).items()],
        "always_url": asked.address(range="", first="", last=""),
        "clients": all_clients(agency),
        "matches": [(client.name, asked.address(client=str(client.public_id), search="")) for client in asked.matches],
        "pager_line": f"{len(found.lines)} line{'' if len(found.lines) == 1 else 's'} on this page",
        "first_url": asked.address() if found.newer else "",
        "previous_url": asked.address(newer=str(found.newer)) if found.newer else "",
        "next_url": asked.address(cursor=str(found.older)) if found.older else "",
        "csv_url": asked.address(name="credits_statement_csv"),
        "months_url": reverse("credits_months") + (f"?{urlencode({'client': str(asked.client.public_id)})}" if asked.client else ""),
    }
    return render(request, "credits/statement.html", context)


@agency_door(Can.SEE_CREDITS)
@require_safe
def lines_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file of any length."""
    agency, asked = request.agency, Asked(request.agency, request.GET)
    if not asked.is_answerable:
        return redirect(asked.address())
    names = dict(SubAccount.objects.of(agency).values_list("public_id", "name"))
    rows = (_csv_row(line, names) for line in statement.every(agency.public_id, asked.wish))
    return csv_response(f"{agency.slug}-statement-{clock.today_in(agency.time_zone)}.csv", CSV_HEAD, rows)


def ranges(agency: Agency) -> dict[str, tuple[str, date, date]]:
    """Code, words, first and last day of the ranges one chooses by name; today is a day of the agency's time zone."""
    today = clock.today_in(agency.time_zone)
    month = today.replace(day=1)
    before = month - timedelta(days=1)
    named_ranges = {"this_month": ("This month", month, today), "last_month": ("Last month", before.replace(day=1), before)}
    return named_ranges | {str(days): (f"{days} days", today - timedelta(days=days - 1), today) for days in (7, 30, 90)}


def named(agency: Agency, lines: list[statement.Line]) -> list[dict[str, Any]]:
    """Each line with the client it is about."""
    ids = {line.sub_account_id for line in lines if line.sub_account_id}
    clients = {row.public_id: row for row in SubAccount.objects.of(agency).filter(public_id__in=ids)}
    return [{"line": line, "client": clients.get(line.sub_account_id) if line.sub_account_id else None} for line in lines]


def all_clients(agency: Agency) -> list[SubAccount]:
    """All clients by name where they are few enough to choose from a list; otherwise none: then they are searched for."""
    found = list(SubAccount.objects.of(agency).order_by("name", "id")[: LISTED_CLIENTS + 1])
    return found if len(found) <= LISTED_CLIENTS else []


def clients_named(agency: Agency, text: str) -> list[SubAccount]:
    """The first clients by name among those whose name has `text` in it."""
    return list(SubAccount.objects.of(agency).filter(name__icontains=text).order_by("name", "id")[:MATCHES])


def _csv_row(line: statement.Line, names: dict[UUID, str]) -> list[Any]:
    return [
        _utc(line.at),
        names.get(line.sub_account_id, "") if line.sub_account_id else "",
        line.kind,
        line.detail,
        line.contact,
        decimal(line.change, line.unit),
        line.unit,
        decimal(line.balance, line.unit),
        "pool" if line.is_pool else "client",
        "yes" if line.own_key else "no",
        line.by,
        line.on_behalf_of,
        line.campaign,
        line.bot,
        line.reference,
        line.source,
        _utc(line.expires_at) if line.expires_at else "",
        line.change,
        line.balance,
        str(line.id),
    ]


def _utc(moment: Any) -> str:
    return str(moment.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00"))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
