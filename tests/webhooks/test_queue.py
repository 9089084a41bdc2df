"""Which delivery is taken next, by whom, and what it costs to find it."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection

from billing import deliveries, dispatch, webhooks
from billing.models import Attempt, Delivery, Endpoint, EndpointSecret, Event
from config.celery import app
from kit import clock, egress
from kit.ids import uuid7
from subaccounts import lifecycle
from tests.cast import TESTS, Cast
from tests.webhooks.test_deliveries import Receiver, made, receiver, time  # noqa: F401  (fixtures)


def waiting(endpoint: Endpoint, count: int) -> None:
    events = Event.objects.bulk_create(
        Event(public_id=uuid7(), type="webhook.test", at=clock.now(), agency=endpoint.agency, body="{}") for _ in range(count)
    )
    Delivery.objects.bulk_create(Delivery(endpoint=endpoint, event=event) for event in events)


def test_deliveries_have_a_queue_of_their_own() -> None:
    route = app.amqp.router.route({}, deliveries.WAKE_TASK)
    assert route["queue"].name == "webhooks"
    assert app.amqp.router.route({}, "kit.tasks.deliver_outbox")["queue"].name == settings.CELERY_TASK_DEFAULT_QUEUE


def test_two_at_most_are_in_hand_and_other_endpoints_go_on(cast: Cast, made: webhooks.Made) -> None:  # noqa: F811
    """R09."""
    other = webhooks.make(agency=cast.northlight, url="https://other.example/hook", by=TESTS).endpoint
    waiting(made.endpoint, 5)
    waiting(other, 1)

    claimed = [deliveries.claim() for _ in range(4)]

    assert [delivery.endpoint_id if delivery else None for delivery in claimed] == [made.endpoint.pk, made.endpoint.pk, other.pk, None]


@pytest.mark.parametrize("why", ["off", "removed", "resting", "agency deleted", "client suspended"])
def test_nothing_is_sent_where_nothing_may_be(cast: Cast, receiver: Receiver, why: str) -> None:  # noqa: F811
    endpoint = webhooks.make(agency=cast.northlight, sub_account=cast.acme, url="https://acme.example/", by=TESTS).endpoint
    waiting(endpoint, 1)
    if why == "off":
        webhooks.switch_off(endpoint=endpoint, by=TESTS)
    elif why == "removed":
        webhooks.remove(endpoint=endpoint, by=TESTS)
    elif why == "resting":
        Endpoint.objects.update(resumes_at=clock.now() + timedelta(minutes=1))
    elif why == "agency deleted":
        agency = cast.northlight
        agency.deleted_at = clock.now()
        agency.save(update_fields=["deleted_at"])
    else:
        lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    assert deliveries.claim() is None


def test_a_worker_that_dies_loses_nothing(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:  # noqa: F811
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    dead = deliveries.claim()
    assert dead is not None
    assert dispatch.deliver_due() == 0
    time.shift(timedelta(seconds=deliveries.CLAIM_SECONDS + 1))

    late = deliveries.Outcome(1, error="too late")
    second = deliveries.claim()
    assert second is not None
    deliveries.settle(dead, late)
    stored = Delivery.objects.get()
    assert (stored.claimed_until, stored.state) == (second.claimed_until, Delivery.WAITING), "the late one takes nothing away"
    deliveries.settle(second, deliveries.attempt(second))
    assert Delivery.objects.get().state == Delivery.DELIVERED
    assert receiver.requests[0][2]["webhook-id"] == f"evt_{dead.event.public_id.hex}"


def test_an_event_that_kills_its_worker_is_given_up(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:  # noqa: F811
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    for _ in range(deliveries.MOST_TRIES):
        assert deliveries.claim() is not None
        time.shift(timedelta(seconds=deliveries.CLAIM_SECONDS + 1))

    dispatch.deliver_due()

    assert Delivery.objects.get().state == Delivery.FAILED
    assert receiver.requests == []
    assert "ended with its worker" in Attempt.objects.get().error


def test_nothing_goes_out_unsigned(cast: Cast, made: webhooks.Made, receiver: Receiver) -> None:  # noqa: F811
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    EndpointSecret.objects.all().delete()

    dispatch.deliver_due()

    assert receiver.requests == []


def test_after_an_outage_of_an_hour_everything_arrives(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:  # noqa: F811
    """R09: each id at least once, and another endpoint's at once all the while."""
    other = webhooks.make(agency=cast.northlight, url="https://other.example/hook", by=TESTS).endpoint

    def answer(url: str, *, body: bytes, headers: dict[str, str]) -> egress.Answer:
        receiver.requests.append((url, body, headers))
        if url == made.endpoint.url and clock.now() < ends:
            raise egress.ExchangeFailed("no answer within 10 seconds")
        return egress.Answer(200, {}, b"")

    ends = clock.now() + timedelta(hours=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(egress, "post", answer)
        for _ in range(12):
            webhooks.test(endpoint=made.endpoint, by=TESTS)
            webhooks.test(endpoint=other, by=TESTS)
            dispatch.deliver_due()
            assert not Delivery.objects.filter(endpoint=other, state=Delivery.WAITING).exists()
            time.shift(timedelta(minutes=5))
        for _ in range(10):
            dispatch.deliver_due()
            time.shift(timedelta(minutes=15))
    assert set(Delivery.objects.values_list("state", flat=True)) == {Delivery.DELIVERED}


def test_a_claim_costs_the_same_however_much_waits(cast: Cast, made: webhooks.Made) -> None:  # noqa: F811
    """The plan takes the first row of an index for each endpoint, and never reads all that wait."""
    waiting(made.endpoint, 3_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_delivery")
    with time_machine.travel(clock.now() + timedelta(seconds=1), tick=False):
        now = clock.now()
        plan = str(deliveries._due(now).filter(endpoint=made.endpoint).order_by("due_at", "id")[:1].explain())
    assert "delivery_waiting" in plan
    assert "Sort" not in plan


def test_what_is_older_than_a_month_is_forgotten_in_pieces(cast: Cast, made: webhooks.Made, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(deliveries, "FORGET_AT_ONCE", 2)
    waiting(made.endpoint, 5)
    Event.objects.update(at=clock.now() - timedelta(days=31))
    waiting(made.endpoint, 1)

    assert webhooks.forget() == 5
    assert Delivery.objects.count() == 1
