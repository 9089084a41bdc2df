"""What must happen after a commit: rows in PostgreSQL, delivered by a sweep.

The row is written in the transaction of what causes it, so it exists exactly when that does. Delivery is at least once:
a handler's own database work commits together with the row, and what it does outside (a mail, a web request) may repeat
after a crash, so it carries the message's key. Celery only wakes the sweep up; a lost wake-up costs half a minute.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from celery import current_app
from celery.exceptions import CeleryError
from django.db import models, transaction
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from kit import clock
from kit.models import OutboxMessage

log = structlog.get_logger("canopy.outbox")

Handler = Callable[[OutboxMessage], None]

WAITS_SECONDS = [5, 30, 120, 600, 1800, 7200, 21600, 0]
"""How long the next try waits after each; after the last the message is given up and an alarm of `check_invariants`."""
MAX_ATTEMPTS = len(WAITS_SECONDS)
KEPT_DAYS = 30
WAKE_TASK = "kit.tasks.deliver_outbox"

_handlers: dict[str, Handler] = {}


class NoHandler(Exception):
    """A message's topic has no handler in this process."""


def handler(topic: str) -> Callable[[Handler], Handler]:
    """Register the function that delivers the messages of `topic`. It runs in a transaction, in the public schema."""

    def register(function: Handler) -> Handler:
        if _handlers.setdefault(topic, function) is not function:
            raise ValueError(f"outbox topic {topic!r} has two handlers")
        return function

    return register


def put(topic: str, payload: dict[str, Any], key: str = "", *, due_at: Any = None) -> None:
    """Write a message in the current transaction. A second one with the same topic and non-empty key is dropped silently.

    `due_at` puts the first try off. The payload is emptied when the message is delivered.
    """
    message = OutboxMessage(topic=topic, payload=payload, key=key, due_at=due_at or clock.now())
    OutboxMessage.objects.bulk_create([message], ignore_conflicts=True)
    transaction.on_commit(wake, robust=True)


def wake() -> None:
    """Ask a worker to sweep now. Never raises: without Redis the clock's own sweep comes by."""
    try:
        current_app.send_task(WAKE_TASK, retry=False, expires=60)
    except (KombuError, CeleryError, RedisError, OSError) as error:
        log.warning("outbox not woken", cause=type(error).__name__)


def deliver_due(*, limit: int = 200) -> int:
    """Deliver up to `limit` messages that are due, one transaction each; how many succeeded. Any number may run at once.

    When there may be more it asks for the next sweep at once, so that other work gets its turn in between.
    """
    delivered = 0
    for _ in range(limit):
        claimed = _claim()
        if claimed is None:
            return delivered
        delivered += _deliver(*claimed)
    wake()
    return delivered


def _waiting() -> models.QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(delivered_at=None, given_up_at=None)


def _claim() -> tuple[int, int] | None:
    """Count the try before it starts, in a transaction of its own, so that a message that kills its worker runs out of tries."""
    with transaction.atomic():
        now = clock.now()
        message = _waiting().filter(due_at__lte=now).select_for_update(skip_locked=True).order_by("due_at", "id").first()
        if message is None:
            return None
        if message.attempts >= MAX_ATTEMPTS:
            _give_up(message, message.last_error or "every try ended with its worker")
            return message.pk, 0
        wait = WAITS_SECONDS[message.attempts] or 3600
        message.attempts += 1
        message.due_at = now + timedelta(seconds=wait * random.uniform(0.8, 1.2))
        message.save(update_fields=["attempts", "due_at"])
        return message.pk, message.attempts


def _deliver(pk: int, attempt: int) -> int:
    """Run the handler; 1 when it succeeded. Does nothing when another sweep has taken the message meanwhile."""
    with transaction.atomic():
        # Waits: a sweep that chose the row a moment too early holds it until it sees that it was claimed.
        message = _waiting().filter(pk=pk, attempts=attempt).select_for_update().first()
        if message is None:
            return 0
        try:
            with transaction.atomic():
                _handle(message)
        except Exception as error:  # noqa: BLE001  (whatever a handler raises is a failed try, to be repeated and at last given up)
            _failed(message, error)
            return 0
        message.delivered_at = clock.now()
        message.payload = {}
        message.last_error = ""
        message.save(update_fields=["delivered_at", "payload", "last_error"])
        return 1


def _handle(message: OutboxMessage) -> None:
    if message.topic not in _handlers:
        raise NoHandler(message.topic)
    _handlers[message.topic](message)


def _failed(message: OutboxMessage, error: Exception) -> None:
    cause = f"{type(error).__name__}: {error}"[:500]
    log.warning("outbox try failed", topic=message.topic, message=message.pk, attempt=message.attempts, cause=cause)
    if message.attempts >= MAX_ATTEMPTS:
        _give_up(message, cause)
    else:
        message.last_error = cause
        message.save(update_fields=["last_error"])


def _give_up(message: OutboxMessage, cause: str) -> None:
    log.error("outbox message given up", topic=message.topic, message=message.pk, cause=cause)
    message.given_up_at = clock.now()
    message.last_error = cause
    message.save(update_fields=["given_up_at", "last_error"])


def purge() -> int:
    """Forget what was settled more than `KEPT_DAYS` days ago; how many rows."""
    before = clock.now() - timedelta(days=KEPT_DAYS)
    settled = models.Q(delivered_at__lt=before) | models.Q(given_up_at__lt=before)
    return OutboxMessage.objects.filter(settled).delete()[0]
