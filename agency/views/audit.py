"""The audit log of an agency, and what a client's workspace shares with it: pages, files, and for how long it is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from agency import audit, audit_trail, deeds
from agency.access import CLIENT_ROLES, Can
from agency.audit_trail import NOT_PEOPLE, Trail, Wish
from agency.differences import Difference, Reader
from agency.doors import agency_door
from agency.forms import AuditForm, KeepAuditForm
from agency.models import AuditRecord, Membership, User
from credits import statement
from credits.views.statement import MATCHES, all_clients, clients_named, ranges
from kit import clock
from kit.csv_stream import csv_response
from kit.ids import uuid_of
from subaccounts.models import Assist, SubAccount

NOBODY = UUID(int=0)
# The record of its end is made a little after an assist has ended.
AFTERWARDS = timedelta(seconds=5)
TEAM_LISTED = 100
CSV_HEAD = (
    "When (UTC)", "Who", "In full", "On behalf of", "What", "Kind", "Client", "Network address", "Before", "After", "Deed", "Record",
)  # fmt: skip


@dataclass
class Asked:
    """What an address asks of a trail. `page` and `file` are the names of its two addresses."""

    trail: Trail
    query: QueryDict
    page: str = "audit_log"
    file: str = "audit_log_csv"

    @cached_property
    def form(self) -> AuditForm:
        return AuditForm(self.query)

    @cached_property
    def people(self) -> list[tuple[str, str]]:
        """Whom one can choose from: the id an address has, and the name."""
        found = _of_client(self.trail) if self.trail.is_of_client else _team(self.trail)
        names = {str(user.public_id): user.name for user in found} | NOT_PEOPLE
        chosen = self.form.cleaned_data["person"] if self.form.is_valid() else ""
        if chosen and chosen not in names:
            names[chosen] = self._name_of(chosen)
        return list(names.items())

    def _name_of(self, person: str) -> str:
        """Somebody who is not among those one chooses from, such as a client of the agency, by an id that stood on the page."""
        public_id = uuid_of(person)
        own = (
            User.objects.filter(realm=self.trail.agency, public_id=public_id).first() if public_id and not self.trail.is_of_client else None
        )
        return own.name if own else "Somebody else"

    @cached_property
    def matches(self) -> list[SubAccount]:
        """The first clients whose name has what was searched for, while none is chosen."""
        if not self.form.is_valid() or self.form.cleaned_data["client"] or not (text := self.form.cleaned_data["search"]):
            return []
        return clients_named(self.trail.agency, text)

    @cached_property
    def client(self) -> SubAccount | None:
        if self.trail.is_of_client or not self.form.is_valid():
            return None
        if chosen := self.form.cleaned_data["client"]:
            return SubAccount.objects.of(self.trail.agency).filter(public_id=uuid_of(chosen) or NOBODY).first()
        return self.matches[0] if len(self.matches) == 1 else None

    @cached_property
    def assist(self) -> Assist | None:
        """One assist that an address asks for by its public id: what was done in it."""
        public_id = uuid_of(self.form.cleaned_data["assist"]) if self.form.is_valid() else None
        if public_id is None:
            return None
        found = Assist.objects.filter(public_id=public_id, sub_account__agency=self.trail.agency).select_related("sub_account", "user")
        return (found.filter(sub_account__public_id=self.trail.sub_account_id or NOBODY) if self.trail.is_of_client else found).first()

    @cached_property
    def is_answerable(self) -> bool:
        """Not while something is wrong with what was typed, or while a search for a client has yet to find one."""
        if not self.form.is_valid():
            return False
        asked = self.form.cleaned_data
        waits = asked["search"] and not asked["client"] and not self.client and not self.trail.is_of_client
        return not waits and not (asked["assist"] and not self.assist)

    @property
    def range(self) -> str:
        """The range that was chosen by its name; days that were typed come before it."""
        chosen = self.query.get("range", "")
        return chosen if not self.is_dated and chosen in ranges(self.trail.agency) else ""

    @property
    def is_dated(self) -> bool:
        return bool(self.query.get("first") or self.query.get("last"))

    @cached_property
    def wish(self) -> Wish:
        asked = self.form.cleaned_data
        _, first, last = ranges(self.trail.agency)[self.range] if self.range else ("", asked["first"], asked["last"])
        since, until = statement.between(first, last, self.trail.agency.time_zone)
        wish = Wish(
            kind=asked["kind"],
            person=asked["person"],
            client=None if self.trail.is_of_client else self.client.public_id if self.client else NOBODY if asked["client"] else None,
            assisting={"yes": True, "no": False}.get(asked["assisting"]),
            address=asked["address"],
            since=since,
            until=until,
        )
        return self._within(self.assist, wish) if self.assist else wish

    def _within(self, assist: Assist, wish: Wish) -> Wish:
        """What that person did there from the first moment of the assist to its end."""
        ended = min(filter(None, (assist.ended_at, assist.expires_at)))
        return Wish(
            kind=wish.kind,
            person=str(assist.user.public_id),
            client=None if self.trail.is_of_client else assist.sub_account.public_id,
            address=wish.address,
            since=assist.started_at,
            until=ended + AFTERWARDS,
        )

    @property
    def chips(self) -> Iterator[tuple[str, str]]:
        """What is filtered, in words, each with the address of the page without it."""
        if not self.form.is_valid():
            return
        asked = self.form.cleaned_data
        if asked["person"]:
            yield dict(self.people)[asked["person"]], self.address(person="")
        if asked["client"] and not self.trail.is_of_client:
            yield self.client.name if self.client else "Nobody of this agency", self.address(client="", search="")
        if asked["assist"]:
            assist = self.assist
            yield f"One assist of {assist.user.name}" if assist else "No assist of yours", self.address(assist="")
        for name, words in self.form.in_words():
            yield words, self.address(**{name: ""})

    @property
    def in_words(self) -> str:
        """What is asked for, for the record of an export."""
        words = [words for words, _ in self.chips]
        if self.range:
            words.append(ranges(self.trail.agency)[self.range][0])
        return ", ".join(words) or "everything"

    def address(self, *, of: str = "", **changes: str) -> str:
        """The address of this log with other parameters; an empty one is left out, and so is the place on it."""
        query = {**self.query.dict(), "cursor": "", "newer": "", **changes}
        kept = urlencode([(parameter, str(value)) for parameter, value in query.items() if value])
        url = reverse(of or self.page)
        return f"{url}?{kept}" if kept else url


@dataclass(frozen=True)
class Line:
    """A record as it is read: `text` follows `who`; `client` is whom it is about where the text does not say so."""

    record: AuditRecord
    who: str
    text: str
    kind: str
    address: str
    client: SubAccount | None
    url: str
    person_url: str
    address_url: str
    assist_url: str
    difference: Difference

    @property
    def is_assist(self) -> bool:
        return bool(self.record.on_behalf_of)


@agency_door(Can.SEE_AUDIT)
@require_safe
def log(request: HttpRequest) -> HttpResponse:
    asked = Asked(Trail(request.agency), request.GET)
    if asked.is_answerable and asked.client and not asked.form.cleaned_data["client"]:
        return redirect(asked.address(client=str(asked.client.public_id), search=""))
    context = listed(asked) | {
        "clients": all_clients(request.agency),
        "matches": [(client.name, asked.address(client=str(client.public_id), search="")) for client in asked.matches[:MATCHES]],
    }
    return render(request, "agency/audit.html", context)


@agency_door(Can.SEE_AUDIT)
@require_safe
def log_csv(request: HttpRequest) -> HttpResponseBase:
    """What is filtered, as a file of any length. Who takes it leaves a record, which is not in it."""
    asked = Asked(Trail(request.agency), request.GET)
    if not asked.is_answerable:
        return redirect(asked.address())
    taken = audit.record("audit.exported", by=request.actor, agency=request.agency, subject=asked.in_words)
    names = dict(SubAccount.objects.of(request.agency).values_list("public_id", "name"))
    rows = (_csv_row(asked, record, reader, names) for record, reader in every(asked, taken))
    return csv_response(f"{request.agency.slug}-audit-log-{clock.today_in(request.agency.time_zone)}.csv", CSV_HEAD, rows)


@agency_door(Can.MANAGE_AGENCY, recent=True)
def keeping(request: HttpRequest) -> HttpResponse:
    """For how long the log is kept."""
    agency = request.agency
    form = KeepAuditForm(request.POST or None, initial={"days": str(agency.audit_kept_days or KeepAuditForm.EVER)})
    if request.method == "POST" and form.is_valid():
        audit.keep_for(agency=agency, days=form.cleaned_data["days"], by=request.actor)
        messages.success(
            request, "Saved. What is older goes in the coming night." if agency.audit_kept_days else "Saved. Every record is kept."
        )
        return redirect("audit_keeping")
    return render(request, "agency/audit_keeping.html", {"form": form})


def listed(asked: Asked) -> dict[str, Any]:
    """What the page of any trail shows."""
    found = audit_trail.Page([])
    if asked.is_answerable:
        cursor, newer = (uuid_of(asked.query.get(name, "")) for name in ("cursor", "newer"))
        found = audit_trail.page(asked.trail, asked.wish, before=cursor, after=newer)
    form = asked.form
    return {
        "asked": asked,
        "form": form,
        "zone": asked.trail.agency.time_zone,
        "chips": (chips := list(asked.chips)),
        "opens": chips or form.errors or asked.matches or form["search"].value(),
        "lines": _lines(found.records, asked),
        "page": found,
        "ranges": [(code, words, asked.address(range=code, first="", last="")) for code, (words, *_) in ranges(asked.trail.agency).items()],
        "always_url": asked.address(range="", first="", last=""),
        "clear_url": reverse(asked.page),
        "pager_line": f"{len(found.records)} record{'' if len(found.records) == 1 else 's'} on this page",
        "first_url": asked.address() if found.newer else "",
        "previous_url": asked.address(newer=str(found.newer)) if found.newer else "",
        "next_url": asked.address(cursor=str(found.older)) if found.older else "",
        "csv_url": asked.address(of=asked.file),
    }


def every(asked: Asked, taken: AuditRecord) -> Iterator[tuple[AuditRecord, Reader]]:
    """Every record that is asked for and older than `taken`, with who reads its difference."""
    reader = Reader(asked.trail.agency.time_zone, is_client=asked.trail.is_of_client)
    for chunk in audit_trail.every(asked.trail, asked.wish, before=taken.pk):
        for record in chunk:
            yield record, reader


def said(difference: Difference, side: str) -> str:
    """One side of a difference in one cell."""
    return (
        "; ".join(f"{change.label}: {getattr(change, side)}" for change in difference.changes) if getattr(difference, f"has_{side}") else ""
    )


def utc(record: AuditRecord) -> str:
    return record.at.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def _csv_row(asked: Asked, record: AuditRecord, reader: Reader, names: dict[UUID, str]) -> list[Any]:
    difference = reader.read(record)
    return [
        utc(record),
        deeds.who(record),
        record.actor_label,
        record.on_behalf_of,
        deeds.in_words(record),
        deeds.kind_of(record.action).label,
        names.get(record.sub_account_id, "") if record.sub_account_id else "",
        asked.trail.address_of(record),
        said(difference, "before"),
        said(difference, "after"),
        record.action,
        str(record.pk),
    ]


def _lines(records: list[AuditRecord], asked: Asked) -> list[Line]:
    trail = asked.trail
    ids = set() if trail.is_of_client else {record.sub_account_id for record in records if record.sub_account_id}
    clients = {row.public_id: row for row in SubAccount.objects.of(trail.agency).filter(public_id__in=ids)} if ids else {}
    reader = Reader(trail.agency.time_zone, is_client=trail.is_of_client)
    return [_line(record, asked, clients.get(record.sub_account_id) if record.sub_account_id else None, reader) for record in records]


def _line(record: AuditRecord, asked: Asked, client: SubAccount | None, reader: Reader) -> Line:
    text, address = deeds.in_words(record), asked.trail.address_of(record)
    assist = str(record.after.get("assist", ""))
    is_named = client is not None and client.name in text
    return Line(
        record=record,
        who=deeds.who(record),
        text=text,
        kind=deeds.kind_of(record.action).label,
        address=address,
        client=None if is_named else client,
        url=client.get_absolute_url() if client else "",
        person_url=f"{reverse(asked.page)}?{urlencode({'person': record.actor_id})}",
        address_url=f"{reverse(asked.page)}?{urlencode({'address': address})}",
        assist_url=f"{reverse(asked.page)}?{urlencode({'assist': assist})}" if assist else "",
        difference=reader.read(record),
    )


def _team(trail: Trail) -> list[User]:
    team = Membership.objects.filter(agency=trail.agency).select_related("user").order_by("user__first_name", "user__last_name", "id")
    return [membership.user for membership in team[:TEAM_LISTED]]


def _of_client(trail: Trail) -> list[User]:
    """The client's own people, and those of its agency who have been there."""
    here = trail.sub_account_id or NOBODY
    own = User.objects.filter(accesses__sub_account__public_id=here, accesses__role__in=CLIENT_ROLES)
    guests = User.objects.filter(assists__sub_account__public_id=here)
    return list((own | guests).distinct().order_by("first_name", "last_name", "id")[:TEAM_LISTED])
