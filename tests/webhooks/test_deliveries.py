"""From a deed to its receivers: signed, once, again when it failed, and never for ever."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from standardwebhooks import Webhook

from agency.models import AuditRecord
from billing import deliveries, dispatch, webhooks
from billing.models import Attempt, Delivery, Endpoint
from kit import clock, egress, outbox
from kit.models import OutboxMessage
from subaccounts import lifecycle
from tests.cast import TESTS, Cast

URL = "https://receiver.example/hook"


class Receiver:
    """Answers of the outside world, at the wire's edge: what is sent is kept, what comes back is told by the test."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        self.answer: Any = egress.Answer(200, {}, b"thanks")

    def __call__(self, url: str, *, body: bytes, headers: dict[str, str]) -> egress.Answer:
        self.requests.append((url, body, headers))
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, egress.Answer)
        return answer


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    receiver = Receiver()
    monkeypatch.setattr(egress, "post", receiver)
    monkeypatch.setattr(egress, "checked", lambda url: url)
    return receiver


@pytest.fixture
def made(cast: Cast, receiver: Receiver) -> webhooks.Made:
    outbox.deliver_due()  # what the cast did before anybody listened
    return webhooks.make(agency=cast.northlight, url=URL, by=TESTS)


@pytest.fixture
def time() -> Iterator[Any]:
    with time_machine.travel(clock.now(), tick=False) as traveller:
        yield traveller


def happen(cast: Cast) -> None:
    """Something that endpoints hear of, brought as far as the worker would."""
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    lifecycle.restore(sub_account=cast.acme, by=TESTS)
    outbox.deliver_due()


def test_a_deeds_event_arrives_signed_and_an_independent_library_says_so(cast: Cast, made: webhooks.Made, receiver: Receiver) -> None:
    happen(cast)

    assert dispatch.deliver_due() == 2
    for url, body, headers in receiver.requests:
        assert url == URL
        told = Webhook(made.secret).verify(body, headers)
        assert told["data"]["sub_account_id"] == str(cast.acme.public_id)
    types = [Webhook(made.secret).verify(body, headers)["type"] for _, body, headers in receiver.requests]
    assert types == ["sub_account.suspended", "sub_account.restored"]
    assert set(Delivery.objects.values_list("state", flat=True)) == {Delivery.DELIVERED}


def test_an_event_exists_exactly_when_its_deed_does(cast: Cast, made: webhooks.Made) -> None:
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    with pytest.raises(lifecycle.AlreadySuspended):
        lifecycle.suspend(sub_account=cast.acme, by=TESTS)

    assert OutboxMessage.objects.filter(topic="event", payload__type="sub_account.suspended").count() == 1


