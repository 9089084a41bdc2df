"""From an event to its receivers: fan-out, tries, and what each answer means.

A worker claims a delivery in one transaction, talks to the receiver in none, and writes down the outcome in a second one.
Whoever dies in between leaves a claim that ends by itself, so a delivery is made at least once, with the same id.
"""

import json
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from celery import current_app
from celery.exceptions import CeleryError
from django.db import transaction
from django.db.models import Count, F, Q
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
LONGEST_RETRY_AFTER = 86_400
ANSWER_KEPT = 200
WAKE_TASK = "billing.tasks.deliver_webhooks"
PURPOSE = "webhook secret"
USER_AGENT = "Webhooks/1"


@dataclass(frozen=True)
class Outcome:
    """What a try came to. `retry_after` in seconds, where the receiver asked for it."""

    milliseconds: int
    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after: int = 0

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@outbox.handler(events.TOPIC)
def fan_out(message: OutboxMessage) -> None:
    """Put the event on its way to each endpoint that hears it; kept nowhere when none does."""
    told = message.payload
    agency = Agency.objects.filter(public_id=told["agency_id"]).first()
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
    """The next one that may be tried now: its receiver is not left alone, not busy with `IN_HAND` others, and not on pause."""
    now = clock.now()
    busy = Count("endpoint__deliveries", filter=Q(endpoint__deliveries__claimed_until__gt=now))
    due = Delivery.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        Q(endpoint__resumes_at=None) | Q(endpoint__resumes_at__lte=now),
        state=Delivery.WAITING,
        due_at__lte=now,
        endpoint__disabled_at=None,
        endpoint__removed_at=None,
        endpoint__agency__deleted_at=None,
    )
    paused = SubAccount.objects.suspended().values("public_id")
    ready = due.exclude(endpoint__sub_account_id__in=paused)
    with transaction.atomic():
        candidates = ready.alias(busy=busy).filter(busy__lt=IN_HAND).order_by("due_at", "id").values_list("pk", flat=True)[:20]
        delivery = (
            ready.filter(pk__in=[*candidates]).select_related("endpoint", "event").order_by("due_at", "id")
            .select_for_update(skip_locked=True, of=("self", "endpoint")).first()
        )  # fmt: skip
        if delivery is None:
            return None
        delivery.claimed_until = now + timedelta(seconds=CLAIM_SECONDS)
        delivery.tries += 1
        delivery.save(update_fields=["claimed_until", "tries"])
        return delivery


def attempt(delivery: Delivery) -> Outcome:
    """Send it once, signed; never raises for what the receiver does."""
    body = delivery.event.body
    started = time.monotonic()
    try:
        answer = egress.post(delivery.endpoint.url, body=body.encode(), headers=signed(delivery.endpoint, delivery.event.public_id, body))
    except egress.TargetRefused as refusal:
        return Outcome(_since(started), error=refusal.message[:ANSWER_KEPT])
    except egress.ExchangeFailed as failure:
        return Outcome(_since(started), error=str(failure)[:ANSWER_KEPT])
    text = answer.body[:ANSWER_KEPT].decode("utf-8", "replace").replace("\x00", "") if 200 <= answer.status < 300 else ""
    error = "" if 200 <= answer.status < 300 else _in_words(answer.status)
    return Outcome(_since(started), answer.status, text[:ANSWER_KEPT], error, _retry_after(answer.headers.get("retry-after", "")))


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
        delivery=stored, at=now, milliseconds=outcome.milliseconds, status=outcome.status, answer=outcome.answer, error=outcome.error
    )
    stored.claimed_until = None
    if outcome.is_success:
        stored.state, stored.settled_at = Delivery.DELIVERED, now
        endpoint.failures, endpoint.failing_since, endpoint.resumes_at = 0, None, None
    else:
        _put_off(stored, endpoint, outcome, now)
    stored.save(update_fields=["claimed_until", "state", "settled_at", "due_at"])
    endpoint.save(update_fields=["failures", "failing_since", "resumes_at"])
    if outcome.status == HTTPStatus.GONE:
        return Endpoint.GONE
    return Endpoint.FAILING if endpoint.failing_since and now - endpoint.failing_since >= DISABLED_AFTER else ""


def forget_before(moment: datetime) -> int:
    """Delete older events with their deliveries and tries; how many rows."""
    return Event.objects.filter(at__lt=moment).delete()[0]


def _put_off(delivery: Delivery, endpoint: Endpoint, outcome: Outcome, now: datetime) -> None:
    endpoint.failures += 1
    endpoint.failing_since = endpoint.failing_since or now
    alone = ENDPOINT_WAITS_SECONDS[min(endpoint.failures, len(ENDPOINT_WAITS_SECONDS)) - 1]
    endpoint.resumes_at = now + timedelta(seconds=max(_jittered(alone), outcome.retry_after))
    if delivery.tries > len(WAITS_SECONDS):
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
