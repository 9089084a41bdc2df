"""The credit account of one client: what came in and went, what is left, and what it was worth."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from credits import prices, totals
from credits.models import Grant, PoolLimit, Unit, Wallet
from credits.totals import ADDED, DEDUCTED, EXPIRED, GRANTED, RECEIVED, RETURNED, SENT, USED, WITHDRAWN, Sum
from kit import clock, money
from subaccounts import credit_use
from subaccounts.models import SubAccount

# What an account is made of: the words for it, what they mean, and the name here.
LINES = [
    ("Purchased", "bought by the client", "purchased"),
    ("Allocated", "from your pool, less what was taken back", "allocated"),
    ("Given", "starter credits, packages, promotions", "given"),
    ("Received", "moved here from other accounts", "received"),
    ("Sent", "moved to other accounts", "sent"),
    ("Adjusted", "corrected by hand", "adjusted"),
    ("Used, own wallet", "", "used_own"),
    ("Used, paid by the pool", "", "used_pool"),
    ("Expired", "", "expired"),
    ("Reserved", "for work in progress", "reserved"),
    ("Remaining", "can be used now, of its own", "remaining"),
]
# Moves between a client and its agency's pool; every other one is between two accounts of the agency.
FROM_POOL = ("allocation", "reclaim")


@dataclass(frozen=True)
class Account:
    """One unit of a client since it was opened, in smallest steps. What came in less what went is `wallet.balance`.

    `allocated` is what came from the pool less what was taken back, `given` grants that were not bought. `price` of a display unit
    is the client's now, in the agency's currency; None where the platform has none there.
    """

    unit: Unit
    wallet: Wallet
    purchased: int
    allocated: int
    given: int
    received: int
    sent: int
    adjusted: int
    used_own: int
    used_pool: int
    expired: int
    price: Decimal | None
    currency: str

    @property
    def reserved(self) -> int:
        return self.wallet.held

    @property
    def remaining(self) -> int:
        return self.wallet.available

    @property
    def consumed(self) -> int:
        return self.used_own + self.used_pool

    @property
    def spend_minor(self) -> int | None:
        """All that was consumed, whoever paid, at today's price, in minor units."""
        if self.price is None:
            return None
        return int((self.price * self.consumed / self.unit.steps).scaleb(money.exponent(self.currency)).to_integral_value(ROUND_HALF_UP))

    @property
    def is_touched(self) -> bool:
        return bool(self.wallet.sequence or self.used_pool)


@dataclass(frozen=True)
class PoolUse:
    """What a client used of the pool this month, and its limit where it has one."""

    used: int
    limit: PoolLimit | None


def accounts(sub_account: SubAccount) -> list[Account]:
    """Of every unit that the client ever had or used any of; of credits always."""
    agency = sub_account.agency
    wallets = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=sub_account.public_id).select_related("unit")
    found = {wallet.unit_id: wallet for wallet in wallets.order_by("unit__position")}
    # An agency may have opened it late and written its history before: from the first day there can be.
    lines = totals.sums(
        credit_use.days_of(agency), found, date(2000, 1, 1), clock.today_in(agency.time_zone), client=sub_account.public_id, is_by_day=False
    )
    base = prices.base_prices(agency.currency)
    markups = prices.markups(agency.public_id, [sub_account.public_id])[sub_account.public_id]
    every = [
        _account(
            wallet,
            [line for line in lines if line.unit == code],
            prices.marked_up(base[code], markups.get(code, prices.NO_MARKUP)) if code in base else None,
            agency.currency,
        )
        for code, wallet in found.items()
    ]
    return [account for account in every if account.is_touched or account.unit.code == credit_use.UNIT]


def lines(shown: list[Account]) -> list[tuple[str, str, list[tuple[int, Unit]]]]:
    """The accounts as the lines of a table with a column for each unit: words, meaning, (amount, unit)."""
    return [(words, meaning, [(getattr(one, name), one.unit) for one in shown]) for words, meaning, name in LINES]


def pool_use(sub_account: SubAccount, wallet: Wallet) -> PoolUse:
    agency = sub_account.agency
    today = clock.today_in(agency.time_zone)
    days = credit_use.days_of(agency)
    lines = totals.sums(days, [wallet.unit_id], today.replace(day=1), today, client=sub_account.public_id, is_by_day=False)
    used = totals.net((line for line in lines if line.is_pool), USED, minus=RETURNED)
    return PoolUse(used, PoolLimit.objects.filter(wallet=wallet).first())


def _account(wallet: Wallet, lines: list[Sum], price: Decimal | None, currency: str) -> Account:
    own = [line for line in lines if not line.is_pool]
    bought = [line for line in own if line.kind == Grant.PURCHASE]
    from_pool = [line for line in own if line.kind in FROM_POOL]
    moved = [line for line in own if line.kind not in FROM_POOL]
    return Account(
        unit=wallet.unit,
        wallet=wallet,
        purchased=totals.net(bought, GRANTED, minus=WITHDRAWN),
        allocated=totals.net(from_pool, RECEIVED, minus=SENT),
        given=totals.net((line for line in own if line.kind != Grant.PURCHASE), GRANTED, minus=WITHDRAWN),
        received=totals.net(moved, RECEIVED),
        sent=totals.net(moved, SENT),
        adjusted=totals.net(own, ADDED, minus=DEDUCTED),
        used_own=totals.net(own, USED, minus=RETURNED),
        used_pool=totals.net((line for line in lines if line.is_pool), USED, minus=RETURNED),
        expired=totals.net(own, EXPIRED),
        price=price,
        currency=currency,
    )
