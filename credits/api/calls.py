from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja.responses import Status
from pydantic import BaseModel, Field

from credits.api.figures import Figure, discreet, figure_of
from kit.api import Given, Invalid, Page, PageWish, needs, paged
from kit.refusal import Refusal
from subaccounts import calls
from subaccounts.api import reach, reached
from subaccounts.models import Call

router = Router(tags=["Calls"])

ON_THE_STATEMENT = "a call that costs something is a line of the statement, and every call is listed"
LONGEST_END_SECONDS = 24 * 3600
Seconds = Annotated[int, Field(strict=True, ge=1, le=calls.LONGEST_SECONDS)]


class NotBegunByYou(Refusal):
    code = "not_begun_by_you"
    status = 403
    default_message = "The agency began this call, so the agency ends it. Nothing was changed."


class CallWish(Given):
    sub_account: UUID | None = Field(None, description="Who pays. A sub-account's key begins calls of its own and may leave it out.")
    tier: Literal["basic", "premium"]
    expected_seconds: Seconds = Field(description="What is reserved at first.")
    maximum_seconds: Seconds | None = Field(None, description="To how much it may be extended; as much as expected when left out.")
    contact: str = Field("", max_length=160, description="Who is on the line; filters find it.")
    reference: str = Field("", max_length=160, description="What your own system calls it.")


class ExtendWish(Given):
    seconds: Seconds = Field(description="How long the call may last in all from now on.")


class EndWish(Given):
    seconds: Annotated[int, Field(strict=True, ge=0, le=LONGEST_END_SECONDS)] = Field(
        description="How long it took; seconds that have begun count. 0 where nobody answered."
    )


class CallOut(BaseModel):
    """A call that is paid by the second."""

    id: UUID
    sub_account: UUID
    tier: Literal["basic", "premium"]
    state: Literal["under_way", "ended", "lost"] = Field(description="Lost: nobody ended it before it expired, so it cost nothing.")
    contact: str
    reference: str
    unit: str
    reserved_seconds: int = Field(description="How long it may last before it must be extended.")
    maximum_seconds: int
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    seconds: int | None
    charged_seconds: int | None = Field(description="What was paid: never more than was reserved.")
    charged: Figure | None


class CallPage(Page[CallOut]):
    pass


class CallListWish(PageWish):
    sub_account: UUID | None = None
    state: Literal["under_way", "ended", "lost"] | None = None
    reference: str = Field("", max_length=160)


@router.get("/calls", response=CallPage)
@needs("usage:read", clients=True)
def list_calls(request: HttpRequest, wish: Query[CallListWish]) -> CallPage:
    """Calls, the newest first."""
    rows = _calls(request)
    if wish.sub_account:
        rows = rows.filter(sub_account=reached(request, wish.sub_account))
    if wish.state:
        rows = rows.filter(state=wish.state)
    if wish.reference:
        rows = rows.filter(reference=wish.reference)
    found, next_cursor = paged(rows, wish, of="calls")
    return CallPage(items=[_shown(call) for call in found], next_cursor=next_cursor)


@router.post("/calls", response={201: CallOut})
@needs("calls:write", clients=True, once=True, unaudited=ON_THE_STATEMENT)
def start_call(request: HttpRequest, given: CallWish) -> Status[CallOut]:
    """Begin a call: its expected seconds are reserved, or it is refused with 402."""
    if given.maximum_seconds is not None and given.maximum_seconds < given.expected_seconds:
        raise Invalid(fields={"maximum_seconds": "is less than the expected seconds"})
    if given.sub_account is None and request.sub_account is None:
        raise Invalid(fields={"sub_account": "is missing"})
    sub_account = reached(request, given.sub_account or request.sub_account.public_id)
    with discreet(request):
        call = calls.start(
            sub_account=sub_account,
            tier=given.tier,
            expected_seconds=given.expected_seconds,
            maximum_seconds=given.maximum_seconds,
            contact=given.contact,
            reference=given.reference,
            is_own=request.sub_account is not None,
            key=request.once,
            by=request.actor,
        )
    return Status(201, _shown(call))


@router.get("/calls/{uuid:id}", response=CallOut)
@needs("usage:read", clients=True)
def get_call(request: HttpRequest, id: UUID) -> CallOut:
    """One call as it is now."""
    return _shown(get_object_or_404(_calls(request), public_id=id))


@router.post("/calls/{uuid:id}/extend", response=CallOut)
@needs("calls:write", clients=True, once=True, unaudited="a reservation uses nothing yet")
def extend_call(request: HttpRequest, id: UUID, given: ExtendWish) -> CallOut:
    """Reserve more seconds for a call that lasts longer than expected."""
    with discreet(request):
        return _shown(calls.extend(call=_mine(request, id), seconds=given.seconds, by=request.actor))


@router.post("/calls/{uuid:id}/end", response=CallOut)
@needs("calls:write", clients=True, unaudited=ON_THE_STATEMENT)
def end_call(request: HttpRequest, id: UUID, given: EndWish) -> CallOut:
    """Pay for the seconds a call took and let go of the rest. The same again changes nothing."""
    return _shown(calls.end(call=_mine(request, id), seconds=given.seconds, by=request.actor))


def _calls(request: HttpRequest) -> QuerySet[Call]:
    return Call.objects.filter(sub_account__in=reach(request)).select_related("sub_account")


def _mine(request: HttpRequest, id: UUID) -> Call:
    """A call this key may end: what the agency began, no client makes cheaper."""
    call = get_object_or_404(_calls(request), public_id=id)
    if request.sub_account is not None and not call.is_own:
        raise NotBegunByYou
    return call


def _shown(call: Call) -> CallOut:
    unit = calls.KINDS[call.tier].unit
    return CallOut.model_validate(
        {
            "id": call.public_id,
            "sub_account": call.sub_account.public_id,
            "tier": call.tier,
            "state": call.state,
            "contact": call.contact,
            "reference": call.reference,
            "unit": unit,
            "reserved_seconds": call.reserved_seconds,
            "maximum_seconds": call.maximum_seconds,
            "started_at": call.started_at,
            "expires_at": call.expires_at,
            "ended_at": call.ended_at,
            "seconds": call.seconds,
            "charged_seconds": call.charged_seconds,
            "charged": None if call.amount is None else figure_of(call.amount, unit),
        }
    )
