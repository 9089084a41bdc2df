"""The statement and usage: an agency's, or what one client sees of its own."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from credits import statement, totals
from credits.api.figures import Figure, figure_of, unit_of
from credits.models import Unit
from kit import clock
from kit.api import Invalid, Page, PageWish, needs, opened_cursor, sealed_cursor
from kit.ids import uuid_of
from subaccounts import credit_use, usage
from subaccounts.api import reached
from subaccounts.models import SubAccount
from workspace import lines as own_lines

router = Router(tags=["Statement and usage"])

ENTRIES = "entries"
MOST_DAYS = 366
Day = Annotated[date, Field(strict=False, ge=date(2000, 1, 1), le=date(2100, 12, 31))]
KindOfLine = Literal[
    "ai_reply", "campaign_message", "call", "knowledge", "metered", "grant", "allocation", "reclaim", "transfer", "adjustment", "void", "expiry"
]  # fmt: skip


class EntryOut(BaseModel):
    """What happened to one wallet. A client is told only what its own pages tell it."""

    id: UUID
    at: datetime
    kind: str
    text: str = Field(description="The kind in words.")
    unit: str
    change: Figure = Field(description="Negative where units left.")
    balance: Figure | None = Field(description="What the wallet had afterwards; null where it may not be known, or the agency paid.")
    wallet: Literal["agency", "sub_account"] | None = Field(description="Null for a client's use, whoever paid.")
    sub_account: UUID | None
    contact: str
    campaign: str
    chatbot: str
    reference: str
    description: str
    own_key: bool
    by: str


class EntryPage(Page[EntryOut]):
    looked_back_to: datetime | None = Field(description="How far back was looked, where a page is not full and yet not the last.")


class EntryWish(PageWish):
    """Which lines: all, or those that everything said here fits."""

    sub_account: UUID | None = None
    kind: KindOfLine | None = None
    unit: str = Field("", max_length=32)
    wallet: Literal["agency", "sub_account"] | None = None
    contact: str = Field("", max_length=160, description="The whole name.")
    campaign: str = Field("", max_length=160, description="The whole name.")
    own_key: Literal["true", "false"] | None = None
    first: Day | None = Field(None, description="From this day on, in the agency's time zone.")
    last: Day | None = Field(None, description="Up to the end of this day.")


# What a client's own statement can be filtered by.
CLIENTS_FILTERS = {"sub_account", "kind", "contact", "first", "last"}


@router.get("/entries", response=EntryPage)
@needs("credits:read", clients=True)
def list_entries(request: HttpRequest, wish: Query[EntryWish]) -> EntryPage:
    """The lines of the statement, the newest first."""
    _check_days(wish.first, wish.last)
    before = uuid_of(opened_cursor(wish.cursor, of=ENTRIES)) if wish.cursor else None
    if request.sub_account is not None:
        return _own(request, wish, before)
    since, until = statement.between(wish.first, wish.last, request.agency.time_zone)
    asked = statement.Wish(
        client=reached(request, wish.sub_account).public_id if wish.sub_account else None,
        kind=wish.kind or "",
        unit=unit_of(wish.unit).code if wish.unit else "",
        wallet={"agency": statement.POOL, "sub_account": statement.OWN, None: ""}[wish.wallet],
        campaign=wish.campaign,
        contact=wish.contact,
        own_key={"true": True, "false": False, None: None}[wish.own_key],
        since=since,
        until=until,
    )
    page = statement.page(request.agency.public_id, asked, before=before, size=wish.limit)
    return EntryPage(
        items=[_line(line) for line in page.lines],
        next_cursor=sealed_cursor(str(page.older), of=ENTRIES) if page.older else None,
        looked_back_to=page.looked_back_to,
    )


def _own(request: HttpRequest, wish: EntryWish, before: UUID | None) -> EntryPage:
    """As the client's own pages show it: with hidden balances a use is one line, whoever paid, and there is nothing else."""
    given = {name for name in wish.model_fields_set if getattr(wish, name)} - {"limit", "cursor"}
    if given - CLIENTS_FILTERS:
        raise Invalid(fields=dict.fromkeys(sorted(given - CLIENTS_FILTERS), "is for the agency's keys only"))
    sub_account: SubAccount = request.sub_account
    if wish.sub_account:
        reached(request, wish.sub_account)
    asked = own_lines.Wish(kind=wish.kind or "", contact=wish.contact, first=wish.first, last=wish.last)
    page = own_lines.page(sub_account, asked, only_uses=not sub_account.shows_balance, before=before, size=wish.limit)
    return EntryPage(
        items=[_own_line(line, sub_account) for line in page.lines],
        next_cursor=sealed_cursor(str(page.next_cursor), of=ENTRIES) if page.next_cursor else None,
        looked_back_to=None,
    )


