"""A client's own lines out of the ledger: what it used, what it was given, what expired.

The agency's pool has no line here. Where it paid for a use, the line says so and has no balance. Memos, and who in the agency did
what, stay with the agency: they may name its other clients.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from credits.books import USED, VOIDED, book
from credits.models import Entry, Unit, Wallet
from kit.ids import least_of
from subaccounts.models import SubAccount
from workspace import balances

PAGE = 50
CHUNK = 500
USES = {
    "ai_reply": "Reply by a chatbot",
    "campaign_message": "Campaign message",
    "call": "Call",
    "knowledge": "Knowledge",
    "metered": "Metered use",
}
RECEIVED = {"allocation": "From your agency", "transfer": "From your agency", "void": "Given back"}
TAKEN = {"reclaim": "Taken back by your agency", "transfer": "Moved by your agency", "void": "Taken back"}
OTHERS = {
    "grant": "Units received",
    "allocation": "From your agency",
    "reclaim": "Taken back by your agency",
    "transfer": "Moved by your agency",
    "adjustment": "Correction by your agency",
    "void": "Given or taken back",
    "expiry": "Expired",
}
KINDS = {**USES, **OTHERS}


@dataclass(frozen=True)
class Wish:
    """Which lines; all where empty. `first` and `last` are days in the agency's time zone, both included; `contact` is a whole name."""

    kind: str = ""
    contact: str = ""
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """`change` is negative where units left. `balance` is what the own wallet had afterwards, None where the agency paid.

    `id` is of one of its entries, `code` their kind.
    """

    at: datetime
    what: str
    detail: str
    contact: str
    unit: str
    change: int
    balance: int | None
    own_key: bool
    id: UUID
    code: str

    @property
    def sign(self) -> str:
        return "+" if self.change > 0 else "−" if self.change < 0 else ""

    @property
    def amount(self) -> int:
        return abs(self.change)


class Page(NamedTuple):
    lines: list[Line]
    next_cursor: UUID | None


def page(sub_account: SubAccount, wish: Wish, *, only_uses: bool, before: UUID | None = None, size: int = PAGE) -> Page:
    """The lines of the next `size` postings, the newest first; see `every`."""
    found = list(itertools.islice(_postings(sub_account, wish, only_uses, before, chunk=size + 1), size + 1))
    lines = [line for posting in found[:size] for line in _told(posting, sub_account, only_uses)]
    return Page(lines, found[size - 1][-1].pk if len(found) > size else None)


def every(sub_account: SubAccount, wish: Wish, *, only_uses: bool, chunk: int = CHUNK) -> Iterator[Line]:
    """All lines, read as they are asked for.

    What was posted at once is one line for the own wallet and one for what the agency paid. With `only_uses` it is one line
    without a balance, whoever paid: two would tell what was left.
    """
    for posting in _postings(sub_account, wish, only_uses, None, chunk):
        yield from _told(posting, sub_account, only_uses)


def _postings(sub_account: SubAccount, wish: Wish, only_uses: bool, before: UUID | None, chunk: int) -> Iterator[list[Entry]]:
    """The entries of one key together: their ids differ in the last two bytes only."""
    rows = _rows(_entries(sub_account, wish, only_uses), before, chunk)
    for _, posting in itertools.groupby(rows, key=lambda entry: entry.key):
        yield list(posting)


def _rows(entries: QuerySet[Entry], before: UUID | None, chunk: int) -> Iterator[Entry]:
    while True:
        rows = list((entries.filter(pk__lt=before) if before else entries)[:chunk])
        yield from rows
        if len(rows) < chunk:
            return
        before = rows[-1].pk


def _entries(sub_account: SubAccount, wish: Wish, only_uses: bool) -> QuerySet[Entry]:
    found = Entry.objects.filter(agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id)
    if only_uses:
        units = list(Unit.objects.values_list("code", flat=True))
        found = found.filter(
            Q(to_wallet__in=[book(USED, unit) for unit in units]) | Q(from_wallet__in=[book(VOIDED, unit) for unit in units])
        )
    if wish.kind:
        found = found.filter(kind=wish.kind)
    if wish.contact:
        found = found.filter(contact=wish.contact)
    zone = ZoneInfo(sub_account.agency.time_zone)
    if wish.first:
        found = found.filter(pk__gte=least_of(datetime.combine(wish.first, time.min, zone)))
    if wish.last:
        found = found.filter(pk__lt=least_of(datetime.combine(wish.last + timedelta(days=1), time.min, zone)))
    return found.select_related("from_wallet", "to_wallet").order_by("-pk")


def _told(posting: list[Entry], sub_account: SubAccount, only_uses: bool) -> Iterator[Line]:
    """What the client is told of one posting, whose last leg comes first."""
    if only_uses:
        yield _line(posting, sum(map(_change, posting)), None)
        return
    own = [(entry, *side) for entry in posting for side in _own_sides(entry, sub_account)]
    if own:
        yield _line([entry for entry, _, _ in own], sum(change for _, change, _ in own), own[0][2])
    if paid := [entry for entry in posting if _is_paid_by_agency(entry)]:
        yield _line(paid, sum(map(_change, paid)), None)


def _own_sides(entry: Entry, sub_account: SubAccount) -> Iterator[tuple[int, int | None]]:
    """How the entry changed the own wallet, and what that had afterwards."""
    if _is_own(entry.from_wallet, sub_account):
        yield -entry.amount, entry.from_balance
    if _is_own(entry.to_wallet, sub_account):
        yield entry.amount, entry.to_balance


def _is_own(wallet: Wallet, sub_account: SubAccount) -> bool:
    return wallet.owner_kind == Wallet.SUB_ACCOUNT and wallet.owner_id == sub_account.public_id


def _is_paid_by_agency(entry: Entry) -> bool:
    """A use out of the pool, or one that was given back there."""
    if entry.from_wallet.owner_kind == Wallet.AGENCY:
        return entry.to_wallet_id == book(USED, entry.unit_id)
    return entry.to_wallet.owner_kind == Wallet.AGENCY and entry.from_wallet_id == book(VOIDED, entry.unit_id)


def _change(entry: Entry) -> int:
    """Of a use, or of one that is given back: whoever paid."""
    return entry.amount if entry.from_wallet.owner_kind == Wallet.BOOK else -entry.amount


def _line(entries: Iterable[Entry], change: int, balance: int | None) -> Line:
    entry = next(iter(entries))
    return Line(
        at=entry.at,
        what=_what(entry, change),
        detail=" · ".join(filter(None, [entry.campaign, entry.bot])),
        contact=entry.contact,
        unit=entry.unit_id,
        change=change,
        balance=balance,
        own_key=entry.own_key,
        id=entry.pk,
        code=entry.kind,
    )


def _what(entry: Entry, change: int) -> str:
    if entry.kind == "grant":
        return balances.SOURCES.get(entry.reference, OTHERS["grant"])
    known = {**KINDS, **(RECEIVED if change > 0 else TAKEN)}
    return known.get(entry.kind, entry.kind.replace("_", " ").capitalize())
