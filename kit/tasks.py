from celery import shared_task

from kit import (
    health,
    mail,  # noqa: F401  (registers what delivers the mails)
    outbox,
)


@shared_task(expires=60)
def deliver_outbox() -> None:
    outbox.deliver_due()


@shared_task(expires=60)
def tick() -> None:
    health.tick("worker")


@shared_task
def purge_outbox() -> None:
    outbox.purge()
