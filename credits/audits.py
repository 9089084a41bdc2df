"""Audits of the books that are on record: when, how long, by whom, and what was found.

Whoever carries an audit out holds an advisory lock while it lasts. The lock is its connection's, so it is free at the moment its
process is killed, and what is going on can be told from it.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog
from celery import current_app
from celery.exceptions import CeleryError
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, models, transaction
from django.urls import reverse
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from credits import checks
from credits.models import AuditRun
from kit import clock, mail
from kit.actor import Actor

log = structlog.get_logger("canopy.credits")

LOCK = 0x626F6F6B
TASK = "credits.tasks.carry_out_audit"
WAITS = timedelta(minutes=10)
LINES_KEPT = 1000
LINES_TOLD = 20


class State(models.TextChoices):
    WAITING = "waiting", "Waiting for a worker"
    RUNNING = "running", "Running"
    CLEAN = "clean", "The books are right"
    WRONG = "wrong", "The books are wrong"
    FAILED = "failed", "Could not be carried out"
    DIED = "died", "Died before its end"


GOING_ON = (State.WAITING, State.RUNNING)


def run(*, by: Actor) -> AuditRun:
    """Audit the books here and now. Staff are mailed when something is found. Raises what kept it from ending, which is on its row too."""
    return carry_out(AuditRun.objects.create(by_label=by.label[:160]).pk)


@transaction.atomic
def ask(*, by: Actor) -> tuple[AuditRun, bool]:
    """Have a worker audit the books; the audit, and whether it is a new one: while one goes on no second one is asked for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCK])
    unfinished = AuditRun.objects.filter(finished_at=None).order_by("-started_at")[:10]
    for audit, now in zip(unfinished, states(unfinished), strict=True):
        if now in GOING_ON:
            return audit, False
    audit = AuditRun.objects.create(by_label=by.label[:160])
    transaction.on_commit(lambda: _wake(audit.pk))
    return audit, True


def carry_out(pk: UUID) -> AuditRun:
    """Carry out an audit that was asked for. Nothing happens when that is done already or somebody else is at it."""
    audit = AuditRun.objects.get(pk=pk)
    if audit.finished_at is not None or not _lock(pk):
        return audit
    try:
        AuditRun.objects.filter(pk=pk).update(began_at=clock.now())
        return _finish(AuditRun.objects.get(pk=pk))
    except DatabaseError as problem:
        with suppress(DatabaseError):  # the database may be away: then the audit is seen to have died
            AuditRun.objects.filter(pk=pk).update(finished_at=clock.now(), error=f"{type(problem).__name__}: {problem}"[:300])
        raise
    finally:
        with suppress(DatabaseError):
            _unlock(pk)


def state(audit: AuditRun) -> State:
    return states([audit])[0]


def states(audits: Iterable[AuditRun]) -> list[State]:
    """What is going on with each of `audits`, in order."""
    locked = _locked()
    return [_state(audit, is_locked=_number(audit.pk) in locked) for audit in audits]


def _state(audit: AuditRun, *, is_locked: bool) -> State:
    if audit.finished_at is not None:
        return State.FAILED if audit.error else State.WRONG if audit.findings else State.CLEAN
    if is_locked:
        return State.RUNNING
    is_fresh = audit.began_at is None and clock.now() - audit.started_at < WAITS
    return State.WAITING if is_fresh else State.DIED


def _finish(audit: AuditRun) -> AuditRun:
    began = time.monotonic()
    findings = checks.audit()
    audit.findings = len(findings)
    audit.sheet = checks.sheet()
    audit.report = [{"law": one.law, "subject": one.subject, "detail": one.detail} for one in findings[:LINES_KEPT]]
    audit.finished_at = clock.now()
    with transaction.atomic():
        audit.save(update_fields=["finished_at", "findings", "report", "sheet"])
        if findings:
            _tell_staff(audit, findings)
    log.info("books audited", findings=len(findings), seconds=round(time.monotonic() - began, 1), audit=str(audit.pk))
    for finding in findings[:LINES_TOLD]:
        log.error("the books are wrong", finding=str(finding), findings=len(findings), audit=str(audit.pk))
    return audit


def _tell_staff(audit: AuditRun, findings: list[checks.Finding]) -> None:
    people = get_user_model().objects.filter(is_staff=True, is_active=True).order_by("pk")
    to = [settings.STAFF_EMAIL] if settings.STAFF_EMAIL else list(people.values_list("email", flat=True))
    if not to:
        log.error("nobody to tell that the books are wrong", audit=str(audit.pk))
        return
    path = reverse("admin:credits_auditrun_change", args=[audit.pk], urlconf=settings.STAFF_URLCONF)
    context = {
        "audit": audit,
        "findings": findings[:LINES_TOLD],
        "more": max(0, len(findings) - LINES_TOLD),
        "url": f"{settings.SCHEME}://{settings.STAFF_HOST}{path}",
    }
    mail.send(to=to, template="mails/books_audit", context=context, key=f"audit:{audit.pk}")


def _wake(pk: UUID) -> None:
    try:
        current_app.send_task(TASK, [str(pk)], retry=False)
    except (KombuError, CeleryError, RedisError, OSError) as error:
        log.warning("audit not handed over", cause=type(error).__name__)
        AuditRun.objects.filter(pk=pk).update(finished_at=clock.now(), error="No worker could be asked: the queue does not answer.")


# --- The lock -----------------------------------------------------------------------------------------------------------


def _number(pk: UUID) -> int:
    return pk.int & 0x7FFFFFFF


def _lock(pk: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, _number(pk)])
        return bool(cursor.fetchone()[0])


def _unlock(pk: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, _number(pk)])


def _locked() -> set[int]:
    """The numbers of the audits somebody is at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCK],
        )
        return {int(number) for (number,) in cursor.fetchall()}
