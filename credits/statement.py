"""The statement: the lines of an agency's books, the newest first, page by page without ever counting or skipping rows.

An entry's id begins with its own milliseconds, so a range of ids is a range of time, and a page goes on from an id. What an index
finds is read from there. Whatever else was asked for is looked for within a bounded number of rows: a page that is not full then
says how far back it looked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q

from credits.models import COMMON_USES, Entry, Grant, Wallet
from kit import looks
from kit.ids import moment_of

PAGE = 50
# How many rows a page looks at where no index finds all that is asked for: one or two milliseconds. Lines of one client or contact lie
# far apart, so that each costs more to look at.
REACH = 4000
FAR_APART = 3
CHUNK = 1000
CHUNK_REACH = 50_000
POOL = "pool"
OWN = "own"
WALLETS = {POOL: "Agency pool", OWN: "Own wallets"}
KINDS = {
    "ai_reply": "AI reply",
    "campaign_message": "Campaign message",
    "call": "Call",
    "knowledge": "Knowledge base",
    "metered": "Metered use",
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
    """Which lines; all where empty. From `since` on, before `until`. `wallet` is `POOL` or `OWN`; contact and campaign are whole names."""

    client: UUID | None = None
    kind: str = ""
    unit: str = ""
    wallet: str = ""
    campaign: str = ""
    contact: str = ""
    own_key: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """An entry from the point of view of the wallet it changed: `change` is negative where units left, `balance` what was left.

    `source` and `expires_at` are of the grant that gave the units, or received them; `code` is the entry's kind.
    """

    id: UUID
    at: datetime
    kind: str
    detail: str
    contact: str
    campaign: str
    bot: str
    memo: str
    unit: str
    change: int
    balance: int
    is_pool: bool
    own_key: bool
    sub_account_id: UUID | None
    by: str
    on_behalf_of: str
    reference: str
    source: str
    expires_at: datetime | None
    code: str = ""

    @property
    def sign(self) -> str:
        return "+" if self.change > 0 else "−" if self.change < 0 else ""

    @property
    def amount(self) -> int:
        return abs(self.change)

    @property
    def refers_to(self) -> str:
        """The reference, where it is not the code of the grant's source, which stands in words already."""
        return "" if self.reference in SOURCES else self.reference


@dataclass(frozen=True)
class Page:
    """`older` and `newer` are the cursors to go on from. `looked_back_to` is set where the page is not full and yet not the last."""

    lines: list[Line]
    older: UUID | None = None
    newer: UUID | None = None
    looked_back_to: datetime | None = None


def between(first: date | None, last: date | None, zone: str) -> tuple[datetime | None, datetime | None]:
    """The first moment of `first` and the first after `last`, as days of the time zone `zone`: what a `Wish` says of time."""
    return _midnight(first, zone), _midnight(last + timedelta(days=1), zone) if last else None


def page(agency_id: UUID, wish: Wish, *, before: UUID | None = None, after: UUID | None = None, size: int = PAGE) -> Page:
    """The `size` lines older than the entry `before`, or newer than `after`, or the newest. One bounded look, at any depth.

    An entry that moved units between two wallets is two lines, one for each side, and counts as one.
    """
    search = _search(agency_id, wish)
    if after is not None:
        found, reached = looks.look(search, after, size, upwards=True)
        if reached is not None:
            return Page(_lines(found[::-1], search), found[0].pk if found else after, found[-1].pk if len(found) == size else reached)
        before = None
    found, reached = looks.look(search, before, size)
    newer = found[0].pk if found and before is not None else None
    looked_back_to = moment_of(reached) if reached is not None and len(found) < size else None
    return Page(_lines(found, search), reached, newer, looked_back_to)


def every(agency_id: UUID, wish: Wish, *, chunk: int = CHUNK) -> Iterator[Line]:
    """All lines, read in chunks as they are asked for: memory stays the same, and no single query is long.

    Entries never change and new ones come at the top, so nothing that stood there at the start is missed or told twice; what
    was under way at that moment may or may not be among them.
    """
    search = _search(agency_id, wish)
    cursor: UUID | None = None
    while True:
        found, cursor = looks.look(search, cursor, chunk, reach=CHUNK_REACH)
        yield from _lines(found, search)
        if cursor is None:
            return


def of_wallet(wallet: Wallet, *, before: int | None = None, size: int = PAGE) -> list[Entry]:
    """The entries of one wallet or pool, the newest first, by its gapless sequence: those with a number below `before`."""
    last = wallet.sequence + 1 if before is None else before
    numbers = (last - size, last - 1)
    found = Entry.objects.filter(Q(from_wallet=wallet, from_sequence__range=numbers) | Q(to_wallet=wallet, to_sequence__range=numbers))
    return sorted(found, key=lambda entry: -_sequence(entry, wallet))


