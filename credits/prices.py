"""What one unit costs whom: the platform's base price, and an agency's markup on it (decision 12).

A client's price is base × (1 + markup). Prices are in major units of a currency and exact: they may have fractions of a
minor unit, and nothing here ever becomes a float. An agency's pool counts as the base price.
"""

from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from credits.models import BasePrice, Markup, Wallet
from kit.actor import Actor

HIGHEST_MARKUP = Decimal(10_000)
NO_MARKUP = Decimal(0)


def price(unit: str, currency: str, *, agency_id: UUID, sub_account_id: UUID | None = None) -> Decimal | None:
    """What one display unit costs a client, or without one what it costs the agency; None where there is no base price."""
    base = base_prices(currency).get(unit)
    return None if base is None else marked_up(base, markup(unit, agency_id=agency_id, sub_account_id=sub_account_id))


def base_prices(currency: str) -> dict[str, Decimal]:
    """The base price of each unit that has one in `currency`."""
    return dict(BasePrice.objects.filter(currency=currency).values_list("unit_id", "price"))


def marked_up(base: Decimal, percent: Decimal) -> Decimal:
    return base * (100 + percent) / 100


def markup(unit: str, *, agency_id: UUID, sub_account_id: UUID | None = None) -> Decimal:
    """The percentage on the base price: a client's own, else its agency's, else 0. Without a client the pool's, which has none."""
    if sub_account_id is None:
        return NO_MARKUP
    return markups(agency_id, [sub_account_id])[sub_account_id].get(unit, NO_MARKUP)


def markups(agency_id: UUID, sub_account_ids: Collection[UUID]) -> dict[UUID, dict[str, Decimal]]:
    """The percentages of some clients by unit, their agency's where they have none of their own; units without any are left out."""
    wanted = Q(owner_kind=Wallet.AGENCY, owner_id=agency_id) | Q(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=sub_account_ids)
    rows = list(Markup.objects.filter(wanted))
    inherited = {row.unit_id: row.percent for row in rows if row.owner_kind == Wallet.AGENCY}
    own = {(row.owner_id, row.unit_id): row.percent for row in rows if row.owner_kind == Wallet.SUB_ACCOUNT}
    return {id: inherited | {unit: percent for (owner, unit), percent in own.items() if owner == id} for id in sub_account_ids}


def own_markups(owner_kind: str, owner_id: UUID) -> dict[str, Decimal]:
    """What an agency or a client says itself, by unit; what it inherits is not in it."""
    return dict(Markup.objects.filter(owner_kind=owner_kind, owner_id=owner_id).values_list("unit_id", "percent"))


@transaction.atomic
def set_markup(*, owner_kind: str, owner_id: UUID, unit: str, percent: Decimal | None, by: Actor) -> None:
    """The percentage of an agency (for all its clients) or of one client; None takes it away, so that what is above counts."""
    if owner_kind not in (Wallet.AGENCY, Wallet.SUB_ACCOUNT):
        raise ValueError(f"nobody of kind {owner_kind} has markups")
    found = Markup.objects.filter(owner_kind=owner_kind, owner_id=owner_id, unit_id=unit)
    if percent is None:
        found.delete()
        return
    if not NO_MARKUP <= percent <= HIGHEST_MARKUP or percent != round(percent, 2):
        raise ValueError(f"a markup of {percent} % is not between 0 and {HIGHEST_MARKUP} with two decimals")
    Markup.objects.update_or_create(owner_kind=owner_kind, owner_id=owner_id, unit_id=unit, defaults={"percent": percent})


def ratio(source_percent: Decimal, to_percent: Decimal) -> Fraction:
    """The price at the source ÷ the price at the destination, of the same unit. The base price cancels out, so it need not be known."""
    return Fraction(100 + source_percent) / Fraction(100 + to_percent)
