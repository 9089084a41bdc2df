import structlog
from celery import shared_task

from credits import checks, ledger

log = structlog.get_logger("canopy.credits")


@shared_task(expires=300)
def expire_due() -> None:
    ledger.expire_due()


@shared_task
def open_months() -> None:
    ledger.open_months()


@shared_task
def audit() -> None:
    for finding in checks.audit():
        log.error("the books are wrong", finding=str(finding))
