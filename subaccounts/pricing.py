"""What an agency asks: its markups and rates, for all its clients or for one of them, beside what the platform asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction

from agency import audit
from agency.models import Agency
from credits import prices, rates
from credits.models import Rate, Unit, Wallet
from kit.actor import Actor
from kit.units import in_words
from subaccounts.models import SubAccount


@dataclass(frozen=True)
class PriceRow:
    """A unit and its markup: `own` is what was said here, `inherited` what holds where nothing was."""

    unit: Unit
    base: Decimal | None
    inherited: Decimal
    own: Decimal | None

    @property
    def percent(self) -> Decimal:
        return self.inherited if self.own is None else self.own

    @property
    def price(self) -> Decimal | None:
        return None if self.base is None else prices.marked_up(self.base, self.percent)


@dataclass(frozen=True)
class RateRow:
    """A kind of use and its rate in smallest steps of `unit`, likewise."""

    kind: rates.Kind
    unit: Unit
    floor: int
    inherited: int
    own: int | None

    @property
    def effective(self) -> int:
        return self.inherited if self.own is None else max(self.own, self.floor)

    def shown(self, steps: int) -> Decimal:
        return Decimal(steps) / self.unit.steps

    def problem_with(self, wish: Decimal) -> str:
        """Why this many whole units cannot be the rate; empty when they can."""
        steps = wish * self.unit.steps
        if steps != int(steps):
            return f"There are no such parts of a {self.unit.name}. Nothing was changed."
        if steps < self.floor:
            return f"The platform asks {in_words(self.floor, self.unit)}: give that or more. Nothing was changed."
        if steps > rates.MOST:
            return f"More than {in_words(rates.MOST, self.unit)} cannot be asked. Nothing was changed."
        return ""


def price_rows(agency: Agency, sub_account: SubAccount | None = None) -> list[PriceRow]:
    base, of_agency = prices.base_prices(agency.currency), prices.own_markups(Wallet.AGENCY, agency.public_id)
    own = prices.own_markups(Wallet.SUB_ACCOUNT, sub_account.public_id) if sub_account else of_agency
    above = of_agency if sub_account else {}
    return [
        PriceRow(unit, base.get(unit.code), above.get(unit.code, prices.NO_MARKUP), own.get(unit.code))
        for unit in Unit.objects.order_by("position")
    ]


def rate_rows(agency: Agency, sub_account: SubAccount | None = None) -> list[RateRow]:
    levels = rates.levels(agency.public_id, sub_account.public_id if sub_account else None)
    units = Unit.objects.in_bulk()
    return [
        RateRow(
            kind, units[kind.unit], level.floor, *((level.inherited, level.sub_account) if sub_account else (level.floor, level.agency))
        )
        for kind, level in ((rates.KINDS[code], level) for code, level in levels.items())
        if kind.unit in units
    ]


@transaction.atomic
def save(
    *,
    agency: Agency,
    sub_account: SubAccount | None = None,
    markups: Mapping[str, Decimal | None],
    steps: Mapping[str, int | None],
    by: Actor,
) -> bool:
    """Set markups by unit and rates by kind, None to take over what is above. Whether anything changed.

    Raises `rates.BelowFloor`.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for price in price_rows(agency, sub_account):
        code = price.unit.code
        if code in markups and markups[code] != price.own:
            owner_kind, owner_id = (Wallet.SUB_ACCOUNT, sub_account.public_id) if sub_account else (Wallet.AGENCY, agency.public_id)
            prices.set_markup(owner_kind=owner_kind, owner_id=owner_id, unit=code, percent=markups[code], by=by)
            before[f"markup {code}"], after[f"markup {code}"] = _said(price.own), _said(markups[code])
    for rate in rate_rows(agency, sub_account):
        code = rate.kind.code
        if code in steps and steps[code] != rate.own:
            owner_kind, owner_id = (Rate.SUB_ACCOUNT, sub_account.public_id) if sub_account else (Rate.AGENCY, agency.public_id)
            rates.set_rate(owner_kind=owner_kind, owner_id=owner_id, kind=code, amount=steps[code], by=by, agency_id=agency.public_id)
            before[f"rate {code}"], after[f"rate {code}"] = rate.own, steps[code]
    if after:
        audit.record(
            "prices.changed",
            by=by,
            agency=agency,
            sub_account_id=sub_account.public_id if sub_account else None,
            subject=sub_account.name if sub_account else "all clients",
            before=before,
            after=after,
        )
    return bool(after)


def plain_number(number: Decimal) -> str:
    """Without trailing zeros, as somebody would type it."""
    return f"{number.normalize():f}"


def _said(percent: Decimal | None) -> str | None:
    return None if percent is None else plain_number(percent)
