"""What an agency's or a client's own program meters: uses at once, in batches, or reserved first."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router
from ninja.responses import Status
from pydantic import BaseModel, Field

from credits import ledger
from credits.api.figures import Figure, check, discreet, figure_of, unit_of
from credits.models import Hold, Wallet
from kit.api import Amount, Flag, Given, Invalid, Whole, needs
from kit.refusal import Refusal
from subaccounts import metering
from subaccounts.api import reach, reached
from subaccounts.metering import About, Charge
from subaccounts.models import SubAccount

router = Router(tags=["Uses"])

ON_THE_STATEMENT = "each use is a line of the statement, with the key that made it"
MOST_IN_A_BATCH = 500
LONGEST_HOLD_SECONDS = 24 * 3600

Kind = Literal["ai_reply", "campaign_message", "call_basic", "call_premium", "knowledge"]
Label = Annotated[str, Field(max_length=160)]


class SubAccountNamed(Given):
    sub_account: UUID | None = Field(None, description="Who uses it. A sub-account's key uses for itself and may leave it out.")


class HowMuch(Given):
    """Either `kind`, with `quantity`, at the client's rate; or `unit` and `amount`."""

    kind: Kind | None = Field(None, description="What was used; its rate says what it costs.")
    quantity: Amount | None = Field(None, description="Of the kind: replies, contacts, seconds of a call, or bases; 1 when left out.")
    own_key: Flag = Field(
        False, description="With the client's or the agency's own AI key: at the rate for that. Replies and messages only."
    )
    unit: str | None = Field(None, max_length=32)
    amount: Amount | None = Field(None, description="Smallest steps of the unit: credits, or seconds of minutes.")


class SpendWish(SubAccountNamed, HowMuch):
    contact: Label = Field("", description="Whom it was for; filters find it.")
    campaign: Label = ""
    reference: Label = Field("", description="What your own system calls it.")
    description: str = Field("", max_length=200, description="Stands on the agency's statement; the client does not see it.")


class SpendOut(BaseModel):
    """A use, out of the client's own wallet first, then of the agency's pool where that may pay."""

    id: UUID
    sub_account: UUID
    kind: str
    unit: str
    amount: Figure
    own_key: bool
    contact: str
    campaign: str
    reference: str


@router.post("/spends", response={201: SpendOut})
@needs("credits:spend", clients=True, once=True, unaudited=ON_THE_STATEMENT)
def spend_credits(request: HttpRequest, given: SpendWish) -> Status[SpendOut]:
    """Use units up for a sub-account: all of it or, with 402, nothing."""
    sub_account = _user(request, given)
    charge, about = _charge(sub_account, given), _about(given)
    with discreet(request):
        posted = metering.spend(sub_account=sub_account, charge=charge, about=about, key=request.once, by=request.actor)
    return Status(201, _spent(posted, sub_account, charge, about))


class OneUse(Given):
    quantity: Amount | None = None
    amount: Amount | None = None
    contact: Label = ""
    reference: Label = ""


class BatchWish(SubAccountNamed):
    """Uses of one kind, each with its `quantity`; or of one unit, each with its `amount`."""

    kind: Kind | None = None
    unit: str | None = Field(None, max_length=32)
    campaign: Label = ""
    uses: list[OneUse] = Field(min_length=1, max_length=MOST_IN_A_BATCH)


class OneOutcome(BaseModel):
    """`id` and `amount` of a use that was posted, `code` of one that was not."""

    status: Literal["posted", "refused"]
    id: UUID | None
    amount: Figure | None
    code: str | None = Field(examples=["insufficient_credits"])


class BatchOut(BaseModel):
    posted: int
    refused: int
    uses: list[OneOutcome] = Field(description="In the order in which they were sent.")


