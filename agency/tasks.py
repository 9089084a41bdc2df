from celery import shared_task

from agency import audit, sessions


@shared_task
def forget_sessions() -> None:
    sessions.forget_expired()


@shared_task
def forget_audit_records() -> None:
    audit.forget_past()
