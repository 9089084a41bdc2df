from celery import shared_task

from billing import dispatch, webhooks


@shared_task(expires=60)
def deliver_webhooks() -> None:
    dispatch.deliver_due()


@shared_task
def forget_webhook_events() -> None:
    webhooks.forget()
