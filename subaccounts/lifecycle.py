"""Pausing a sub-account and taking it up again, and the gate that everything passes before it acts for one (decision 1)."""

from django.db import connection, transaction

from agency import audit
from agency.models import Agency
from kit import clock, events
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts.models import SubAccount, Suspension

_AGENCY_GATE = 0x5CA7F  # the same for a whole agency
_GATE = 0x5CA7E  # the first half of the advisory lock's key: "may this sub-account act"


class Suspended(Refusal):
    """The sub-account is on pause or removed, or its agency deleted: nothing may act or spend for it."""

    code = "suspended"
    status = 403
    default_message = "This account is paused. Nothing was changed or sent."


class AlreadySuspended(Refusal):
    code = "already_suspended"
    status = 409


class NotSuspended(Refusal):
    code = "not_suspended"
    status = 409


class PrimaryStays(Refusal):
    code = "primary_stays"
    status = 409


def may_act(sub_account: SubAccount) -> None:
    """Raises `Suspended` unless `sub_account` may act right now, whatever the object in hand remembers.

    Ask before the work, and again inside the transaction that spends: there the answer holds until the commit, because a
    suspension, and the deletion of its agency, wait for it.
    """
    if connection.in_atomic_block:
        _lock(sub_account, shared=True)
    ready = (
        SubAccount.objects.ready()
        .filter(pk=sub_account.pk, agency__deleted_at=None)
        .exclude(suspensions__lifted_at=None, suspensions__isnull=False)
    )
    if not ready.exists():
        raise Suspended


@transaction.atomic
def suspend(*, sub_account: SubAccount, policy: str = Suspension.READ_ONLY, reason: str = "other", note: str = "", by: Actor) -> Suspension:
    """Pause at once; all data is kept. Raises `PrimaryStays` and `AlreadySuspended`; the database refuses a note over 150 characters."""
    if sub_account.is_primary:
        raise PrimaryStays(f"{sub_account.name} is the agency's own account and cannot be suspended.")
    _lock(sub_account, shared=False)
    if Suspension.objects.filter(sub_account=sub_account, lifted_at=None).exists():
        raise AlreadySuspended(f"{sub_account.name} is already suspended. Nothing was changed.")
    suspension = Suspension.objects.create(
        sub_account=sub_account, policy=policy, reason=reason, note=note, suspended_at=clock.now(), suspended_by=by.label[:160]
    )
    audit.record(
        "sub_account.suspended",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"policy": policy, "reason": reason, "note": note},
    )
    _tell("sub_account.suspended", sub_account, suspension)
    _forget(sub_account)
    return suspension


@transaction.atomic
def restore(*, sub_account: SubAccount, by: Actor) -> Suspension:
    """Lift the suspension in force, at once. Raises `NotSuspended`."""
    _lock(sub_account, shared=False)
    suspension = Suspension.objects.filter(sub_account=sub_account, lifted_at=None).first()
    if suspension is None:
        raise NotSuspended(f"{sub_account.name} is not suspended. Nothing was changed.")
    suspension.lifted_at = clock.now()
    suspension.lifted_by = by.label[:160]
    suspension.save(update_fields=["lifted_at", "lifted_by"])
    audit.record(
        "sub_account.restored",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        before={"policy": suspension.policy, "reason": suspension.reason, "note": suspension.note},
    )
    _tell("sub_account.restored", sub_account, suspension)
    _forget(sub_account)
    return suspension


def _tell(type: str, sub_account: SubAccount, suspension: Suspension) -> None:
    data = {"name": sub_account.name, "policy": suspension.policy, "reason": suspension.reason}
    events.publish(type, agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id, data=data)


def close_agency(agency: Agency) -> None:
    """Until the transaction ends nobody spends for any sub-account of `agency`: whoever does now is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_AGENCY_GATE, agency.pk])


def _lock(sub_account: SubAccount, *, shared: bool) -> None:
    """Held until the transaction ends. Spenders share it, so they do not wait for each other, only for a suspension or a deletion."""
    with connection.cursor() as cursor:
        if shared:
            gates = [_AGENCY_GATE, sub_account.agency_id, _GATE, sub_account.pk]
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s), pg_advisory_xact_lock_shared(%s, %s)", gates)
        else:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_GATE, sub_account.pk])


def _forget(sub_account: SubAccount) -> None:
    sub_account.__dict__.pop("suspension", None)
