"""The audit log: one record for every change of money, roles, access, brand, keys, packages and status."""

from typing import Any
from uuid import UUID

from agency.models import Agency, AuditRecord
from kit.actor import Actor


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
    """Write what happened, in the transaction of the change itself. Never put a secret in `before` or `after`."""
    return AuditRecord.objects.create(
        action=action,
        agency=agency,
        sub_account_id=sub_account_id,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_label=by.label[:160],
        on_behalf_of=by.on_behalf_of[:160],
        address=by.address[:64],
        subject=subject[:200],
        before=before or {},
        after=after or {},
    )
