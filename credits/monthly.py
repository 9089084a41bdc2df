"""The monthly statement: per unit what there was, what came, what was used, what went, and what was left.

A month is a calendar month of the agency's time zone, by the moments of the entries. The opening balance is the sum of all entries
before it, so one month closes with what the next opens with, and opening and movements are the closing balance to the last step.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from credits import totals
from credits.models import Entry, Unit
from credits.statement import KINDS, SOURCES
from kit import clock

CAME = "Came in"
USED = "Used"
WENT = "Went out"
# In the order of the page: the direction, where it stands, whether it adds or takes.
_DIRECTIONS = {
    totals.GRANTED: (CAME, 1),
    totals.RECEIVED: (CAME, 1),
    totals.ADDED: (CAME, 1),
    totals.USED: (USED, -1),
    totals.RETURNED: (USED, 1),
    totals.SENT: (WENT, -1),
    totals.EXPIRED: (WENT, -1),
    totals.WITHDRAWN: (WENT, -1),
    totals.DEDUCTED: (WENT, -1),
}
_MOVED = {
    (totals.RECEIVED, "allocation"): "Allocated from the pool",
    (totals.RECEIVED, "reclaim"): "Taken back from clients",
    (totals.RECEIVED, "transfer"): "Moved in",
    (totals.SENT, "allocation"): "Allocated to clients",
    (totals.SENT, "reclaim"): "Taken back to the pool",
    (totals.SENT, "transfer"): "Moved out",
}
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Movement:
    """All of one kind in a month: `amount` is negative where units left, in `lines` lines of the statement."""

    group: str
    words: str
    amount: int
    lines: int

    @property
    def sign(self) -> str:
        return "+" if self.amount > 0 else "−" if self.amount < 0 else ""

    @property
    def size(self) -> int:
        return abs(self.amount)


@dataclass(frozen=True)
class Account:
    """One unit of a client's own wallet, or of the pool. `from_pool` is what the pool paid for the client: negative where it came back."""

    unit: Unit
    opening: int
    movements: list[Movement]
    from_pool: list[Movement]

    @property
    def closing(self) -> int:
        return self.opening + sum(movement.amount for movement in self.movements)

    @property
    def paid_by_pool(self) -> int:
        """What the pool paid, less what was given back to it."""
        return sum(movement.amount for movement in self.from_pool)

    @property
    def is_empty(self) -> bool:
        return not (self.opening or self.movements or self.from_pool)


def month_named(text: str) -> date | None:
    """The first day of the month "2026-03"."""
    found = _MONTH.fullmatch(text)
    return date(int(found[1]), int(found[2]), 1) if found else None


def month_after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def last_day(month: date) -> date:
    return month_after(month) - timedelta(days=1)


def accounts(days: totals.Days, month: date, *, client: UUID | None = None) -> list[Account]:
    """Every unit of a client's own wallets, or without a client of the agency's pool, in the month that begins on `month`. Two queries."""
    units = list(Unit.objects.all())
    found = totals.sums_and_before(days, [unit.code for unit in units], month, last_day(month), client=client)
    return [_account(unit, month, [line for line in found if line.unit == unit.code], is_pool=client is None) for unit in units]


def used_by_month(days: totals.Days, first: date, last: date, *, client: UUID | None = None) -> dict[date, dict[str, int]]:
    """What was used in each month, by unit: of a client, whoever paid; without one, of the pool. Two queries."""
    codes = list(Unit.objects.values_list("code", flat=True))
    used: dict[date, dict[str, int]] = {}
    for line in totals.sums(days, codes, first, last, client=client):
        if client is not None or line.is_pool:
            of_month = used.setdefault(line.day.replace(day=1), dict.fromkeys(codes, 0))
            of_month[line.unit] += totals.net([line], totals.USED, minus=totals.RETURNED)
    return used


def began(agency_id: UUID, zone: str, *, client: UUID | None = None) -> date:
    """The month of the first entry of an agency, or of one of its clients; this month where there is none."""
    found = (
        Entry.objects.filter(agency_id=agency_id) if client is None else Entry.objects.filter(agency_id=agency_id, sub_account_id=client)
    )
    first = found.order_by("pk").values_list("at", flat=True).first()
    return (first or clock.now()).astimezone(ZoneInfo(zone)).date().replace(day=1)


def _account(unit: Unit, month: date, lines: list[totals.Sum], *, is_pool: bool) -> Account:
    own = [line for line in lines if line.is_pool == is_pool]
    return Account(
        unit=unit,
        opening=sum(_signed(line) for line in own if line.day < month),
        movements=list(_movements(line for line in own if line.day >= month)),
        from_pool=[
            replace(movement, amount=-movement.amount)
            for movement in _movements(line for line in lines if not is_pool and line.is_pool and line.day >= month and _is_use(line))
        ],
    )


def _movements(lines: Iterable[totals.Sum]) -> Iterator[Movement]:
    order = list(_DIRECTIONS)
    for line in sorted(lines, key=lambda line: (order.index(line.direction), line.kind)):
        yield Movement(_DIRECTIONS[line.direction][0], _words(line), _signed(line), line.lines)


def _signed(line: totals.Sum) -> int:
    return _DIRECTIONS[line.direction][1] * line.amount


def _is_use(line: totals.Sum) -> bool:
    return line.direction in (totals.USED, totals.RETURNED)


def _words(line: totals.Sum) -> str:
    kind = KINDS.get(line.kind) or SOURCES.get(line.kind) or line.kind.replace("_", " ").capitalize()
    if line.direction in (totals.RETURNED, totals.WITHDRAWN):
        return f"{kind}, voided"
    return _MOVED.get((line.direction, line.kind), kind)
