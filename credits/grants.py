"""What a balance is made of: the open grants of a wallet in the order in which they are used up, and when they expire."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from credits import statement
from credits.models import Entry, Grant, Wallet
from kit import clock
from kit.ids import least_of

PAGE = 50
SOON = (7, 30)


@dataclass(frozen=True, slots=True)
class Open:
    """A grant with something left. `number` is its place in the order of use; `is_expired` says that it only waits to be booked out."""

    number: int
    grant: Grant
    source: str
    is_expired: bool

    @property
    def is_first(self) -> bool:
        return self.number == 1


class Page(NamedTuple):
    rows: list[Open]
    next_cursor: UUID | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """One wallet, now, without what holds reserve. `expired` waits to be booked out and can no longer be spent, `available` can.

    `soon` has for each of `SOON` how much expires within so many days; `next_amount` expires at `next_at`.
    """

    available: int = 0
    expired: int = 0
    soon: tuple[int, ...] = (0, 0)
    next_at: datetime | None = None
    next_amount: int = 0

    @property
    def in_a_week(self) -> int:
        return self.soon[0]

    @property
    def in_a_month(self) -> int:
        return self.soon[1]


def page(wallet: Wallet, *, after: UUID | None = None, size: int = PAGE) -> Page:
    """The open grants of a wallet behind the grant `after`, or the first, in the order in which a spend draws on them.

    Over all pages what is left of them sums to the wallet's balance. A cursor that is no grant of the wallet is the start.
    """
    rows = in_order(wallet)
    start = 0
    if after is not None and (last := Grant.objects.filter(pk=after, wallet=wallet).first()):
        behind = _behind(last)
        start = rows.exclude(behind).count()
        rows = rows.filter(behind)
    found, now = list(rows[: size + 1]), clock.now()
    shown = [_open(start + n, grant, now) for n, grant in enumerate(found[:size], 1)]
    return Page(shown, found[size - 1].pk if len(found) > size else None)


def in_order(wallet: Wallet) -> QuerySet[Grant]:
    """By priority, then soonest expiry, then oldest."""
    return Grant.objects.filter(wallet=wallet, is_open=True).order_by("priority", F("expires_at").asc(nulls_last=True), "id")


def outlook(wallets: Iterable[Wallet]) -> dict[UUID, Outlook]:
    """How each wallet stands, by its id; what is reserved is not available. Two queries for all of them."""
    now = clock.now()
    found = {wallet.pk: wallet for wallet in wallets}
    open_grants = Grant.objects.filter(wallet__in=found, is_open=True, remaining__gt=F("held"))
    ahead = Q(expires_at__gt=now)
    within = {f"within_{days}": _free(ahead & Q(expires_at__lte=now + timedelta(days=days))) for days in SOON}
    each = open_grants.values("wallet_id").order_by()
    each = each.annotate(expired=_free(Q(expires_at__lte=now)), next_at=Min("expires_at", filter=ahead), **within)
    sums = {row["wallet_id"]: row for row in each}
    firsts = [Q(wallet=pk, expires_at=row["next_at"]) for pk, row in sums.items() if row["next_at"]]
    first = open_grants.filter(reduce(or_, firsts)) if firsts else Grant.objects.none()
    next_amounts = dict(first.values("wallet_id").annotate(free=_free()).values_list("wallet_id", "free").order_by())
    return {pk: _outlook(wallet, sums.get(pk), next_amounts.get(pk, 0)) for pk, wallet in found.items()}


def lapsed(wallets: Iterable[Wallet], since: datetime) -> dict[UUID, int]:
    """What has gone from each wallet to the breakage account since `since`, by the wallet's id; nothing is left out. One query."""
    found = list(wallets)
    entries = Entry.objects.filter(kind="expiry", agency_id__in={wallet.agency_id for wallet in found}, from_wallet__in=found)
    entries = entries.filter(pk__gte=least_of(since))
    return dict(entries.values_list("from_wallet_id").annotate(Sum("amount")).order_by())


def _behind(last: Grant) -> Q:
    if last.expires_at is None:
        return Q(priority__gt=last.priority) | Q(priority=last.priority, expires_at=None, pk__gt=last.pk)
    later = Q(expires_at__gt=last.expires_at) | Q(expires_at=None) | Q(expires_at=last.expires_at, pk__gt=last.pk)
    return Q(priority__gt=last.priority) | (Q(priority=last.priority) & later)


def _open(number: int, grant: Grant, now: datetime) -> Open:
    is_expired = grant.expires_at is not None and grant.expires_at <= now
    return Open(number, grant, statement.SOURCES.get(grant.source, grant.source.capitalize()), is_expired)


def _free(condition: Q | None = None) -> Coalesce:
    """What no hold reserves: a hold may still use its part after the expiry."""
    return Coalesce(Sum(F("remaining") - F("held"), filter=condition), 0)


def _outlook(wallet: Wallet, row: Mapping[str, Any] | None, next_amount: int) -> Outlook:
    if row is None:
        return Outlook(available=wallet.available)
    soon = tuple(row[f"within_{days}"] for days in SOON)
    return Outlook(wallet.available - row["expired"], row["expired"], soon, row["next_at"], next_amount)
