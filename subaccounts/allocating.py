"""Topping a client up out of the agency's pool, and taking back what it did not use."""

import itertools
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction

from agency import audit
from credits import ledger
from credits.models import Entry, Unit, Wallet
from kit.actor import Actor
from kit.units import figure, in_words
from subaccounts import credit_use
from subaccounts.models import SubAccount

TOP_UP = "top_up"
TAKE_BACK = "take_back"
ACTS = (TOP_UP, TAKE_BACK)


@dataclass(frozen=True)
class Balance:
    """One unit of a client and of its agency's pool. `available` is what of the pool no hold reserves, `presents` what of
    that would stay with the client for good.
    """

    unit: Unit
    own: int
    reclaimable: int
    pool: int
    available: int
    presents: int

    def movable(self, act: str) -> int:
        return self.available if act == TOP_UP else self.reclaimable


@dataclass(frozen=True)
class Movement:
    """What an act does to both balances; each is (before, after). `is_replay` says that it was done before: nothing moved this time."""

    unit: Unit
    amount: int
    pool: tuple[int, int]
    own: tuple[int, int]
    is_replay: bool = field(default=False, compare=False)

    def in_words(self, name: str) -> str:
        return f"Pool {self._change(self.pool)}, {name} {self._change(self.own)}"

    def _change(self, balance: tuple[int, int]) -> str:
        return " → ".join(figure(amount, self.unit) for amount in balance)


def balances_of(sub_account: SubAccount) -> list[Balance]:
    """Of every unit that pool or client ever had any of; of credits always."""
    owners = [sub_account.public_id, sub_account.agency.public_id]
    wallets = list(
        Wallet.objects.filter(owner_id__in=owners).exclude(owner_kind=Wallet.BOOK).select_related("unit").order_by("unit__position")
    )
    pools = {wallet.unit_id: wallet for wallet in wallets if wallet.owner_kind == Wallet.AGENCY}
    own = [wallet for wallet in wallets if wallet.owner_kind == Wallet.SUB_ACCOUNT]
    pairs = [(wallet, pools[wallet.unit_id]) for wallet in own if wallet.unit_id in pools]
    shown = [(wallet, pool) for wallet, pool in pairs if wallet.unit_id == credit_use.UNIT or wallet.sequence or pool.sequence]
    bound_by_nothing = ledger.reclaimable(itertools.chain.from_iterable(shown))
    return [
        Balance(
            unit=wallet.unit,
            own=wallet.balance,
            reclaimable=bound_by_nothing[wallet.pk],
            pool=pool.balance,
            available=pool.available,
            presents=max(0, pool.available - bound_by_nothing[pool.pk]),
        )
        for wallet, pool in shown
    ]


def planned(act: str, balance: Balance, amount: int) -> Movement:
    """What moving `amount` would do to the balances as they were read."""
    change = amount if act == TOP_UP else -amount
    return Movement(balance.unit, amount, (balance.pool, balance.pool - change), (balance.own, balance.own + change))


@transaction.atomic
def move(*, act: str, sub_account: SubAccount, unit: Unit, amount: int, key: UUID, by: Actor, memo: str = "") -> Movement:
    """Top up or take back `amount` smallest steps of `unit`. The same key again answers the same and moves nothing.

    `memo` stands on the agency's statement.

    Raises `ledger.InsufficientCredits` when there is less to move, `ledger.KeyReused` when the key moved something else.
    """
    wallet, pool = sub_account.wallet(unit.code), sub_account.agency.pool(unit.code)
    deed = ledger.allocate if act == TOP_UP else ledger.reclaim
    posted = deed(wallet=wallet, pool=pool, amount=amount, key=f"allocation:{sub_account.public_id}:{key}", by=by, memo=memo)
    moved = replace(_movement(act, unit, posted.entries), is_replay=posted.is_replay)
    if not posted.is_replay:
        audit.record(
            "credits.allocated" if act == TOP_UP else "credits.reclaimed",
            by=by,
            agency=sub_account.agency,
            sub_account_id=sub_account.public_id,
            subject=f"{in_words(amount, unit)} {'to' if act == TOP_UP else 'from'} {sub_account.name}",
            before={"unit": unit.code, "pool": moved.pool[0], "own": moved.own[0]},
            after={"unit": unit.code, "pool": moved.pool[1], "own": moved.own[1], **({"description": memo} if memo else {})},
        )
    return moved


def _movement(act: str, unit: Unit, entries: list[Entry]) -> Movement:
    amount = sum(entry.amount for entry in entries)
    given, received = entries[-1].from_balance or 0, entries[-1].to_balance or 0
    source, to = (given + amount, given), (received - amount, received)
    return Movement(unit, amount, *((source, to) if act == TOP_UP else (to, source)))
