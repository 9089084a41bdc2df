from uuid import UUID

from celery import shared_task

from credits import audits, ledger
from kit.actor import system

# Longer than the half hour that `checks.audit` allows its statement, shorter than the queue waits for an answer.
AUDIT_SECONDS = 35 * 60


@shared_task(expires=300)
def expire_due() -> None:
    ledger.expire_due()


@shared_task
def open_months() -> None:
    ledger.open_months()


@shared_task
def open_missing_wallets() -> None:
    ledger.open_missing_wallets()


@shared_task(time_limit=AUDIT_SECONDS)
def audit() -> None:
    audits.run(by=system("nightly audit"))


@shared_task(time_limit=AUDIT_SECONDS)
def carry_out_audit(pk: str) -> None:
    audits.carry_out(UUID(pk))
