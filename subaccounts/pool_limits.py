"""All limits of an agency's clients on its pool, and what they may still draw together."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db.models import Case, F, Q, Sum, When
from django.db.models.functions import Greatest

from agency.models import Agency
from credits import totals
from credits.models import PoolLimit, Unit, Wallet
from kit import clock
from subaccounts import credit_use
from subaccounts.models import SubAccount, SubAccountQuerySet

PAGE = 50
REACHED = "reached"
POLICIES = {
    SubAccount.FALLBACK_ON: "No limit",
    SubAccount.FALLBACK_CAPPED: "Up to a limit",
    SubAccount.FALLBACK_OFF: "Own credits only",
}


@dataclass(frozen=True)
class Wish:
    """What to show: a text in the name, a policy or `REACHED`, or everything."""

    unit: Unit
    search: str = ""
    policy: str = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.search or self.policy)


@dataclass(frozen=True)
class Row:
    """One client and unit; amounts in smallest steps. `used` is of the pool, this month."""

    sub_account: SubAccount
    unit: Unit
    limit: PoolLimit | None
    used: int

    @property
    def policy(self) -> str:
        is_without = self.sub_account.pool_fallback == SubAccount.FALLBACK_CAPPED and self.limit is None
        return f"No limit of {self.unit.plural}" if is_without else POLICIES[self.sub_account.pool_fallback]

    @property
    def amount(self) -> int | None:
        return self.limit.amount if self.limit else None

    @property
    def left(self) -> int | None:
        return self.limit.left if self.limit else None

    @property
    def at_limit(self) -> str:
        if self.limit is None:
            return ""
        return "Stops" if self.limit.is_hard else "Alert only"


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    next_cursor: UUID | None = None


@dataclass(frozen=True)
class Commitment:
    """What limited clients may still draw of one pool this month, and what it has. Limits that only alert bind nobody."""

    unit: Unit
    drawable: int
    alert_only: int
    limits: int
    available: int

    @property
    def is_oversold(self) -> bool:
        return self.drawable > self.available


def page(agency: Agency, sub_accounts: SubAccountQuerySet, wish: Wish, *, cursor: UUID | None = None) -> Page:
    """The clients after `cursor` by name, each with its limit. Six queries, whatever there is to list."""
    wanted = _wanted(agency, sub_accounts, wish)
    seen = sub_accounts.filter(public_id=cursor).first() if cursor else None
    if seen:
        wanted = wanted.filter(Q(name__gte=seen.name) & ~Q(name=seen.name, pk__lte=seen.pk))
    found = list(wanted.order_by("name", "pk")[: PAGE + 1])
    more = len(found) > PAGE
    return Page(_rows(agency, found[:PAGE], wish.unit), found[PAGE - 1].public_id if more else None)


def every(agency: Agency, sub_accounts: SubAccountQuerySet, wish: Wish) -> Iterator[Row]:
    """All rows, read page by page as they are asked for."""
    cursor: UUID | None = None
    while True:
        found = page(agency, sub_accounts, wish, cursor=cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def commitments(agency: Agency) -> list[Commitment]:
    """For each unit with a limit. Two queries."""
    now = clock.now()
    used = Case(When(month_ends_at__gt=now, then=F("used")), default=0)
    left = Greatest(F("amount") - used, 0)
    limits = PoolLimit.objects.filter(wallet__owner_kind=Wallet.SUB_ACCOUNT, wallet__agency_id=agency.public_id).order_by()
    sums = {
        row["wallet__unit_id"]: row
        for row in limits.values("wallet__unit_id").annotate(
            drawable=Sum(left), alert_only=Sum(left, filter=Q(is_hard=False), default=0), limits=Sum(1)
        )
    }
    pools = Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency.public_id, unit_id__in=sums).select_related("unit")
    return [
        Commitment(
            unit=pool.unit,
            drawable=int(sums[pool.unit_id]["drawable"]),
            alert_only=int(sums[pool.unit_id]["alert_only"]),
            limits=int(sums[pool.unit_id]["limits"]),
            available=pool.available,
        )
        for pool in pools.order_by("unit__position")
    ]


def _wanted(agency: Agency, sub_accounts: SubAccountQuerySet, wish: Wish) -> SubAccountQuerySet:
    if wish.search:
        sub_accounts = sub_accounts.filter(name__icontains=wish.search)
    if wish.policy in POLICIES:
        return sub_accounts.filter(pool_fallback=wish.policy)
    if wish.policy == REACHED:
        own = {"wallet__owner_kind": Wallet.SUB_ACCOUNT, "wallet__agency_id": agency.public_id, "wallet__unit": wish.unit}
        reached = PoolLimit.objects.filter(used__gte=F("amount"), month_ends_at__gt=clock.now(), **own)
        return sub_accounts.filter(public_id__in=reached.values("wallet__owner_id"))
    return sub_accounts


def _rows(agency: Agency, found: list[SubAccount], unit: Unit) -> list[Row]:
    ids = [sub_account.public_id for sub_account in found]
    own = PoolLimit.objects.filter(wallet__owner_kind=Wallet.SUB_ACCOUNT, wallet__owner_id__in=ids, wallet__unit=unit)
    limits = {limit.wallet.owner_id: limit for limit in own.select_related("wallet")}
    first: date = clock.month_start(agency.time_zone).date()
    rest = [public_id for public_id in ids if public_id not in limits]
    used = totals.used_of_pool(credit_use.days_of(agency), unit.code, first, clock.today_in(agency.time_zone), among=rest)
    rows = []
    for sub_account in found:
        limit = limits.get(sub_account.public_id)
        rows.append(Row(sub_account, unit, limit, limit.used_this_month if limit else used.get(sub_account.public_id, 0)))
    return rows
