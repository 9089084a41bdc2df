"""What a worker does with the deliveries that are due."""

import time

from billing import deliveries, webhooks
from kit.actor import system

DISPATCH = system("Webhook delivery")
SECONDS = 60.0


def deliver_due(*, limit: int = 50) -> int:
    """Try up to `limit` deliveries that are due, none begun later than `SECONDS` on; how many were tried. Any number may run at once."""
    until = time.monotonic() + SECONDS
    for done in range(limit):
        if time.monotonic() > until:
            limit = done
            break
        delivery = deliveries.claim()
        if delivery is None:
            return done
        if cause := deliveries.settle(delivery, deliveries.attempt(delivery)):
            webhooks.switch_off(endpoint=delivery.endpoint, cause=cause, by=DISPATCH)
    deliveries.wake()
    return limit