def test_tries_follow_the_schedule_and_end(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:
    receiver.answer = egress.ExchangeFailed("no answer within 10 seconds")
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    began, waits = clock.now(), []
    while (waiting := Delivery.objects.filter(state=Delivery.WAITING).first()) is not None and len(waits) < 20:
        before = max(waiting.due_at, Endpoint.objects.get().resumes_at or waiting.due_at)
        time.move_to(before)
        webhooks.switch_on(endpoint=made.endpoint, by=TESTS)
        assert dispatch.deliver_due() == 1
        settled = Delivery.objects.get()
        waits.append((settled.due_at - before).total_seconds())

    ids = {headers["webhook-id"] for _, _, headers in receiver.requests}
    assert len(receiver.requests) == 10
    assert len(ids) == 1, "the same event keeps its id, whatever happens to it"
    for wait, meant in zip(waits, deliveries.WAITS_SECONDS, strict=False):
        assert 0.9 * meant <= wait <= 1.1 * meant
    assert 70 <= (clock.now() - began).total_seconds() / 3600 <= 85
    assert Delivery.objects.get().state == Delivery.FAILED
    assert Attempt.objects.count() == 10


@pytest.mark.parametrize(
    ("status", "state"), [(200, "delivered"), (204, "delivered"), (302, "waiting"), (404, "waiting"), (500, "waiting")]
)
def test_h13_only_a_2xx_is_a_delivery(cast: Cast, made: webhooks.Made, receiver: Receiver, status: int, state: str) -> None:
    receiver.answer = egress.Answer(status, {"location": "http://169.254.169.254/"}, b"secret of an inner host")
    webhooks.test(endpoint=made.endpoint, by=TESTS)

    dispatch.deliver_due()

    assert Delivery.objects.get().state == state
    assert len(receiver.requests) == 1, "a redirect is not followed"
    assert ("secret" in Attempt.objects.get().answer) == (state == "delivered")


def test_gone_switches_off_and_the_owner_hears_of_it(cast: Cast, made: webhooks.Made, receiver: Receiver) -> None:
    receiver.answer = egress.Answer(410, {}, b"")
    webhooks.test(endpoint=made.endpoint, by=TESTS)

    dispatch.deliver_due()
    happen(cast)

    assert Endpoint.objects.get().disabled_cause == Endpoint.GONE
    assert dispatch.deliver_due() == 0
    assert OutboxMessage.objects.filter(topic="mail", key__startswith="webhook_off:").count() == 1
    assert AuditRecord.objects.filter(action="webhook.switched_off").count() == 1


def test_retry_after_is_honoured(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:
    receiver.answer = egress.Answer(429, {"retry-after": "1800"}, b"")
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    began = clock.now()

    dispatch.deliver_due()

    assert Delivery.objects.get().due_at == began + timedelta(seconds=1800)
    assert Endpoint.objects.get().resumes_at == began + timedelta(seconds=1800)


def test_h18_a_dead_receiver_is_not_flooded(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:
    receiver.answer = egress.ExchangeFailed("no connection")
    for _ in range(100):
        webhooks.test(endpoint=made.endpoint, by=TESTS)
    for _ in range(3 * 24 + 1):
        dispatch.deliver_due()
        time.shift(timedelta(hours=1))

    assert len(receiver.requests) <= 3 * 24 + 1, "one try at a time, however much is waiting"
    assert Endpoint.objects.get().disabled_cause == Endpoint.FAILING
    tries = len(receiver.requests)
    dispatch.deliver_due()
    assert len(receiver.requests) == tries


def test_during_a_rotation_both_secrets_verify(cast: Cast, made: webhooks.Made, receiver: Receiver, time: Any) -> None:
    second = webhooks.rotate(endpoint=made.endpoint, by=TESTS)
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    dispatch.deliver_due()
    _, body, headers = receiver.requests[-1]
    assert Webhook(made.secret).verify(body, headers) == Webhook(second).verify(body, headers)

    time.shift(timedelta(hours=webhooks.OVERLAP_HOURS, seconds=1))
    webhooks.test(endpoint=made.endpoint, by=TESTS)
    dispatch.deliver_due()
    _, body, headers = receiver.requests[-1]
    assert len(headers["webhook-signature"].split(" ")) == 1
    assert Webhook(second).verify(body, headers)


def test_what_a_client_may_not_see_its_endpoint_does_not_hear(cast: Cast, made: webhooks.Made, receiver: Receiver) -> None:
    client = webhooks.make(agency=cast.northlight, sub_account=cast.acme, url="https://acme.example/hook", by=TESTS)
    webhooks.make(agency=cast.northlight, sub_account=cast.koala, url="https://koala.example/hook", by=TESTS)
    outbox.deliver_due()
    Delivery.objects.all().delete()
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    lifecycle.restore(sub_account=cast.acme, by=TESTS)
    outbox.deliver_due()

    heard = list(Delivery.objects.filter(endpoint=client.endpoint).values_list("event__type", flat=True))
    assert heard == ["sub_account.suspended", "sub_account.restored"]
    assert not Delivery.objects.filter(endpoint__url__contains="koala").exists()
