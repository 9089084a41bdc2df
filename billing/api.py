"""The API about webhooks: endpoints of the key's owner, an agency's or a sub-account's, and nobody else's."""

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja.responses import Status
from pydantic import BaseModel, Field

from billing import deliveries, webhooks
from billing.models import Attempt, Delivery, Endpoint
from kit import clock
from kit.api import Changes, Flag, Given, Invalid, Line, Page, PageWish, needs, paged
from kit.egress import MAX_URL_LENGTH
from subaccounts.models import SubAccount

router = Router(tags=["Webhooks"])

_EVENTS = "Codes of the events it hears; an empty list is every one, those of later kinds included."


class EndpointOut(BaseModel):
    """An address that is told of events. `off_because` is empty while it is on."""

    id: UUID
    url: str
    description: str
    event_types: list[str] = Field(description=_EVENTS)
    is_on: bool
    off_because: Literal["", "gone", "failing", "by_hand"]
    failing_since: datetime | None
    created_at: datetime


class EndpointMade(EndpointOut):
    secret: str = Field(description="What its messages are signed with. It is in this answer and in no other.")


class EndpointPage(Page[EndpointOut]):
    pass


class EndpointWanted(Given):
    url: Line = Field(min_length=1, max_length=MAX_URL_LENGTH, description="Encrypted, and at an address of the public Internet.")
    description: Line = Field("", max_length=120)
    event_types: list[Line] = Field([], max_length=50, description=_EVENTS)


class EndpointChanges(Changes):
    """What is to be different; whatever is left out stays. Switching it on delivers what was waiting."""

    url: Line = Field("", min_length=1, max_length=MAX_URL_LENGTH)
    description: Line = Field("", max_length=120)
    event_types: list[Line] = Field([], max_length=50, description=_EVENTS)
    is_on: Flag = True


class SecretOut(BaseModel):
    secret: str = Field(description="It is in this answer and in no other.")
    former_signs_until: datetime


class AttemptOut(BaseModel):
    """One try. `status` is null when nothing came back; `error` then says why, in words."""

    at: datetime
    milliseconds: int
    status: int | None
    error: str


class DeliveryOut(BaseModel):
    """One event on its way to one endpoint. `event_id` is the `webhook-id` that is sent."""

    id: UUID
    event_id: str
    type: str
    happened_at: datetime
    state: Literal["waiting", "delivered", "failed"]
    next_try_at: datetime | None
    attempts: list[AttemptOut] = Field(description="The newest first.")


class DeliveryPage(Page[DeliveryOut]):
    pass


class DeliveryWish(PageWish):
    state: Literal["waiting", "delivered", "failed"] | None = None
    type: str | None = Field(None, max_length=60, description="The code of an event.")


class ReplayWanted(Given):
    since: datetime = Field(description=f"Events that failed since then are sent again; {webhooks.REPLAY_DAYS} days back at most.")


class Replayed(BaseModel):
    events: int


@router.get("/webhooks", response=EndpointPage)
@needs("webhooks:read", clients=True)
def list_webhooks(request: HttpRequest, wish: Query[PageWish]) -> EndpointPage:
    """The endpoints of the key's owner, the newest first."""
    rows, next_cursor = paged(_endpoints(request), wish, of="webhooks")
    return EndpointPage(items=[EndpointOut(**_shown(endpoint)) for endpoint in rows], next_cursor=next_cursor)


@router.post("/webhooks", response={201: EndpointMade})
@needs("webhooks:write", clients=True)
def add_webhook(request: HttpRequest, given: EndpointWanted) -> Status[EndpointMade]:
    """Add an endpoint. Its secret is in this answer and in no other."""
    made = webhooks.make(agency=request.agency, sub_account=request.sub_account, by=request.actor, **given.model_dump())
    return Status(201, EndpointMade(secret=made.secret, **_shown(made.endpoint)))


@router.get("/webhooks/{uuid:id}", response=EndpointOut)
@needs("webhooks:read", clients=True)
def get_webhook(request: HttpRequest, id: UUID) -> EndpointOut:
    """One endpoint."""
    return EndpointOut(**_shown(_endpoint(request, id)))


@router.patch("/webhooks/{uuid:id}", response=EndpointOut)
@needs("webhooks:write", clients=True, unaudited="what is not different is not recorded")
def change_webhook(request: HttpRequest, id: UUID, given: EndpointChanges) -> EndpointOut:
    """Change an endpoint, switch it off or on."""
    endpoint, wanted = _endpoint(request, id), given.model_dump(exclude_unset=True)
    is_on = wanted.pop("is_on", None)
    if wanted:
        webhooks.change(endpoint=endpoint, by=request.actor, **wanted)
    if is_on is not None:
        (webhooks.switch_on if is_on else webhooks.switch_off)(endpoint=endpoint, by=request.actor)
    return EndpointOut(**_shown(_endpoint(request, id)))


@router.delete("/webhooks/{uuid:id}", response={204: None})
@needs("webhooks:write", clients=True)
def remove_webhook(request: HttpRequest, id: UUID) -> Status[None]:
    """Remove an endpoint. Nothing is sent to it any more, what is waiting included."""
    webhooks.remove(endpoint=_endpoint(request, id), by=request.actor)
    return Status(204, None)


