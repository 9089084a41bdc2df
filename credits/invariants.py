from collections.abc import Iterator
from datetime import timedelta

from credits import checks
from credits.models import Hold
from kit import clock
from kit.invariants import ROWS_SHOWN, invariant

HOLD_LATE_AFTER = timedelta(minutes=15)


@invariant("the books are right")
def books() -> Iterator[str]:
    yield from map(str, checks.audit())


@invariant("no hold is open long after its time")
def holds_end() -> Iterator[str]:
    late = Hold.objects.filter(state=Hold.OPEN, expires_at__lt=clock.now() - HOLD_LATE_AFTER)
    for hold in late.order_by("expires_at")[:ROWS_SHOWN]:
        yield f"hold {hold.key} of {hold.amount} ended {hold.expires_at:%Y-%m-%d %H:%M:%S}"
