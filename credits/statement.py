"""The statement: every line of an agency's books, the newest first, page by page without ever counting or skipping rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from credits.models import Entry, Wallet

PAGE = 50
KINDS = {
    "ai_reply": "AI reply",
    "campaign_message": "Campaign message",
    "call": "Call",
    "knowledge": "Knowledge base",
    "grant": "Credits added",
    "allocation": "Top-up from the pool",
    "reclaim": "Taken back to the pool",
    "transfer": "Moved",
    "adjustment": "Adjustment",
    "void": "Voided",
    "expiry": "Expired",
}
SOURCES = {
    "starter": "Starter credits",
    "promotion": "Promotion",
    "plan": "Plan",
    "package": "Package",
    "allocation": "Allocation",
    "transfer": "Transfer",
    "purchase": "Purchase",
    "adjustment": "Adjustment",
}


@dataclass(frozen=True)
class Wish:
    """Which lines: of one client, of one kind; all where empty."""

    client: UUID | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry from the point of view of the wallet it changed: `change` is negative where units left, `balance` what was left."""

    id: UUID
    at: datetime
    kind: str
    detail: str
    contact: str
    unit: str
    change: int
    balance: int
    is_pool: bool
    own_key: bool
    sub_account_id: UUID | None
    by: str
    on_behalf_of: str
    reference: str

    @property
    def sign(self) -> str:
        return "+" if self.change > 0 else "−" if self.change < 0 else ""

    @property
    def amount(self) -> int:
        return abs(self.change)


@dataclass(frozen=True)
class Page:
    lines: list[Line]
    next_cursor: UUID | None


def page(agency_id: UUID, wish: Wish, *, before: UUID | None = None, size: int = PAGE) -> Page:
    """The lines older than the line `before`, or the newest. One index scan of `size` rows at any depth.

    An entry that moved units between the pool and a wallet is two lines, one for each side.
    """
    found = entries(agency_id, wish)
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: size + 1])
    lines = [line for entry in rows[:size] for line in _lines(entry)]
    return Page(lines, rows[size - 1].pk if len(rows) > size else None)


def every(agency_id: UUID, wish: Wish, *, chunk: int = 1000) -> Iterator[Line]:
    """All lines, read in pages as they are asked for."""
    cursor: UUID | None = None
    while True:
        part = page(agency_id, wish, before=cursor, size=chunk)
        yield from part.lines
        if part.next_cursor is None:
            return
        cursor = part.next_cursor


def entries(agency_id: UUID, wish: Wish) -> QuerySet[Entry]:
    found = Entry.objects.filter(agency_id=agency_id).select_related("from_wallet", "to_wallet").order_by("-pk")
    if wish.client is not None:
        found = found.filter(sub_account_id=wish.client)
    if wish.kind:
        found = found.filter(kind=wish.kind)
    return found


def of_wallet(wallet: Wallet, *, before: int | None = None, size: int = PAGE) -> list[Entry]:
    """The entries of one wallet or pool, the newest first, by its gapless sequence: those with a number below `before`."""
    last = wallet.sequence + 1 if before is None else before
    numbers = (last - size, last - 1)
    found = Entry.objects.filter(Q(from_wallet=wallet, from_sequence__range=numbers) | Q(to_wallet=wallet, to_sequence__range=numbers))
    return sorted(found, key=lambda entry: -_sequence(entry, wallet))


def _sequence(entry: Entry, wallet: Wallet) -> int:
    return (entry.from_sequence if entry.from_wallet_id == wallet.pk else entry.to_sequence) or 0


def _lines(entry: Entry) -> list[Line]:
    """The entry as each wallet sees it that it changed, the one that gave first."""
    return [
        _line(entry, leaves=leaves)
        for leaves, sequence in ((True, entry.from_sequence), (False, entry.to_sequence))
        if sequence is not None
    ]


def _line(entry: Entry, *, leaves: bool) -> Line:
    wallet = entry.from_wallet if leaves else entry.to_wallet
    return Line(
        id=entry.pk,
        at=entry.at,
        kind=KINDS.get(entry.kind, entry.kind.replace("_", " ").capitalize()),
        detail=_detail(entry),
        contact=entry.contact,
        unit=entry.unit_id,
        change=-entry.amount if leaves else entry.amount,
        balance=(entry.from_balance if leaves else entry.to_balance) or 0,
        is_pool=wallet.owner_kind == Wallet.AGENCY,
        own_key=entry.own_key,
        sub_account_id=entry.sub_account_id,
        by=entry.by_label,
        on_behalf_of=entry.on_behalf_of,
        reference=entry.reference,
    )


def _detail(entry: Entry) -> str:
    """What the memo says, after whatever it does not say itself."""
    source = SOURCES.get(entry.reference, "") if entry.kind == "grant" else ""
    said = entry.memo.lower()
    return " · ".join([*(part for part in (source, entry.campaign, entry.bot) if part.lower() not in said), *filter(None, [entry.memo])])
