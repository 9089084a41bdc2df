"""Moving units between any two accounts of an agency, at what they cost there (decision 12): looked at first, then done as it was shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid4

from django.core import signing
from django.db import transaction

from agency import audit
from agency.models import Agency
from credits import ledger, prices
from credits.conversion import NothingArrives, convert
from credits.models import Unit, Wallet
from kit.actor import Actor
from kit.refusal import Refusal
from kit.units import figure, in_words
from subaccounts.models import SubAccount, SubAccountQuerySet

POOL = "pool"
OFFERED = 50
REVIEW_LASTS = 24 * 3600
_SALT = "canopy.moves"


class FiguresChanged(Refusal):
    code = "figures_changed"
    status = 409
    default_message = "Prices or balances have changed since you looked, so other figures apply. Nothing was moved."


@dataclass(frozen=True)
class Account:
    """A side of a move: the agency's pool, or a sub-account. `code` is what a form calls it."""

    agency: Agency
    sub_account: SubAccount | None = None

    @property
    def code(self) -> str:
        return str(self.sub_account.public_id) if self.sub_account else POOL

    @property
    def name(self) -> str:
        """As it stands in the middle of a sentence."""
        return self.sub_account.name if self.sub_account else "the pool"

    @property
    def label(self) -> str:
        """The name in a list of names."""
        if self.sub_account is None:
            return "The pool"
        return f"{self.name} (your own account)" if self.sub_account.is_primary else self.name

    @property
    def owner_id(self) -> UUID:
        return self.sub_account.public_id if self.sub_account else self.agency.public_id


@dataclass(frozen=True)
class Balance:
    """What an account has of a unit and how much of it may leave."""

    unit: Unit
    balance: int
    movable: int


@dataclass(frozen=True)
class Price:
    """What a unit costs at one side: the percentage on the base price, and the price where there is a base price."""

    percent: Decimal
    amount: Decimal | None


@dataclass(frozen=True)
class Line:
    """What the move of one unit does. Figures are smallest steps, balances are (before, after)."""

    unit: Unit
    amount: int
    taken: int
    received: int
    from_pool: int
    source_price: Price
    to_price: Price
    source: tuple[int, int] = (0, 0)
    to: tuple[int, int] = (0, 0)
    problem: str = ""

    @property
    def kept(self) -> int:
        return self.amount - self.taken

    @property
    def figures(self) -> list[object]:
        """What was shown for this unit and has to be so still when it is done; balances may change meanwhile."""
        said = [
            f"{price.percent.normalize():f} {price.amount and price.amount.normalize()}" for price in (self.source_price, self.to_price)
        ]
        return [self.unit.code, self.amount, self.taken, self.received, self.from_pool, *said]


@dataclass(frozen=True)
class Plan:
    """`is_replay` says that it was done before: nothing moved this time."""

    source: Account
    to: Account
    lines: list[Line]
    is_replay: bool = False

    @property
    def problems(self) -> dict[str, str]:
        return {line.unit.code: line.problem for line in self.lines if line.problem}

    def signed(self) -> str:
        """The reviewed figures with a key that makes a second submit the same move."""
        return signing.dumps(
            {
                "key": str(uuid4()),
                "agency": str(self.source.agency.public_id),
                "source": self.source.code,
                "to": self.to.code,
                "figures": [line.figures for line in self.lines],
            },
            salt=_SALT,
            compress=True,
        )


@dataclass(frozen=True)
class Reviewed:
    """What somebody looked at and confirmed."""

    key: str
    agency: str
    source: str
    to: str
    figures: list[list[object]]

    @property
    def amounts(self) -> dict[str, int]:
        return {str(unit): int(str(amount)) for unit, amount, *_ in self.figures}


def read(signed: str) -> Reviewed | None:
    """What `Plan.signed` wrote; None when it did not, or a day ago."""
    try:
        return Reviewed(**signing.loads(signed, salt=_SALT, max_age=REVIEW_LASTS))
    except signing.BadSignature:
        return None


def accounts(agency: Agency, sub_accounts: SubAccountQuerySet, search: str = "") -> list[Account]:
    """What a picker offers: the pool, the agency's own sub-account, then clients by name, at most `OFFERED`."""
    found = sub_accounts.filter(name__icontains=search) if search else sub_accounts
    rows = found.order_by("-is_primary", "name", "pk")[:OFFERED]
    return [Account(agency), *(Account(agency, row) for row in rows)]


def balances_of(account: Account) -> dict[str, Balance]:
    """By unit. Of a client only what is transferable leaves; of the pool whatever no hold reserves."""
    wallets = _wallets([account])
    free = ledger.reclaimable(wallets.values())
    return {
        unit: Balance(wallet.unit, wallet.balance, free[wallet.pk] if account.sub_account else wallet.available)
        for (_, unit), wallet in wallets.items()
    }


def planned(source: Account, to: Account, amounts: Mapping[str, int]) -> Plan:
    """What moving these amounts, in smallest steps by unit, would do now. The ledger decides, later."""
    pool = Account(source.agency)
    wallets, movable, costs = _wallets([source, to, pool]), balances_of(source), _prices(source, to)
    return Plan(source, to, [_line(source, to, unit, amounts[unit], wallets, movable[unit], costs) for unit in _in_order(amounts)])


@transaction.atomic
def move(*, source: Account, to: Account, reviewed: Reviewed, by: Actor) -> Plan:
    """Do what was reviewed: every unit, or none. The same review again answers the same and moves nothing.

    Raises `FiguresChanged` where other figures apply by now, and what `ledger.transfer` raises.
    """
    costs, shown = _prices(source, to), {str(figures[0]): figures for figures in reviewed.figures}
    done = [_moved(source, to, unit, reviewed, costs, by) for unit in _in_order(reviewed.amounts)]
    if any(line.figures != shown[line.unit.code] for line, is_replay in done if not is_replay):
        raise FiguresChanged
    for line, is_replay in done:
        if not is_replay:
            _record(source, to, line, by)
    return Plan(source, to, [line for line, _ in done], is_replay=all(is_replay for _, is_replay in done))


