"""Changing what an agency knows about a client and who pays for it."""

from typing import Any

from django.db import transaction

from agency import audit
from kit.actor import Actor
from subaccounts.models import SubAccount

EDITABLE = (
    "name",
    "contact_first_name",
    "contact_last_name",
    "contact_email",
    "business_name",
    "city",
    "state",
    "postal_code",
    "description",
    "balance_visibility",
    "members_may_buy",
)


@transaction.atomic
def edit(*, sub_account: SubAccount, by: Actor, **changes: Any) -> SubAccount:
    """Write what differs of `EDITABLE` fields; nothing else can be changed here. The login's own e-mail stays as it is."""
    unknown = set(changes) - set(EDITABLE)
    if unknown:
        raise TypeError(f"cannot be edited: {', '.join(sorted(unknown))}")
    stored = SubAccount.objects.select_for_update(no_key=True, of=("self",)).get(pk=sub_account.pk)
    changed = {field: value for field, value in changes.items() if getattr(stored, field) != value}
    before = {field: getattr(stored, field) for field in changed}
    for field, value in changed.items():
        setattr(stored, field, value)
    if changed:
        stored.save(update_fields=list(changed))
    audit.record(
        "sub_account.edited",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=stored.name,
        before=before,
        after=changed,
    )
    return stored
