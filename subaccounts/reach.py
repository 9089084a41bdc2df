"""How far a person reaches: into which sub-accounts, in which role, those to come included.

`AccessToAll` is the promise, an `Access` for each sub-account what is looked up: both are written here only.
"""

from collections.abc import Iterable

from django.db import transaction

from agency import audit
from agency.models import Agency, User
from kit.actor import Actor
from subaccounts.models import Access, AccessToAll, SubAccount


@transaction.atomic
def grant(*, user: User, agency: Agency, role: str, by: Actor, sub_accounts: Iterable[SubAccount] = (), to_all: bool = False) -> None:
    """Let `user` into `sub_accounts`, or with `to_all` into every one of the agency and those to come, on the record.

    `role` is a client's, or `Access.GRANTED` for an Agency Member. Where the person is in already their role stays.
    """
    if to_all:
        # Whoever opens a sub-account locks the agency's row before asking who goes into all: it is either listed here or follows.
        Agency.objects.select_for_update(no_key=True, of=("self",)).get(pk=agency.pk)
        AccessToAll.objects.update_or_create(agency=agency, user=user, defaults={"role": role})
        _let_in(user, SubAccount.objects.of(agency).ready(), role)
        audit.record("access.granted", by=by, agency=agency, subject=user.email, after={"role": role, "sub_accounts": "all"})
        return
    known = set(user.accesses.values_list("sub_account_id", flat=True))
    new = [sub_account for sub_account in sub_accounts if sub_account.pk not in known]
    _let_in(user, new, role)
    for sub_account in new:
        audit.record("access.granted", by=by, agency=agency, sub_account_id=sub_account.public_id, subject=user.email, after={"role": role})


def follow(sub_account: SubAccount) -> None:
    """Let everybody who goes into all sub-accounts into this new one; part of opening it, with the agency's row locked."""
    for promise in AccessToAll.objects.filter(agency=sub_account.agency_id).select_related("user"):
        _let_in(promise.user, [sub_account], promise.role)


def _let_in(user: User, sub_accounts: Iterable[SubAccount], role: str) -> None:
    rows = [Access(sub_account=sub_account, user=user, role=role) for sub_account in sub_accounts]
    Access.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
