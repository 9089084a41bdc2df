"""From an event to its receivers: fan-out, tries, and what each answer means.

A worker claims a delivery in one transaction, talks to the receiver in none, and writes down the outcome in a second one.
Whoever dies in between leaves a claim that ends by itself, so a delivery is made at least once, with the same id.
"""

import json
import random
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from celery import current_app
from celery.exceptions import CeleryError
from django.db import transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from standardwebhooks import Webhook

from agency.models import Agency
from billing.event_types import EVENT_TYPES
from billing.models import Attempt, Delivery, Endpoint, EndpointSecret, Event
from kit import clock, egress, events, outbox, sealed
from kit.models import OutboxMessage
from subaccounts.models import SubAccount

WAITS_SECONDS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
"""What lies between a failed try and the next, ± a tenth; after the tenth try, about 75 hours on, it is given up."""
ENDPOINT_WAITS_SECONDS = [5, 300, 1_800]
"""For how long a receiver is left alone after its first, second, and every further failure in a row, whatever is due to it."""
DISABLED_AFTER = timedelta(days=3)
IN_HAND = 2
CLAIM_SECONDS = 60
CANDIDATES = 20
MOST_TRIES = len(WAITS_SECONDS) + 1
FORGET_AT_ONCE = 1_000
LONGEST_RETRY_AFTER = 86_400
ANSWER_KEPT = 200
WAKE_TASK = "billing.tasks.deliver_webhooks"
PURPOSE = "webhook secret"
TELL_BALANCES = [kind.code for kind in EVENT_TYPES.values() if kind.tells_balance]
USER_AGENT = "Webhooks/1"


@dataclass(frozen=True)
class Outcome:
    """What a try came to. `retry_after` in seconds, where the receiver asked for it; `headers` as they were sent."""

    milliseconds: int
    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@outbox.handler(events.TOPIC)
def fan_out(message: OutboxMessage) -> None:
    """Put the event on its way to each endpoint that hears it; kept nowhere when none does."""
    told = message.payload
    agency = Agency.objects.filter(public_id=told["agency_id"], deleted_at=None).first()
    kind = EVENT_TYPES[told["type"]]
    if agency is None:
        return
    sub_account = SubAccount.objects.filter(public_id=told["sub_account_id"]).first() if told["sub_account_id"] else None
    endpoints = Endpoint.objects.filter(agency=agency, disabled_at=None, removed_at=None).filter(
        Q(event_types=[]) | Q(event_types__contains=[kind.code])
    )
    of_client = Q(sub_account_id=told["sub_account_id"]) if _client_hears(sub_account, told) else Q(pk=None)
    send([*endpoints.filter(Q(sub_account_id=None) | of_client)], told, agency)


def _client_hears(sub_account: SubAccount | None, told: dict[str, Any]) -> bool:
    kind = EVENT_TYPES[told["type"]]
    return sub_account is not None and kind.for_clients and (sub_account.shows_balance or not kind.tells_balance)


def send(endpoints: list[Endpoint], told: dict[str, Any], agency: Agency) -> Event | None:
    """Write event and deliveries; sending follows the commit. The same event id is written once."""
    if not endpoints:
        return None
    data = {"sub_account_id": told["sub_account_id"], **told["data"]} if told["sub_account_id"] else told["data"]
    body = json.dumps({"type": told["type"], "timestamp": told["at"], "data": data}, separators=(",", ":"))
    event, _ = Event.objects.get_or_create(
        public_id=told["id"],
        defaults={
            "type": told["type"],
            "at": datetime.fromisoformat(told["at"]),
            "agency": agency,
            "sub_account_id": told["sub_account_id"],
            "body": body,
        },
    )
    Delivery.objects.bulk_create([Delivery(endpoint=endpoint, event=event) for endpoint in endpoints], ignore_conflicts=True)
    transaction.on_commit(wake, robust=True)
    return event


