"""What must be true of the data at any moment, whatever has failed: asked after every fault and every hour.

An app says what it promises in its module `invariants`; `manage.py check_invariants` asks them all.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

from django.utils.module_loading import autodiscover_modules

from kit import clock
from kit.models import OutboxMessage

Check = Callable[[], Iterator[str]]

OUTBOX_LATE_AFTER = timedelta(minutes=5)
ROWS_SHOWN = 50

_checks: dict[str, Check] = {}


def invariant(name: str) -> Callable[[Check], Check]:
    """Register a check. It yields one line for each row that breaks the invariant, and changes nothing."""

    def register(check: Check) -> Check:
        if name in _checks:
            raise ValueError(f"two invariants are called {name!r}")
        _checks[name] = check
        return check

    return register


def check_all() -> dict[str, list[str]]:
    """Every invariant by name, with what breaks it; an empty list is good."""
    autodiscover_modules("invariants")
    return {name: list(check()) for name, check in sorted(_checks.items())}


@invariant("no message waits in the outbox for longer than five minutes untried")
def outbox_moves() -> Iterator[str]:
    late = OutboxMessage.objects.filter(delivered_at=None, given_up_at=None, due_at__lt=clock.now() - OUTBOX_LATE_AFTER)
    for message in late.order_by("due_at")[:ROWS_SHOWN]:
        yield f"{message.topic} #{message.pk} due {message.due_at:%Y-%m-%d %H:%M:%S} after {message.attempts} tries: {message.last_error}"


@invariant("no message in the outbox has been given up")
def outbox_delivers() -> Iterator[str]:
    for message in OutboxMessage.objects.exclude(given_up_at=None).order_by("id")[:ROWS_SHOWN]:
        yield f"{message.topic} #{message.pk} given up {message.given_up_at:%Y-%m-%d %H:%M:%S}: {message.last_error}"
