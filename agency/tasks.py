from celery import shared_task

from agency import sessions


@shared_task
def forget_sessions() -> None:
    sessions.forget_expired()