@router.post("/spends/batch", response={201: BatchOut})
@needs("credits:spend", clients=True, once=True, unaudited=ON_THE_STATEMENT)
def spend_many_credits(request: HttpRequest, given: BatchWish) -> Status[BatchOut]:
    """Use units up for many contacts of one sub-account at once. Each use stands for itself; some may be refused."""
    sub_account = _user(request, given)
    charges = [_charge_of_batch(sub_account, given, place, use) for place, use in enumerate(given.uses)]
    abouts = [About(contact=use.contact, reference=use.reference) for use in given.uses]
    outcomes = metering.spend_many(
        sub_account=sub_account, charges=charges, abouts=abouts, campaign=given.campaign, key=request.once, by=request.actor
    )
    uses = [_outcome(request, outcome, charge) for outcome, charge in zip(outcomes, charges, strict=True)]
    posted = sum(use.status == "posted" for use in uses)
    return Status(201, BatchOut(posted=posted, refused=len(uses) - posted, uses=uses))


# --- Reserved first -----------------------------------------------------------------------------------------------------------


class HoldWish(SpendWish):
    expires_in: Whole = Field(900, ge=1, le=LONGEST_HOLD_SECONDS, description="Seconds after which it is let go by itself.")


class HoldOut(BaseModel):
    """Units reserved for work in progress, later used or let go."""

    id: UUID
    sub_account: UUID
    state: Literal["open", "committed", "released", "expired"]
    kind: str
    unit: str
    amount: Figure = Field(description="What is, or was, reserved.")
    used: Figure | None = Field(description="What was used of it; null before it is committed.")
    contact: str
    campaign: str
    reference: str
    created_at: datetime
    expires_at: datetime
    closed_at: datetime | None


class CommitWish(Given):
    amount: Amount | None = Field(None, description="Smallest steps, at most what is reserved; all of it when left out.")


@router.post("/holds", response={201: HoldOut})
@needs("credits:spend", clients=True, once=True, unaudited="a reservation uses nothing yet")
def hold_credits(request: HttpRequest, given: HoldWish) -> Status[HoldOut]:
    """Reserve units for work in progress, so that nothing else can use them."""
    sub_account = _user(request, given)
    charge, lasts = _charge(sub_account, given), timedelta(seconds=given.expires_in)
    with discreet(request):
        held = metering.hold(sub_account=sub_account, charge=charge, about=_about(given), lasts=lasts, key=request.once, by=request.actor)
    return Status(201, _held(held))


@router.get("/holds/{uuid:id}", response=HoldOut)
@needs("credits:spend", clients=True)
def get_hold(request: HttpRequest, id: UUID) -> HoldOut:
    """One reservation as it is now."""
    return _held(_hold_reached(request, id))


@router.post("/holds/{uuid:id}/commit", response=HoldOut)
@needs("credits:spend", clients=True, once=True, unaudited=ON_THE_STATEMENT)
def commit_hold(request: HttpRequest, id: UUID, given: CommitWish | None = None) -> HoldOut:
    """Use what is reserved, or a part of it, and let go of the rest."""
    hold = _hold_reached(request, id)
    amount = given.amount if given else None
    if amount is not None and amount > hold.amount:
        raise Invalid(fields={"amount": f"is more than the {hold.amount} that are reserved"})
    sub_account = get_object_or_404(reach(request), public_id=hold.sub_account_id)
    metering.commit(sub_account=sub_account, hold=hold, amount=amount, by=request.actor)
    hold.refresh_from_db()
    return _held(hold)


@router.post("/holds/{uuid:id}/release", response=HoldOut)
@needs("credits:spend", clients=True, unaudited="a reservation that is let go has used nothing")
def release_hold(request: HttpRequest, id: UUID) -> HoldOut:
    """Let go of what is reserved; again it changes nothing."""
    hold = _hold_reached(request, id)
    ledger.release(hold=hold, by=request.actor)
    hold.refresh_from_db()
    return _held(hold)


