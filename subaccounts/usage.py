"""Who used how much of a unit, when, for what, and how that differs from the time before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from agency.models import Agency
from credits import statement, totals
from credits.models import Unit, Wallet
from credits.totals import Days, Sum
from kit.ranges import Range, change
from subaccounts.models import SubAccount

PAGE = 50
LARGEST = 5
Series = tuple[str, list[int]]


@dataclass(frozen=True, slots=True)
class Row:
    """One client: what it used in the range and in the one before, on each step of the range, and what it has of its own."""

    id: UUID
    client: SubAccount | None
    used: int
    before: int
    trend: list[int]
    own: int

    @property
    def name(self) -> str:
        return self.client.name if self.client else "No client" if self.id == totals.NOBODY else "Moved away"

    @property
    def change(self) -> str:
        return change(self.used, self.before)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of use; `lines` is how often, what was voided counts as not used."""

    name: str
    used: int
    before: int
    lines: int

    @property
    def change(self) -> str:
        return change(self.used, self.before)


@dataclass(frozen=True, slots=True)
class Summary:
    """All clients together. `from_pool` is the part of `used` that the pool paid."""

    used: int
    before: int
    from_pool: int
    clients: int

    @property
    def change(self) -> str:
        return change(self.used, self.before)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the `clients` that used anything."""

    rows: list[Row]
    clients: int
    next_cursor: str


def compared(lines: Iterable[Sum], shown: Range) -> tuple[list[Sum], list[Sum]]:
    """Those of the range, and those of the range before it."""
    found, before = list(lines), shown.previous
    return (
        [line for line in found if shown.first <= line.day <= shown.last],
        [line for line in found if before.first <= line.day <= before.last],
    )


def summary(lines: Sequence[Sum], before: Sequence[Sum], *, clients: int = 1) -> Summary:
    pool = [line for line in lines if line.is_pool]
    return Summary(_used(lines), _used(before), _used(pool), clients)


def kinds(lines: Sequence[Sum], before: Sequence[Sum]) -> list[Kind]:
    """The kinds of use, the most used first."""
    names = {line.kind for line in [*lines, *before] if line.direction in (totals.USED, totals.RETURNED)}
    found = [
        Kind(
            name=kind_name(name),
            used=_used(line for line in lines if line.kind == name),
            before=_used(line for line in before if line.kind == name),
            lines=sum(_times(line) for line in lines if line.kind == name),
        )
        for name in names
    ]
    return sorted(found, key=lambda kind: (-kind.used, kind.name))


def kind_name(code: str) -> str:
    return statement.KINDS.get(code, code.replace("_", " ").capitalize())


def by_kind(lines: Sequence[Sum], shown: Range) -> list[Series]:
    """What was used on each step of the range, a series for each kind of use."""
    names = {line.kind for line in lines if line.direction in (totals.USED, totals.RETURNED)}
    per_kind = {kind_name(name): _per_day(line for line in lines if line.kind == name) for name in names}
    largest = sorted(per_kind, key=lambda name: (-sum(per_kind[name].values()), name))
    return [(name, stepped(per_kind[name], shown)) for name in largest]


def by_payer(lines: Sequence[Sum], shown: Range) -> list[Series]:
    """What was used on each step of the range: out of clients' own wallets and out of the pool."""
    payers = ((False, "Own wallet"), (True, "Agency pool"))
    return [(name, stepped(_per_day(line for line in lines if line.is_pool is pool), shown)) for pool, name in payers]


def by_client(days: Days, unit: str, shown: Range, *, most: int = LARGEST) -> list[Series]:
    """What was used on each step of the range by the `most` clients that used most, and by the others together."""
    found = totals.trend(days, unit, shown.first, shown.last, most=most)
    names = dict(SubAccount.objects.filter(public_id__in=[id for id, _ in found.largest]).values_list("public_id", "name"))
    series = [(names.get(id, "Moved away"), stepped(used, shown)) for id, used in found.largest]
    if found.users > len(series):
        others = [amount - sum(values[place] for _, values in series) for place, amount in enumerate(stepped(found.together, shown))]
        series.append((f"{found.users - len(series)} others", others))
    return series


def by_first(first: Page, lines: Iterable[Sum], shown: Range, *, most: int = LARGEST) -> list[Series]:
    """The same out of the first page of clients and the lines of all, which are at hand."""
    series = [(row.name, row.trend) for row in first.rows[:most]]
    if first.clients > len(series):
        together = stepped(_per_day(lines), shown)
        others = [amount - sum(values[place] for _, values in series) for place, amount in enumerate(together)]
        series.append((f"{first.clients - len(series)} others", others))
    return series


def page(agency: Agency, days: Days, unit: Unit, shown: Range, *, cursor: str = "", size: int = PAGE) -> Page:
    """The clients after `cursor`, those that used most first; a cursor that is none is the start. Five queries, however many clients."""
    ranking = totals.ranking(days, unit.code, shown.first, shown.last, most=size + 1, after=position(cursor))
    ids = [public_id for public_id, _ in ranking.rows[:size]]
    clients = {client.public_id: client for client in SubAccount.objects.of(agency).filter(public_id__in=ids)}
    before = totals.used(days, unit.code, shown.previous.first, shown.previous.last, among=ids)
    daily = totals.used_by_day(days, unit.code, shown.first, shown.last, among=ids)
    own = dict(Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=ids, unit=unit).values_list("owner_id", "balance"))
    rows = [
        Row(id, clients.get(id), used, before.get(id, 0), stepped(daily.get(id, {}), shown), own.get(id, 0))
        for id, used in ranking.rows[:size]
    ]
    return Page(rows, ranking.users, f"{rows[-1].used}:{rows[-1].id}" if len(ranking.rows) > size else "")


def in_units(series: Iterable[Series], unit: Unit) -> list[tuple[str, list[float]]]:
    """The same in whole units, for a chart to show."""
    return [(name, [round(amount / unit.steps, 2) for amount in values]) for name, values in series]


def stepped(per_day: Mapping[date, int], shown: Range) -> list[int]:
    """Amounts by day as amounts by the steps of the range."""
    return [sum([per_day.get(day, 0) for day in step]) for _, step in shown.steps]


def _per_day(lines: Iterable[Sum]) -> dict[date, int]:
    per_day: dict[date, int] = {}
    for line in lines:
        if line.direction in (totals.USED, totals.RETURNED):
            per_day[line.day] = per_day.get(line.day, 0) + (line.amount if line.direction == totals.USED else -line.amount)
    return per_day


def _used(lines: Iterable[Sum]) -> int:
    return totals.net(lines, totals.USED, minus=totals.RETURNED)


def _times(line: Sum) -> int:
    return {totals.USED: line.lines, totals.RETURNED: -line.lines}.get(line.direction, 0)


def position(cursor: str) -> tuple[int, UUID] | None:
    """The place in a ranking that a cursor names, "amount:id"; None where it names none."""
    amount, _, public_id = cursor.partition(":")
    try:
        return int(amount), UUID(public_id)
    except ValueError:
        return None