def wake() -> None:
    """Ask a worker to look now. Never raises: the clock's own look comes by."""
    try:
        current_app.send_task(WAKE_TASK, retry=False, expires=60)
    except (KombuError, CeleryError, RedisError, OSError):
        return


def claim() -> Delivery | None:
    """The next one that may be tried now: its receiver is not left alone, not busy with `IN_HAND` others, and not on pause.

    It looks at endpoints, not at deliveries: a hundred thousand that wait for one receiver cost what one does.
    """
    now = clock.now()
    first = _due(now).filter(endpoint=OuterRef("pk")).order_by("due_at", "id").values("due_at")[:1]
    candidates = _open(now).annotate(next_at=Subquery(first)).filter(next_at__isnull=False).order_by("next_at", "pk")
    for pk in candidates.values_list("pk", flat=True)[:CANDIDATES]:
        if delivery := _claim_of(pk, now):
            return delivery
    return None


@transaction.atomic
def _claim_of(endpoint_id: int, now: datetime) -> Delivery | None:
    """Under the endpoint's lock, which whoever settles holds too, so that `IN_HAND` is exact."""
    endpoint = _open(now).filter(pk=endpoint_id).select_for_update(of=("self",)).first()
    if endpoint is None or endpoint.deliveries.filter(claimed_until__gt=now).count() >= IN_HAND:
        return None
    delivery = _due(now).filter(endpoint=endpoint).select_related("event").order_by("due_at", "id").first()
    if delivery is None:
        return None
    delivery.endpoint = endpoint
    delivery.claimed_until = now + timedelta(seconds=CLAIM_SECONDS)
    delivery.tries += 1
    delivery.save(update_fields=["claimed_until", "tries"])
    return delivery


def _open(now: datetime) -> QuerySet[Endpoint]:
    """Endpoints that may be sent to: switched on, of an agency that is there, of a client that is not suspended, not left alone."""
    active = SubAccount.objects.ready().active().values("public_id")
    busy = (
        Delivery.objects.filter(endpoint=OuterRef("pk"), claimed_until__gt=now)
        .values("endpoint")
        .annotate(count=Count("pk"))
        .values("count")
    )
    return (
        Endpoint.objects.filter(disabled_at=None, removed_at=None, agency__deleted_at=None)
        .filter(Q(resumes_at=None) | Q(resumes_at__lte=now), Q(sub_account_id=None) | Q(sub_account_id__in=active))
        .annotate(in_hand=Coalesce(Subquery(busy), 0))
        .filter(in_hand__lt=IN_HAND)
    )


def _due(now: datetime) -> QuerySet[Delivery]:
    waiting = Delivery.objects.filter(Q(claimed_until=None) | Q(claimed_until__lte=now), state=Delivery.WAITING, due_at__lte=now)
    return tellable(waiting)