def in_words_of(plan: Plan) -> str:
    """What was done, for the message afterwards."""
    leaves = _listed(in_words(line.taken, line.unit) for line in plan.lines)
    arrives = _listed(in_words(line.received, line.unit) for line in plan.lines)
    after = "; ".join(
        f"{line.unit.plural}: {plan.source.name} {_change(line.source, line.unit)}, {plan.to.name} {_change(line.to, line.unit)}"
        for line in plan.lines
    )
    return f"{leaves} left {plan.source.name}, {arrives} arrived at {plan.to.name}. {after[:1].upper()}{after[1:]}."


def _moved(
    source: Account, to: Account, unit: str, reviewed: Reviewed, costs: Mapping[str, tuple[Price, Price]], by: Actor
) -> tuple[Line, bool]:
    wallets = _wallets([source, to, Account(source.agency)], unit)
    giver, taker, pool = (wallets[owner, unit] for owner in (source.owner_id, to.owner_id, source.agency.public_id))
    amount, (source_price, to_price) = reviewed.amounts[unit], costs[unit]
    ratio = prices.ratio(source_price.percent, to_price.percent)
    key = f"move:{source.agency.public_id}:{reviewed.key}:{unit}"
    posted = ledger.transfer(source=giver, to=taker, pool=pool, amount=amount, ratio=ratio, key=key, by=by)
    entries = posted.entries
    left = next(entry.from_balance or 0 for entry in reversed(entries) if entry.from_wallet_id == giver.pk)
    has = next(entry.to_balance or 0 for entry in reversed(entries) if entry.to_wallet_id == taker.pk)
    line = Line(
        giver.unit, amount, posted.taken, posted.received, posted.from_pool, source_price, to_price,
        source=(left + posted.taken, left), to=(has - posted.received, has),
    )  # fmt: skip
    return line, posted.is_replay


def _line(
    source: Account,
    to: Account,
    unit: str,
    amount: int,
    wallets: Mapping[tuple[UUID, str], Wallet],
    has: Balance,
    costs: Mapping[str, tuple[Price, Price]],
) -> Line:
    taker, pool = wallets[to.owner_id, unit], wallets[source.agency.public_id, unit]
    source_price, to_price = costs[unit]
    ratio = prices.ratio(source_price.percent, to_price.percent)
    try:
        plan = convert(amount, ratio, converted=pool.converted, is_to_pool=to.sub_account is None)
    except NothingArrives as refusal:
        return Line(has.unit, amount, 0, 0, 0, source_price, to_price, problem=refusal.message)
    problem = ""
    if plan.taken > has.movable:
        problem = f"{source.label} has {in_words(has.movable, has.unit)} that can be moved. Nothing was moved."
    elif plan.from_pool > pool.available:
        problem = (
            f"{has.unit.plural.capitalize()} cost less there, so the pool would add {in_words(plan.from_pool, has.unit)}, "
            f"and it has {in_words(pool.available, has.unit)}. Nothing was moved."
        )
    return Line(
        has.unit, amount, plan.taken, plan.received, plan.from_pool, source_price, to_price,
        source=(has.balance, has.balance - plan.taken), to=(taker.balance, taker.balance + plan.received), problem=problem,
    )  # fmt: skip


def _prices(source: Account, to: Account) -> dict[str, tuple[Price, Price]]:
    """What each unit costs at both sides."""
    agency = source.agency
    base = prices.base_prices(agency.currency)
    percents = prices.markups(agency.public_id, [account.owner_id for account in (source, to) if account.sub_account])

    def price(account: Account, unit: str) -> Price:
        percent = percents.get(account.owner_id, {}).get(unit, prices.NO_MARKUP)
        return Price(percent, prices.marked_up(base[unit], percent) if unit in base else None)

    return {unit: (price(source, unit), price(to, unit)) for unit in _in_order()}


def _wallets(accounts: Iterable[Account], *units: str) -> dict[tuple[UUID, str], Wallet]:
    owners = [account.owner_id for account in accounts]
    found = Wallet.objects.filter(owner_id__in=owners).exclude(owner_kind=Wallet.BOOK).select_related("unit").order_by("unit__position")
    return {(wallet.owner_id, wallet.unit_id): wallet for wallet in (found.filter(unit__in=units) if units else found)}


def _in_order(among: Iterable[str] | None = None) -> list[str]:
    """Codes of units, always in the same order, so that two moves of several units never wait for each other."""
    known = list(Unit.objects.order_by("position", "code").values_list("code", flat=True))
    return known if among is None else [unit for unit in known if unit in set(among)]


def _record(source: Account, to: Account, line: Line, by: Actor) -> None:
    party = to.sub_account or source.sub_account
    audit.record(
        "credits.moved",
        by=by,
        agency=source.agency,
        sub_account_id=party.public_id if party else None,
        subject=f"{in_words(line.taken, line.unit)} from {source.name} to {to.name}",
        before={"unit": line.unit.code, "source": line.source[0], "destination": line.to[0]},
        after={
            "unit": line.unit.code,
            "source": line.source[1],
            "destination": line.to[1],
            "taken": line.taken,
            "received": line.received,
            "from_pool": line.from_pool,
        },
    )


def _change(balance: tuple[int, int], unit: Unit) -> str:
    return " → ".join(figure(amount, unit) for amount in balance)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
