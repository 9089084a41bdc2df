"""What a worker does with the deliveries that are due."""

from billing import deliveries, webhooks
from kit.actor import system

DISPATCH = system("Webhook delivery")


def deliver_due(*, limit: int = 50) -> int:
    """Try up to `limit` deliveries that are due; how many were tried. Any number of workers may do this at once."""
    for done in range(limit):
        delivery = deliveries.claim()
        if delivery is None:
            return done
        if cause := deliveries.settle(delivery, deliveries.attempt(delivery)):
            webhooks.switch_off(endpoint=delivery.endpoint, cause=cause, by=DISPATCH)
    deliveries.wake()
    return limit
