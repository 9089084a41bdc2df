"""What an agency moves between its pool and its sub-accounts, by the deeds of its pages."""

from typing import Annotated, Literal
from uuid import UUID, uuid5

from django.http import HttpRequest
from ninja import Router
from ninja.responses import Status
from pydantic import BaseModel, Field

from agency.models import User
from credits.api.figures import Figure, check, figure_of, unit_of
from credits.models import Unit
from kit.api import Amount, Email, Given, Invalid, needs
from kit.ids import uuid_of
from kit.refusal import Refusal
from subaccounts import allocating, moving
from subaccounts.api import reach, reached
from subaccounts.models import SubAccount
from subaccounts.moving import Account

router = Router(tags=["Credits"])

CREDIT = "credit"
NOBODY = UUID(int=0)


class UnknownClient(Refusal):
    code = "not_found"
    status = 404
    default_message = "No sub-account of this agency has a person with this address. Nothing was granted."


class AmbiguousClient(Refusal):
    code = "ambiguous_email"
    status = 409
    default_message = "A person with this address belongs to several sub-accounts. Grant by the sub-account's id. Nothing was granted."


class QuoteNotKnown(Invalid):
    code = "quote_not_known"


class MoveWish(Given):
    sub_account: UUID
    unit: str = Field(CREDIT, max_length=32)
    amount: Amount = Field(description="Smallest steps: credits, or seconds of minutes.")
    description: str = Field("", max_length=200, description="Stands on the agency's statement; the client does not see it.")


class MoveOut(BaseModel):
    """What moved, and both balances afterwards."""

    sub_account: UUID
    unit: str
    amount: Figure
    pool_balance: Figure
    balance: Figure = Field(description="Of the sub-account's own wallet.")


@router.post("/grants", response={200: MoveOut, 201: MoveOut})
@needs("credits:write", once=True)
def grant_credits(request: HttpRequest, given: MoveWish) -> Status[MoveOut]:
    """Give a sub-account units out of the agency's pool."""
    return _move(request, allocating.TOP_UP, given)


@router.post("/reclaims", response={200: MoveOut, 201: MoveOut})
@needs("credits:write", once=True)
def reclaim_credits(request: HttpRequest, given: MoveWish) -> Status[MoveOut]:
    """Take units that a sub-account has not used back to the agency's pool."""
    return _move(request, allocating.TAKE_BACK, given)


def _move(request: HttpRequest, act: str, given: MoveWish) -> Status[MoveOut]:
    sub_account, unit = reached(request, given.sub_account), unit_of(given.unit)
    check(given.amount, unit)
    moved = allocating.move(
        act=act, sub_account=sub_account, unit=unit, amount=given.amount, key=_key(request), by=request.actor, memo=given.description
    )
    answer = MoveOut(
        sub_account=sub_account.public_id,
        unit=unit.code,
        amount=figure_of(moved.amount, unit),
        pool_balance=figure_of(moved.pool[1], unit),
        balance=figure_of(moved.own[1], unit),
    )
    return Status(200 if moved.is_replay else 201, answer)  # its answer is forgotten after a day, the deed is not


def _key(request: HttpRequest) -> UUID:
    return uuid5(NOBODY, request.once)


# --- Between two accounts, at their prices ------------------------------------------------------------------------------------


Side = Annotated[str, Field(pattern=r"^(pool|[0-9a-fA-F-]{36})$", description="A sub-account's id, or “pool”.")]


class QuoteWish(Given):
    source: Side
    destination: Side
    unit: str = Field(CREDIT, max_length=32)
    amount: Amount = Field(description="Smallest steps: credits, or seconds of minutes.")


class QuoteOut(BaseModel):
    """What a transfer would do now. Units keep what they are worth at both prices, so more or fewer may arrive."""

    source: Side
    destination: Side
    unit: str
    taken: Figure = Field(description="What leaves the source: a remainder that is worth nothing at the destination stays.")
    received: Figure
    added_by_pool: Figure = Field(description="What of the received the agency's pool adds, where units cost less.")
    source_markup: str = Field(description="Percent on the base price.", examples=["25"])
    destination_markup: str
    problem: str | None = Field(description="Why it cannot be done; null where it can.")
    quote: str | None = Field(description="What to send to do exactly this, within a day; null where it cannot be done.")