@router.post("/webhooks/{uuid:id}/secret", response=SecretOut)
@needs("webhooks:write", clients=True)
def rotate_webhook_secret(request: HttpRequest, id: UUID) -> SecretOut:
    """Make a new secret. For a day the former one signs every message as well."""
    secret = webhooks.rotate(endpoint=_endpoint(request, id), by=request.actor)
    return SecretOut(secret=secret, former_signs_until=clock.now() + timedelta(hours=webhooks.OVERLAP_HOURS))


@router.post("/webhooks/{uuid:id}/test", response={202: DeliveryOut})
@needs("webhooks:write", clients=True)
def test_webhook(request: HttpRequest, id: UUID) -> Status[DeliveryOut]:
    """Send a `webhook.test` event to this endpoint. Ask for the delivery to see what came of it."""
    sent = webhooks.test(endpoint=_endpoint(request, id), by=request.actor)
    return Status(202, _delivery_shown(_delivery(request, id, sent.public_id)))


@router.get("/webhooks/{uuid:id}/deliveries", response=DeliveryPage)
@needs("webhooks:read", clients=True)
def list_deliveries(request: HttpRequest, id: UUID, wish: Query[DeliveryWish]) -> DeliveryPage:
    """What was sent to an endpoint in the last 30 days, the newest first."""
    rows = _deliveries(request, id)
    if wish.state:
        rows = rows.filter(state=wish.state)
    if wish.type:
        rows = rows.filter(event__type=wish.type)
    found, next_cursor = paged(rows, wish, of=f"deliveries of {id}")
    return DeliveryPage(items=[_delivery_shown(delivery) for delivery in found], next_cursor=next_cursor)


@router.get("/webhooks/{uuid:id}/deliveries/{uuid:delivery_id}", response=DeliveryOut)
@needs("webhooks:read", clients=True)
def get_delivery(request: HttpRequest, id: UUID, delivery_id: UUID) -> DeliveryOut:
    """One delivery with its tries."""
    return _delivery_shown(_delivery(request, id, delivery_id))


@router.post("/webhooks/{uuid:id}/deliveries/{uuid:delivery_id}/replay", response={202: DeliveryOut})
@needs("webhooks:write", clients=True)
def replay_delivery(request: HttpRequest, id: UUID, delivery_id: UUID) -> Status[DeliveryOut]:
    """Send one event again, with the id it had."""
    webhooks.replay(delivery=_delivery(request, id, delivery_id), by=request.actor)
    return Status(202, _delivery_shown(_delivery(request, id, delivery_id)))


@router.post("/webhooks/{uuid:id}/replay", response={202: Replayed})
@needs("webhooks:write", clients=True)
def replay_failed(request: HttpRequest, id: UUID, given: ReplayWanted) -> Status[Replayed]:
    """Send again what failed since a moment, with the ids it had."""
    endpoint = _endpoint(request, id)
    if given.since.tzinfo is None:
        raise Invalid(fields={"since": "has no time zone: end it with Z"})
    if not clock.now() - timedelta(days=webhooks.REPLAY_DAYS) <= given.since <= clock.now():
        raise Invalid(fields={"since": f"is not within the last {webhooks.REPLAY_DAYS} days"})
    count = webhooks.replay_since(endpoint=endpoint, since=given.since, by=request.actor)
    return Status(202, Replayed(events=count))


def _sub_account(request: HttpRequest) -> SubAccount | None:
    return request.sub_account


def _endpoints(request: HttpRequest) -> QuerySet[Endpoint]:
    return webhooks.endpoints_of(request.agency, _sub_account(request))


def _endpoint(request: HttpRequest, id: UUID) -> Endpoint:
    return get_object_or_404(_endpoints(request), public_id=id)


def _deliveries(request: HttpRequest, id: UUID) -> QuerySet[Delivery]:
    tries = Prefetch("attempts", queryset=Attempt.objects.order_by("-id"))
    return (
        deliveries.tellable(Delivery.objects.filter(endpoint=_endpoint(request, id)))
        .select_related("event", "endpoint")
        .prefetch_related(tries)
    )


def _delivery(request: HttpRequest, id: UUID, delivery_id: UUID) -> Delivery:
    return get_object_or_404(_deliveries(request, id), public_id=delivery_id)


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.public_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "is_on": endpoint.disabled_at is None,
        "off_because": endpoint.disabled_cause,
        "failing_since": endpoint.failing_since,
        "created_at": endpoint.created_at,
    }


def _delivery_shown(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut.model_validate(
        {
            "id": delivery.public_id,
            "event_id": f"evt_{delivery.event.public_id.hex}",
            "type": delivery.event.type,
            "happened_at": delivery.event.at,
            "state": delivery.state,
            "next_try_at": None if delivery.settled_at else delivery.due_at,
            "attempts": [
                {"at": attempt.at, "milliseconds": attempt.milliseconds, "status": attempt.status, "error": attempt.error}
                for attempt in delivery.attempts.all()
            ],
        }
    )
