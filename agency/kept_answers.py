"""Answers to requests with an `Idempotency-Key`: kept for a day, so that a request sent twice is done once."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import OperationalError, transaction

from agency.models import ApiKey, KeptAnswer
from kit import clock, sealed
from kit.refusal import Refusal

KEPT_FOR = timedelta(hours=24)
_PURPOSE = "kept answer"
_LOCK_NOT_AVAILABLE = "55P03"


class KeyReusedForOther(Refusal):
    code = "idempotency_key_reused"
    status = 409
    default_message = "This Idempotency-Key was used for another request. Nothing was changed. Use a new key for each request."


class InProgress(Refusal):
    code = "in_progress"
    status = 409
    retry_after = 1
    default_message = "The first request with this Idempotency-Key is still being worked on. Ask again in a moment."


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def begin(*, api_key: ApiKey, key: str, request_hash: str) -> Answer | KeptAnswer:
    """The answer that was given before, or the row to `keep` the coming one in. Inside the transaction of the deed.

    A second request waits here until the first is done. Raises `KeyReusedForOther`, and `InProgress` after waiting in vain.
    """
    now = clock.now()
    KeptAnswer.objects.filter(api_key=api_key, key=key, at__lte=now - KEPT_FOR).delete()
    mine = KeptAnswer(api_key=api_key, key=key, request_hash=request_hash, at=now)
    try:
        with transaction.atomic():
            KeptAnswer.objects.bulk_create([mine], ignore_conflicts=True)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
            raise InProgress from error
        raise
    stored = KeptAnswer.objects.get(api_key=api_key, key=key)
    if stored.request_hash != request_hash:
        raise KeyReusedForOther
    if stored.status is None:
        return stored
    body = sealed.unseal(bytes(stored.body).decode(), purpose=_PURPOSE)
    if body is None:  # sealed with a SECRET_KEY that is not known any more
        raise KeyReusedForOther
    return Answer(stored.status, stored.headers, body.encode())


def keep(row: KeptAnswer, answer: Answer) -> None:
    """Encrypted: an answer may hold what is shown only once."""
    row.status, row.headers = answer.status, answer.headers
    row.body = sealed.seal(answer.body.decode(), purpose=_PURPOSE).encode()
    row.save(update_fields=["status", "headers", "body"])


def forget_old() -> int:
    """Delete what is older than a day; how many. Safe to run at any time."""
    return KeptAnswer.objects.filter(at__lte=clock.now() - KEPT_FOR).delete()[0]