def tellable(found: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Without those that tell a client of balances it may not see today. They wait: once it sees its balances they go on."""
    return found.exclude(event__type__in=TELL_BALANCES, endpoint__sub_account_id__in=SubAccount.objects.hiding().values("public_id"))


def attempt(delivery: Delivery) -> Outcome:
    """Send it once, signed; never raises for what the receiver does."""
    if delivery.tries > MOST_TRIES:
        return Outcome(0, error="given up: every try ended with its worker")
    body = delivery.event.body
    headers = signed(delivery.endpoint, delivery.event.public_id, body)
    if not headers["webhook-signature"]:
        return Outcome(0, error="the endpoint was removed")
    started = time.monotonic()
    try:
        answer = egress.post(delivery.endpoint.url, body=body.encode(), headers=headers)
    except egress.TargetRefused as refusal:
        return Outcome(_since(started), error=refusal.message[:ANSWER_KEPT], headers=headers)
    except egress.ExchangeFailed as failure:
        return Outcome(_since(started), error=str(failure)[:ANSWER_KEPT], headers=headers)
    is_success = 200 <= answer.status < 300
    return Outcome(
        _since(started),
        answer.status,
        answer.body.decode("utf-8", "replace").replace("\x00", "")[:ANSWER_KEPT] if is_success else "",
        "" if is_success else _in_words(answer.status),
        _retry_after(answer.headers.get("retry-after", "")),
        headers,
    )


def signed(endpoint: Endpoint, event_id: UUID, body: str) -> dict[str, str]:
    """The headers of one try: id, time and a signature by each secret that counts now (Standard Webhooks 1.0)."""
    now = clock.now()
    secrets = EndpointSecret.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), endpoint=endpoint).order_by(
        F("expires_at").desc(nulls_first=True)
    )
    opened = [sealed.unseal(secret.sealed, purpose=PURPOSE) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": f"evt_{event_id.hex}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(f"evt_{event_id.hex}", now, body) for secret in opened if secret),
    }


@transaction.atomic
def settle(delivery: Delivery, outcome: Outcome) -> str:
    """Write down what a try came to and when the next one is due, if any; why the endpoint has to be switched off, or nothing."""
    endpoint = Endpoint.objects.select_for_update().get(pk=delivery.endpoint_id)
    stored = Delivery.objects.select_for_update().get(pk=delivery.pk)
    now = clock.now()
    Attempt.objects.create(
        delivery=stored,
        at=now,
        milliseconds=outcome.milliseconds,
        status=outcome.status,
        answer=outcome.answer,
        error=outcome.error,
        headers=outcome.headers,
    )
    if outcome.is_success:
        stored.state, stored.settled_at, stored.claimed_until = Delivery.DELIVERED, now, None
        endpoint.failures, endpoint.failing_since, endpoint.resumes_at = 0, None, None
    elif stored.claimed_until != delivery.claimed_until:
        return ""  # too late: another worker has it in hand, and that one's outcome counts
    else:
        stored.claimed_until = None
        _put_off(stored, endpoint, outcome, now)
    stored.save(update_fields=["claimed_until", "state", "settled_at", "due_at"])
    endpoint.save(update_fields=["failures", "failing_since", "resumes_at"])
    if outcome.status == HTTPStatus.GONE:
        return Endpoint.GONE
    return Endpoint.FAILING if endpoint.failing_since and now - endpoint.failing_since >= DISABLED_AFTER else ""


def forget_before(moment: datetime) -> int:
    """Delete older events with their deliveries and tries; how many events. A piece at a time: each is a short transaction."""
    count = 0
    while pks := [*Event.objects.filter(at__lt=moment).order_by("at").values_list("pk", flat=True)[:FORGET_AT_ONCE]]:
        Event.objects.filter(pk__in=pks).delete()
        count += len(pks)
    return count


def _put_off(delivery: Delivery, endpoint: Endpoint, outcome: Outcome, now: datetime) -> None:
    endpoint.failures += 1
    endpoint.failing_since = endpoint.failing_since or now
    alone = ENDPOINT_WAITS_SECONDS[min(endpoint.failures, len(ENDPOINT_WAITS_SECONDS)) - 1]
    endpoint.resumes_at = now + timedelta(seconds=max(_jittered(alone), outcome.retry_after))
    if delivery.tries >= MOST_TRIES:
        delivery.state, delivery.settled_at = Delivery.FAILED, now
        return
    delivery.due_at = now + timedelta(seconds=max(_jittered(WAITS_SECONDS[delivery.tries - 1]), outcome.retry_after))


def _jittered(seconds: int) -> float:
    return seconds * random.uniform(0.9, 1.1)


def _retry_after(value: str) -> int:
    """Seconds from a Retry-After header in either of its forms; 0 when there is none that makes sense."""
    if value.isascii() and value.isdigit():
        return min(int(value[:9]), LONGEST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(value) - clock.now()).total_seconds()
    except (ValueError, TypeError):
        return 0
    return max(0, min(int(seconds), LONGEST_RETRY_AFTER))


def _in_words(status: int) -> str:
    if 300 <= status < 400:
        return f"answered {status}: we follow no redirects"
    return f"answered {status}"


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