class NothingSaid(Refusal):
    code = "invalid_request"
    status = 400
    default_message = "Say either the kind of use, or unit and amount, and not both. Nothing was used."


def _user(request: HttpRequest, given: SubAccountNamed) -> SubAccount:
    """Whom it is for: 404 for everybody this key does not reach."""
    if request.sub_account is not None and given.sub_account is None:
        return reached(request, request.sub_account.public_id)
    if given.sub_account is None:
        raise Invalid(fields={"sub_account": "is missing"})
    return reached(request, given.sub_account)


def _charge(sub_account: SubAccount, given: HowMuch) -> Charge:
    if given.kind is not None and given.unit is None and given.amount is None:
        if given.own_key and given.kind not in metering.WITH_OWN_KEY:
            raise Invalid(fields={"own_key": "is for replies and campaign messages only"})
        charge = metering.at_rate(sub_account, given.kind, given.quantity or 1, own_key=given.own_key)
        check(charge.amount, charge.unit, field="quantity")
        return charge
    if given.kind is None and given.quantity is None and not given.own_key and given.unit is not None and given.amount is not None:
        unit = unit_of(given.unit)
        check(given.amount, unit)
        return metering.in_units(unit, given.amount)
    raise NothingSaid


def _charge_of_batch(sub_account: SubAccount, given: BatchWish, place: int, use: OneUse) -> Charge:
    try:
        return _charge(sub_account, HowMuch(kind=given.kind, unit=given.unit, quantity=use.quantity, amount=use.amount, own_key=False))
    except Invalid as refusal:
        raise Invalid(fields={f"uses.{place}.{field}": problem for field, problem in refusal.fields.items()}) from refusal


def _about(given: SpendWish) -> About:
    return About(contact=given.contact, campaign=given.campaign, reference=given.reference, memo=given.description)


def _spent(posted: ledger.Posted, sub_account: SubAccount, charge: Charge, about: About) -> SpendOut:
    return SpendOut(
        id=posted.first_id,
        sub_account=sub_account.public_id,
        kind=charge.kind,
        unit=charge.unit,
        amount=figure_of(charge.amount, charge.unit),
        own_key=charge.own_key,
        contact=about.contact,
        campaign=about.campaign,
        reference=about.reference,
    )


def _outcome(request: HttpRequest, outcome: ledger.Posted | Refusal, charge: Charge) -> OneOutcome:
    if isinstance(outcome, ledger.Posted):
        return OneOutcome(status="posted", id=outcome.first_id, amount=figure_of(charge.amount, charge.unit), code=None)
    is_told = request.sub_account is None or not isinstance(outcome, ledger.PoolLimitReached)
    return OneOutcome(status="refused", id=None, amount=None, code=outcome.code if is_told else ledger.InsufficientCredits.code)


def _hold_reached(request: HttpRequest, id: UUID) -> Hold:
    """A hold that a program made; a client's own programs reach those that they made, and no other."""
    made = Hold.objects.filter(key__startswith="api:client:" if request.sub_account else "api:")
    return get_object_or_404(made.filter(sub_account_id__in=reach(request).values("public_id")), pk=id)


def _held(hold: Hold) -> HoldOut:
    unit = Wallet.objects.select_related("unit").get(pk=hold.wallets[0]).unit
    used = ledger.amounts_of([hold.key]).get(hold.key, 0) if hold.state == Hold.COMMITTED else None
    return HoldOut.model_validate(
        {
            "id": hold.pk,
            "sub_account": hold.sub_account_id,
            "state": hold.state,
            "kind": hold.kind,
            "unit": unit.code,
            "amount": figure_of(hold.amount, unit),
            "used": None if used is None else figure_of(used, unit),
            "contact": hold.contact,
            "campaign": hold.campaign,
            "reference": hold.reference,
            "created_at": hold.created_at,
            "expires_at": hold.expires_at,
            "closed_at": hold.closed_at,
        }
    )
