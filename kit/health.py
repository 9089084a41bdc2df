"""Whether the machinery is alive: beat hands out a tick, a worker writes it down."""

from datetime import timedelta

from kit import clock
from kit.models import Tick

TICK_SECONDS = 20
LATE_AFTER = timedelta(minutes=3)


def tick(name: str) -> None:
    """Write down that the clock `name` went by just now."""
    Tick.objects.update_or_create(name=name, defaults={"at": clock.now()})


def is_late(name: str) -> bool:
    """Whether the clock `name` has not gone by for three minutes, or never has."""
    return not Tick.objects.filter(name=name, at__gt=clock.now() - LATE_AFTER).exists()
