from celery import shared_task

from agency import audit, kept_answers, ownership, sessions, sign_ins


@shared_task
def forget_sessions() -> None:
    sessions.forget_expired()


@shared_task
def forget_audit_records() -> None:
    audit.forget_past()


@shared_task
def forget_sign_ins() -> None:
    sign_ins.forget()


@shared_task(expires=600)
def settle_offers() -> None:
    ownership.sweep()


@shared_task
def forget_kept_answers() -> None:
    kept_answers.forget_old()
