from celery import shared_task

from billing import deliveries


@shared_task(expires=60)
def deliver_webhooks() -> None:
    deliveries.deliver_due()