def _line(line: statement.Line) -> EntryOut:
    return EntryOut(
        id=line.id,
        at=line.at,
        kind=line.code,
        text=line.kind,
        unit=line.unit,
        change=figure_of(line.change, line.unit),
        balance=figure_of(line.balance, line.unit),
        wallet="agency" if line.is_pool else "sub_account",
        sub_account=line.sub_account_id,
        contact=line.contact,
        campaign=line.campaign,
        chatbot=line.bot,
        reference=line.refers_to,
        description=line.memo,
        own_key=line.own_key,
        by=line.by,
    )


def _own_line(line: own_lines.Line, sub_account: SubAccount) -> EntryOut:
    return EntryOut(
        id=line.id,
        at=line.at,
        kind=line.code,
        text=line.what,
        unit=line.unit,
        change=figure_of(line.change, line.unit),
        balance=None if line.balance is None else figure_of(line.balance, line.unit),
        wallet=None if line.balance is None else "sub_account",
        sub_account=sub_account.public_id,
        contact=line.contact,
        campaign="",
        chatbot="",
        reference="",
        description=line.detail,
        own_key=line.own_key,
        by="",
    )


# --- Usage --------------------------------------------------------------------------------------------------------------------


class UsedOut(BaseModel):
    """What was used in one period by one kind of use, less what was given back."""

    period: date = Field(description="The day, or the first day of the month.")
    kind: str
    used: Figure
    times: int


class UsageOut(BaseModel):
    """Exact at the moment of asking. Days are those of the agency's time zone."""

    unit: str
    first: date
    last: date
    total: Figure
    items: list[UsedOut]


class UsageRange(BaseModel):
    unit: str = Field("credit", max_length=32)
    first: Day | None = Field(None, description="The first day; the first of this month when left out.")
    last: Day | None = Field(None, description="The last day; today when left out.")


class UsageWish(UsageRange):
    by: Literal["day", "month"] = "day"
    sub_account: UUID | None = None


class ClientUsedOut(BaseModel):
    sub_account: UUID | None = Field(description="Null for uses of no sub-account.")
    used: Figure


class ClientUsedPage(Page[ClientUsedOut]):
    pass


class ClientUsageWish(UsageRange, PageWish):
    pass


@router.get("/usage", response=UsageOut)
@needs("usage:read", clients=True)
def get_usage(request: HttpRequest, wish: Query[UsageWish]) -> UsageOut:
    """What was used by day or month and by kind, by all sub-accounts or by one."""
    unit, (first, last) = unit_of(wish.unit), _days(request, wish)
    client: SubAccount | None = request.sub_account
    if wish.sub_account:
        client = reached(request, wish.sub_account)
    lines = totals.sums(credit_use.days_of(request.agency), [unit.code], first, last, client=client.public_id if client else None)
    items = _used(lines, unit, wish.by)
    total = sum(item.used.steps for item in items)
    return UsageOut(unit=unit.code, first=first, last=last, total=figure_of(total, unit), items=items)


@router.get("/usage/sub-accounts", response=ClientUsedPage)
@needs("usage:read")
def list_usage_of_sub_accounts(request: HttpRequest, wish: Query[ClientUsageWish]) -> ClientUsedPage:
    """What each sub-account used, those that used most first."""
    unit, (first, last) = unit_of(wish.unit), _days(request, wish)
    of = f"usage {unit.code} {first} {last}"
    after = usage.position(opened_cursor(wish.cursor, of=of)) if wish.cursor else None
    found = totals.ranking(credit_use.days_of(request.agency), unit.code, first, last, most=wish.limit + 1, after=after).rows
    rows, more = found[: wish.limit], len(found) > wish.limit
    items = [ClientUsedOut(sub_account=None if id == totals.NOBODY else id, used=figure_of(amount, unit)) for id, amount in rows]
    return ClientUsedPage(items=items, next_cursor=sealed_cursor(f"{rows[-1][1]}:{rows[-1][0]}", of=of) if more else None)


def _used(lines: Iterable[totals.Sum], unit: Unit, by: str) -> list[UsedOut]:
    amounts: dict[tuple[date, str], tuple[int, int]] = {}
    for line in lines:
        if line.direction in (totals.USED, totals.RETURNED):
            place = line.day if by == "day" else line.day.replace(day=1), line.kind
            sign = 1 if line.direction == totals.USED else -1
            used, times = amounts.get(place, (0, 0))
            amounts[place] = used + sign * line.amount, times + sign * line.lines
    return [
        UsedOut(period=period, kind=kind, used=figure_of(used, unit), times=times)
        for (period, kind), (used, times) in sorted(amounts.items())
    ]


def _days(request: HttpRequest, wish: UsageRange) -> tuple[date, date]:
    today = clock.today_in(request.agency.time_zone)
    last = wish.last or max(today, wish.first or today)
    first = wish.first or last.replace(day=1)
    _check_days(first, last)
    if (last - first).days >= MOST_DAYS:
        raise Invalid(fields={"last": f"is {MOST_DAYS} days or more after the first day"})
    return first, last


def _check_days(first: date | None, last: date | None) -> None:
    if first and last and first > last:
        raise Invalid(fields={"last": "is before the first day"})
