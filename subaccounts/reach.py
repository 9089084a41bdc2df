"""How far a person reaches: into which sub-accounts, in which role, those to come included.

`AccessToAll` is the promise, an `Access` for each sub-account what is looked up.
"""

from collections.abc import Iterable

from django.db import transaction

from agency import audit
from agency.models import Agency, User
from kit.actor import Actor
from subaccounts.models import Access, AccessToAll, SubAccount


@transaction.atomic
def grant(*, user: User, agency: Agency, role: str, by: Actor, sub_accounts: Iterable[SubAccount] = (), to_all: bool = False) -> None:
    """Let `user` into `sub_accounts`, or with `to_all` into every client of the agency and those to come, on the record.

    The agency's own workspace is not one of its clients: into it one is let by name only. `role` is a client's, or
    `Access.GRANTED` for an Agency Member. Where the person is in already their role stays.
    """
    if to_all:
        # Whoever opens a sub-account locks the agency's row before asking who goes into all: it is either listed here or follows.
        Agency.objects.select_for_update(no_key=True, of=("self",)).get(pk=agency.pk)
        AccessToAll.objects.update_or_create(agency=agency, user=user, defaults={"role": role})
        _let_in(user, SubAccount.objects.of(agency).clients().ready(), role)
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


@transaction.atomic
def no_longer_all(*, user: User, agency: Agency, by: Actor) -> None:
    """From now on only the sub-accounts `user` is in at this moment: those to come are not among them."""
    if AccessToAll.objects.filter(agency=agency, user=user).delete()[0]:
        audit.record("access.limited", by=by, agency=agency, subject=user.email, before={"sub_accounts": "all"})


@transaction.atomic
def take(*, user: User, agency: Agency, sub_accounts: Iterable[SubAccount], by: Actor) -> None:
    """Shut `user` out of `sub_accounts`, with their next request, on the record. Whoever went into all goes into the rest only."""
    no_longer_all(user=user, agency=agency, by=by)
    for access in Access.objects.filter(user=user, sub_account__in=list(sub_accounts), sub_account__agency=agency).select_related(
        "sub_account"
    ):
        taken_from = access.sub_account.public_id
        audit.record("access.taken", by=by, agency=agency, sub_account_id=taken_from, subject=user.email, before={"role": access.role})
        access.delete()


def change_role(*, user: User, agency: Agency, role: str) -> None:
    """The client's role `role` in every sub-account `user` is in, and in those to come. The record is the caller's."""
    Access.objects.filter(user=user, sub_account__agency=agency).update(role=role)
    AccessToAll.objects.filter(user=user, agency=agency).update(role=role)


def take_everything(*, user: User, agency: Agency) -> None:
    """No sub-account of `agency` is left to `user`. The record is the caller's."""
    AccessToAll.objects.filter(user=user, agency=agency).delete()
    Access.objects.filter(user=user, sub_account__agency=agency).delete()