class TransferWish(Given):
    quote: str = Field(max_length=4000)


class TransferOut(BaseModel):
    source: Side
    destination: Side
    unit: str
    taken: Figure
    received: Figure
    added_by_pool: Figure
    source_balance: Figure
    destination_balance: Figure


@router.post("/transfers/quotes", response=QuoteOut)
@needs("credits:write", unaudited="a quote moves nothing")
def quote_transfer(request: HttpRequest, given: QuoteWish) -> QuoteOut:
    """What moving units between two accounts of the agency would do, at what they cost there."""
    source, destination = _account(request, given.source), _account(request, given.destination)
    if source.code == destination.code:
        raise Invalid(fields={"destination": "is the same account as the source"})
    unit = unit_of(given.unit)
    check(given.amount, unit)
    plan = moving.planned(source, destination, {unit.code: given.amount})
    (line,) = plan.lines
    return QuoteOut(
        source=source.code,
        destination=destination.code,
        unit=unit.code,
        taken=figure_of(line.taken, unit),
        received=figure_of(line.received, unit),
        added_by_pool=figure_of(line.from_pool, unit),
        source_markup=f"{line.source_price.percent.normalize():f}",
        destination_markup=f"{line.to_price.percent.normalize():f}",
        problem=line.problem or None,
        quote=None if line.problem else plan.signed(),
    )


@router.post("/transfers", response={200: TransferOut, 201: TransferOut})
@needs("credits:write", once=True)
def transfer_credits(request: HttpRequest, given: TransferWish) -> Status[TransferOut]:
    """Do what a quote said, or nothing: 409 where prices have changed since. A quote moves once; again it is answered with 200."""
    reviewed = moving.read(given.quote)
    if reviewed is None or reviewed.agency != str(request.agency.public_id) or len(reviewed.figures) != 1:
        raise QuoteNotKnown(fields={"quote": "is none of this agency's, or older than a day"})
    source, destination = _account(request, reviewed.source), _account(request, reviewed.to)
    done = moving.move(source=source, to=destination, reviewed=reviewed, by=request.actor)
    (line,) = done.lines
    answer = TransferOut(
        source=source.code,
        destination=destination.code,
        unit=line.unit.code,
        taken=figure_of(line.taken, line.unit),
        received=figure_of(line.received, line.unit),
        added_by_pool=figure_of(line.from_pool, line.unit),
        source_balance=figure_of(line.source[1], line.unit),
        destination_balance=figure_of(line.to[1], line.unit),
    )
    return Status(200 if done.is_replay else 201, answer)


def _account(request: HttpRequest, side: str) -> Account:
    if side == moving.POOL:
        return Account(request.agency)
    return Account(request.agency, reached(request, uuid_of(side) or NOBODY))


# --- As another API had it ----------------------------------------------------------------------------------------------------


class CompatibleWish(Given):
    email: Email = Field(description="What a person of the client signs in with.")
    amount: Amount = Field(description="Credits.")
    description: str = Field("", max_length=200)


class CompatibleOut(BaseModel):
    success: Literal[True]
    sub_account_id: UUID
    credits_added: int
    new_balance: int


@router.post("/subaccounts/credits", response=CompatibleOut)
@needs("credits:write", errors_say={"success": False})
def grant_credits_by_email(request: HttpRequest, given: CompatibleWish) -> CompatibleOut:
    """Give the client with this login credits out of the agency's pool. For programs that were written for it; others use grants."""
    sub_account = _client_with(request, given.email)
    unit = Unit.objects.get(code=CREDIT)
    check(given.amount, unit)
    moved = allocating.move(
        act=allocating.TOP_UP,
        sub_account=sub_account,
        unit=unit,
        amount=given.amount,
        key=_key(request),
        by=request.actor,
        memo=given.description,
    )
    return CompatibleOut(success=True, sub_account_id=sub_account.public_id, credits_added=moved.amount, new_balance=moved.own[1])


def _client_with(request: HttpRequest, email: str) -> SubAccount:
    person = User.objects.known_as(email, realm=request.agency)
    found = list(reach(request).filter(accesses__user=person).distinct()[:2]) if person else []
    if not found:
        raise UnknownClient
    if len(found) > 1:
        raise AmbiguousClient
    return found[0]
