"""The audit log: one record for every change of money, roles, access, brand, keys, packages and status."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction

from agency.models import Agency, AuditRecord
from kit import clock
from kit.actor import Actor
from kit.ids import uuid7

log = structlog.get_logger("canopy.audit")

REDACTED = "[redacted]"
# How many records of an agency one night removes at most.
MOST_FORGOTTEN = 50_000

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|(^|_)(api_?key|private_?key|signing_?key|hash)$|_hash(es)?$|authorization|cookie|otp$",
    re.IGNORECASE,
)
# Whole secrets and what is derived from them, never the few letters by which a key is told from others.
_SECRET_LOOKS = re.compile(
    r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{6,}|\bsk-[A-Za-z0-9_-]{16,}|whsec_[A-Za-z0-9+/=_-]{6,}|\bcnp_[A-Za-z0-9+/=_.-]{24,}"
    r"|\b(?:pbkdf2_sha256|argon2(?:id)?|bcrypt_sha256|scrypt)\$|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+|__Host-[\w-]+=|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b[0-9a-f]{64}\b"
)


class SecretInTheLog(Exception):
    """A deed handed a secret to the audit log. A mistake in our code, found while it is written and tested."""


def record(
    action: str,
    *,
    by: Actor,
    agency: Agency | None,
    sub_account_id: UUID | None = None,
    subject: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditRecord:
    """Write what happened, in the transaction of the change itself.

    Whatever is named like a secret or looks like one raises `SecretInTheLog` in development and in tests; in production it is blanked,
    since the deed itself must not fail by it.
    """
    at = clock.now()
    return AuditRecord.objects.create(
        id=uuid7(at.timestamp()),
        at=at,
        action=action,
        agency=agency,
        sub_account_id=sub_account_id,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_label=by.label[:160],
        on_behalf_of=by.on_behalf_of[:160],
        address=by.address[:64],
        subject=_without_secrets(action, subject[:200]),
        before=_without_secrets(action, before or {}),
        after=_without_secrets(action, after or {}),
    )


def forget_past() -> int:
    """Remove what is older than its agency keeps, as far as one night goes; each agency's log says so. Answers how many records."""
    gone = 0
    for agency_id in Agency.objects.exclude(audit_kept_days=None).order_by("id").values_list("pk", flat=True):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT public.agency_auditrecord_forget(%s, %s)", [agency_id, MOST_FORGOTTEN])
            gone += cursor.fetchone()[0]
    return gone


@transaction.atomic
def keep_for(*, agency: Agency, days: int | None, by: Actor) -> None:
    """Keep the agency's records for so many days, None for ever. Nothing is removed before the coming night."""
    stored = Agency.objects.select_for_update(no_key=True, of=("self",)).get(pk=agency.pk)
    before = stored.audit_kept_days
    stored.audit_kept_days = agency.audit_kept_days = days
    stored.save(update_fields=["audit_kept_days"])
    record(
        "audit.kept_changed",
        by=by,
        agency=agency,
        subject=agency.name,
        before={"audit_kept_days": before or "for ever"},
        after={"audit_kept_days": days or "for ever"},
    )


def _without_secrets(action: str, what: Any) -> Any:
    found = list(_secrets(what))
    if not found:
        return what
    if settings.DEBUG or settings.TESTING:
        raise SecretInTheLog(f"{action} would put a secret on record: {', '.join(found)}")
    log.error("a secret was kept out of the audit log", action=action, fields=found)
    return _blanked(what)


def _secrets(what: Any, name: str = "") -> Iterator[str]:
    """The names of the fields that must not be on record."""
    if isinstance(what, Mapping):
        for key, value in what.items():
            yield from _secrets(value, str(key))
    elif isinstance(what, list | tuple):
        for value in what:
            yield from _secrets(value, name)
    elif _is_secret(name, what):
        yield name or "text"


def _blanked(what: Any, name: str = "") -> Any:
    if isinstance(what, Mapping):
        return {key: _blanked(value, str(key)) for key, value in what.items()}
    if isinstance(what, list | tuple):
        return [_blanked(value, name) for value in what]
    return REDACTED if _is_secret(name, what) else what


def _is_secret(name: str, value: Any) -> bool:
    """A flag or a number says about a secret, it is none."""
    return isinstance(value, str) and value != "" and bool(_SECRET_NAME.search(name) or _SECRET_LOOKS.search(value))
