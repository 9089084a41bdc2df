"""Uses that a program outside meters, for one client: at the rate of what was used, or as many units as the program says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from credits import ledger, rates
from credits.models import Hold, Unit
from kit import clock
from kit.actor import Actor
from subaccounts import lifecycle
from subaccounts.models import SubAccount

# What stands on the statement where a program says units instead of what was used.
METERED = "metered"
# What was used, as the statement names it, by the code of its rate.
KINDS = {
    rates.AI_REPLY.code: "ai_reply",
    rates.CAMPAIGN_MESSAGE.code: "campaign_message",
    rates.CALL_BASIC.code: "call",
    rates.CALL_PREMIUM.code: "call",
    rates.KNOWLEDGE.code: "knowledge",
}
# What may be done with the client's or the agency's own AI key.
WITH_OWN_KEY = (rates.AI_REPLY.code, rates.CAMPAIGN_MESSAGE.code)


@dataclass(frozen=True, slots=True)
class Charge:
    """`amount` smallest steps of `unit` for a use of `kind`, as entries name it."""

    kind: str
    unit: str
    amount: int
    own_key: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What else a line says about a use."""

    contact: str = ""
    campaign: str = ""
    reference: str = ""
    memo: str = ""


def at_rate(sub_account: SubAccount, rate: str, quantity: int, *, own_key: bool = False) -> Charge:
    """What `quantity` of what the rate counts cost this client now; by the rate for own AI keys where `own_key`."""
    asked = rates.OWN_KEY.code if own_key else rate
    cost = rates.cost(asked, quantity, agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id)
    return Charge(KINDS[rate], cost.unit, cost.amount, own_key)


def in_units(unit: Unit, amount: int) -> Charge:
    return Charge(METERED, unit.code, amount)


@transaction.atomic
def spend(*, sub_account: SubAccount, charge: Charge, about: About, key: str, by: Actor) -> ledger.Posted:
    """Use it up now, as long as the client may act. Raises `lifecycle.Suspended` and what `ledger.spend` raises."""
    lifecycle.may_act(sub_account)
    return ledger.spend(
        sources=sub_account.credit_sources(charge.unit), amount=charge.amount, key=key, kind=charge.kind, by=by, memo=about.memo,
        sub_account_id=sub_account.public_id, contact=about.contact, campaign=about.campaign, own_key=charge.own_key,
        reference=about.reference,
    )  # fmt: skip


@transaction.atomic
def spend_many(
    *, sub_account: SubAccount, charges: Sequence[Charge], abouts: Sequence[About], campaign: str, key: str, by: Actor
) -> list[ledger.Posted | ledger.InsufficientCredits | ledger.KeyReused]:
    """Many uses of one kind and unit, each for itself: what was posted or why not, at the place of each. Raises `lifecycle.Suspended`."""
    lifecycle.may_act(sub_account)
    uses = [
        ledger.Use(f"{key}:{place}", charge.amount, about.contact, about.reference)
        for place, (charge, about) in enumerate(zip(charges, abouts, strict=True))
    ]
    return ledger.spend_many(
        sources=sub_account.credit_sources(charges[0].unit), uses=uses, kind=charges[0].kind, by=by,
        sub_account_id=sub_account.public_id, campaign=campaign,
    )  # fmt: skip


@transaction.atomic
def hold(*, sub_account: SubAccount, charge: Charge, about: About, lasts: timedelta, key: str, by: Actor) -> Hold:
    """Reserve it for a time. Raises `lifecycle.Suspended` and what `ledger.hold` raises."""
    lifecycle.may_act(sub_account)
    return ledger.hold(
        sources=sub_account.credit_sources(charge.unit), amount=charge.amount, key=key, kind=charge.kind, by=by, memo=about.memo,
        expires_at=clock.now() + lasts, sub_account_id=sub_account.public_id, contact=about.contact, campaign=about.campaign,
        own_key=charge.own_key, reference=about.reference,
    )  # fmt: skip


@transaction.atomic
def commit(*, sub_account: SubAccount, hold: Hold, amount: int | None, by: Actor) -> ledger.Posted:
    """Use what is reserved, or `amount` of it. The same again answers the same; another amount raises `ledger.HoldClosed`."""
    lifecycle.may_act(sub_account)
    posted = ledger.commit(hold=hold, amount=amount, by=by)
    if posted.is_replay and amount is not None and posted.amount != amount:
        raise ledger.HoldClosed
    return posted