# --- How ----------------------------------------------------------------------------------------------------------------


_OF_POOL = "(from_wallet_id = ANY(%s::uuid[]) OR to_wallet_id = ANY(%s::uuid[]))"
_OF_OWN = "(from_sequence IS NOT NULL AND from_wallet_id <> ALL(%s::uuid[]) OR to_sequence IS NOT NULL AND to_wallet_id <> ALL(%s::uuid[]))"


@dataclass
class _Search(looks.Search):
    pools: list[UUID] = field(default_factory=list)
    wallet: str = ""


def _search(agency_id: UUID, wish: Wish) -> _Search:
    pools = list(Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency_id).values_list("pk", flat=True))
    search = _Search(Entry, REACH, pools=pools, wallet=wish.wallet)
    search.found_by.add("agency_id = %s", agency_id)
    search.found_by.between(wish.since, wish.until)
    # In the order in which their indexes find fewer rows; the first of them is used.
    indexed: list[tuple[str, Any]] = [
        ("contact = %s", wish.contact),
        ("campaign = %s", wish.campaign),
        ("kind = %s", wish.kind if wish.kind not in COMMON_USES else ""),
        ("sub_account_id = %s", wish.client),
    ]
    asked = [(text, value) for text, value in indexed if value]
    search.reach = REACH // FAR_APART if asked else REACH
    for text, value in asked[:1]:
        search.found_by.add(text, value)
    for text, value in asked[1:]:
        search.wanted.add(text, value)
    if wish.own_key is not None:
        (search.wanted if asked or not wish.own_key else search.found_by).add("own_key" if wish.own_key else "NOT own_key")
    if wish.kind in COMMON_USES:
        search.wanted.add("kind = %s", wish.kind)
    if wish.unit:
        search.wanted.add("unit_id = %s", wish.unit)
    if wish.wallet:
        search.wanted.add(_OF_POOL if wish.wallet == POOL else _OF_OWN, pools, pools)
    return search


def _lines(entries: Sequence[Entry], search: _Search) -> list[Line]:
    """Each entry as each wallet sees it that it changed and that is asked for, the one that gave first."""
    pools = set(search.pools)
    grants = _grants(entries)
    lines = []
    for entry in entries:
        for wallet, sequence, leaves in (
            (entry.from_wallet_id, entry.from_sequence, True),
            (entry.to_wallet_id, entry.to_sequence, False),
        ):
            is_pool = wallet in pools
            if sequence is not None and search.wallet in ("", POOL if is_pool else OWN):
                grant_id = entry.grant_id if leaves else entry.to_grant_id or entry.grant_id
                lines.append(_line(entry, grants.get(grant_id) if grant_id else None, leaves=leaves, is_pool=is_pool))
    return lines


def _grants(entries: Iterable[Entry]) -> dict[UUID, Grant]:
    ids = {pk for entry in entries for pk in (entry.grant_id, entry.to_grant_id) if pk}
    return Grant.objects.only("source", "expires_at").in_bulk(ids) if ids else {}


def _line(entry: Entry, grant: Grant | None, *, leaves: bool, is_pool: bool) -> Line:
    return Line(
        id=entry.pk,
        at=entry.at,
        kind=KINDS.get(entry.kind, entry.kind.replace("_", " ").capitalize()),
        detail=_detail(entry),
        contact=entry.contact,
        campaign=entry.campaign,
        bot=entry.bot,
        memo=entry.memo,
        unit=entry.unit_id,
        change=-entry.amount if leaves else entry.amount,
        balance=(entry.from_balance if leaves else entry.to_balance) or 0,
        is_pool=is_pool,
        own_key=entry.own_key,
        sub_account_id=entry.sub_account_id,
        by=entry.by_label,
        on_behalf_of=entry.on_behalf_of,
        reference=entry.reference,
        source=SOURCES.get(grant.source, grant.source.capitalize()) if grant else "",
        expires_at=grant.expires_at if grant else None,
        code=entry.kind,
    )


def _detail(entry: Entry) -> str:
    """What the memo says, after whatever it does not say itself."""
    source = SOURCES.get(entry.reference, "") if entry.kind == "grant" else ""
    said = entry.memo.lower()
    return " · ".join([*(part for part in (source, entry.campaign, entry.bot) if part.lower() not in said), *filter(None, [entry.memo])])


def _sequence(entry: Entry, wallet: Wallet) -> int:
    return (entry.from_sequence if entry.from_wallet_id == wallet.pk else entry.to_sequence) or 0


def _midnight(day: date | None, zone: str) -> datetime | None:
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(zone)) if day else None
