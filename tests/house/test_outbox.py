import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.db import connection, transaction

from kit import clock, outbox
from kit.models import OutboxMessage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_outbox")]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the handler of the topic "test" was given."""
    given: list[str] = []
    monkeypatch.setitem(outbox._handlers, "test", lambda message: given.append(message.payload["n"]))
    return given


def failing(message: OutboxMessage) -> None:
    raise ConnectionError("the receiver is down, its token=abc")


def test_a_message_exists_exactly_when_its_cause_does(seen):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.put("test", {"n": "undone"})
        1 / 0  # noqa: B018
    outbox.put("test", {"n": "done"})

    outbox.deliver_due()

    assert seen == ["done"]


def test_a_message_is_delivered_once_and_then_forgets_what_it_carried(seen):
    outbox.put("test", {"n": "secret"})

    assert outbox.deliver_due() == 1
    assert outbox.deliver_due() == 0

    assert seen == ["secret"]
    message = OutboxMessage.objects.get(topic="test")
    assert message.delivered_at is not None
    assert message.payload == {}


def test_a_key_is_delivered_once_however_often_it_is_put(seen):
    for n in ("first", "second"):
        outbox.put("test", {"n": n}, key="welcome-1")
    outbox.deliver_due()
    outbox.put("test", {"n": "third"}, key="welcome-1")
    outbox.deliver_due()

    assert seen == ["first"]


def test_without_a_key_every_message_counts(seen):
    outbox.put("test", {"n": "a"})
    outbox.put("test", {"n": "b"})

    assert outbox.deliver_due() == 2


def test_a_message_put_off_waits(seen):
    outbox.put("test", {"n": "later"}, due_at=clock.now() + timedelta(hours=1))

    assert outbox.deliver_due() == 0
    with time_machine.travel(clock.now() + timedelta(hours=1, seconds=1)):
        assert outbox.deliver_due() == 1


def test_a_failed_try_waits_longer_each_time_and_is_given_up_after_eight(monkeypatch):
    monkeypatch.setitem(outbox._handlers, "test", failing)
    outbox.put("test", {"n": 1})
    waits = []
    for _ in range(outbox.MAX_ATTEMPTS):
        with time_machine.travel(OutboxMessage.objects.get().due_at + timedelta(seconds=1), tick=False):
            outbox.deliver_due()
            waits.append((OutboxMessage.objects.get().due_at - clock.now()).total_seconds())

    message = OutboxMessage.objects.get()
    assert message.attempts == outbox.MAX_ATTEMPTS
    assert message.given_up_at is not None
    assert "ConnectionError" in message.last_error
    assert waits[:7] == sorted(waits[:7])
    assert outbox.deliver_due() == 0


def test_a_failed_try_undoes_what_its_handler_wrote(monkeypatch):
    def half(message: OutboxMessage) -> None:
        OutboxMessage.objects.create(topic="left behind", payload={})
        raise ValueError

    monkeypatch.setitem(outbox._handlers, "test", half)
    outbox.put("test", {})
    outbox.deliver_due()

    assert not OutboxMessage.objects.filter(topic="left behind").exists()
    assert OutboxMessage.objects.get(topic="test").attempts == 1


def test_a_poison_message_does_not_hold_up_the_others(monkeypatch, seen):
    """R14."""
    monkeypatch.setitem(outbox._handlers, "poison", failing)
    outbox.put("poison", {})
    for n in range(30):
        outbox.put("test", {"n": n})

    outbox.deliver_due()

    assert sorted(seen) == list(range(30))


def test_a_message_that_kills_its_worker_runs_out_of_tries(monkeypatch):
    """R14: the try is counted before it begins, so even a crash of the process counts."""

    def crash(message: OutboxMessage) -> None:
        raise SystemExit(137)

    monkeypatch.setitem(outbox._handlers, "test", crash)
    outbox.put("test", {})
    for _ in range(outbox.MAX_ATTEMPTS):
        with time_machine.travel(OutboxMessage.objects.get().due_at + timedelta(seconds=1)), pytest.raises(SystemExit):
            outbox.deliver_due()
    with time_machine.travel(clock.now() + timedelta(days=1)):
        assert outbox.deliver_due() == 0

    assert OutboxMessage.objects.get().given_up_at is not None


def test_a_topic_without_a_handler_stays_and_says_so():
    outbox.put("nobody listens", {"n": 1})
    outbox.deliver_due()

    message = OutboxMessage.objects.get()
    assert message.delivered_at is None
    assert "NoHandler" in message.last_error


def test_a_topic_has_one_handler():
    with pytest.raises(ValueError, match="two handlers"):
        outbox.handler("mail")(failing)


def test_settled_messages_are_forgotten_after_a_month(seen):
    outbox.put("test", {"n": 1}, key="old")
    outbox.deliver_due()
    outbox.put("test", {"n": 2}, due_at=clock.now() + timedelta(days=90))

    with time_machine.travel(clock.now() + timedelta(days=outbox.KEPT_DAYS + 1)):
        assert outbox.purge() == 1

    assert OutboxMessage.objects.count() == 1


def test_waking_the_worker_never_fails_without_redis(monkeypatch):
    from celery import current_app

    monkeypatch.setattr(settings, "CELERY_BROKER_URL", "redis+socket:///nowhere/redis.sock")
    with current_app.connection("redis+socket:///nowhere/redis.sock") as away:
        with pytest.raises(Exception, match="nowhere"):
            away.ensure_connection(max_retries=1, timeout=1)
        producer = current_app.amqp.Producer(away)
        sent = current_app.send_task
        monkeypatch.setattr(current_app, "send_task", lambda *args, **kwargs: sent(*args, producer=producer, **kwargs))
        outbox.wake()


@pytest.fixture
def committed() -> Iterator[None]:
    yield
    OutboxMessage.objects.filter(topic="race").delete()


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_the_same_time_deliver_each_message_once(monkeypatch, committed):
    given: list[int] = []
    monkeypatch.setitem(outbox._handlers, "race", lambda message: given.append(message.payload["n"]))
    for n in range(60):
        outbox.put("race", {"n": n})

    def sweep() -> None:
        try:
            outbox.deliver_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(given) == list(range(60))


@pytest.mark.django_db(transaction=True)
def test_a_message_somebody_just_looked_at_is_delivered_all_the_same(monkeypatch, committed):
    """A sweep that chose a row before it was claimed locks it, sees its mistake and lets go at the end of its transaction."""
    given: list[int] = []
    monkeypatch.setitem(outbox._handlers, "race", lambda message: given.append(message.payload["n"]))
    outbox.put("race", {"n": 1})
    message = OutboxMessage.objects.get(topic="race")
    OutboxMessage.objects.filter(pk=message.pk).update(attempts=1)
    looking = threading.Event()

    def look() -> None:
        try:
            with transaction.atomic():
                OutboxMessage.objects.select_for_update().get(pk=message.pk)
                looking.set()
                time.sleep(0.3)
        finally:
            connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    looking.wait(5)
    delivered = outbox._deliver(message.pk, 1)
    thread.join()

    assert (delivered, given) == (1, [1])
