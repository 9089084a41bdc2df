"""The people of one sub-account as they manage each other: who is in, another role, removal. Inviting is `invitations`."""

from dataclasses import dataclass

from django.db import transaction

from agency import audit, sessions
from agency.access import CLIENT_ROLES, Role
from agency.models import User
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import reach
from subaccounts.models import Access, AccessToAll, Invitation, SubAccount


class NotYourself(Refusal):
    """Nobody takes their own role or access away: so somebody who manages the others is always left."""

    code = "not_yourself"
    status = 403
    default_message = "You cannot change your own role or remove yourself. Ask a colleague or your agency; nothing was changed."


class ManagedByAgency(Refusal):
    """The agency let this person in, and decides about them."""

    code = "managed_by_agency"
    status = 403
    default_message = "Your agency gave this person access and decides about it. Nothing was changed."


class NotHere(Refusal):
    code = "not_here"
    status = 404
    default_message = "This person is not among your people any more. Nothing was changed."


@dataclass(frozen=True)
class Colleague:
    """`is_managed`: the agency let them into all its sub-accounts, so it decides about them."""

    access: Access
    is_managed: bool

    @property
    def user(self) -> User:
        return self.access.user


def of(sub_account: SubAccount) -> list[Colleague]:
    """Everyone of the client with access, Admins first."""
    accesses = Access.objects.filter(sub_account=sub_account, role__in=CLIENT_ROLES).select_related("user")
    to_all = set(AccessToAll.objects.filter(agency=sub_account.agency_id).values_list("user_id", flat=True))
    found = [Colleague(access, access.user_id in to_all) for access in accesses]
    return sorted(found, key=lambda one: (one.access.role != Role.SUB_ACCOUNT_ADMIN, one.user.name.lower(), one.access.pk))


def invited_to(sub_account: SubAccount) -> list[Invitation]:
    """What its own people sent and nobody has accepted, the newest first."""
    return list(Invitation.objects.unsettled().filter(invited_in=sub_account).select_related("invited_by").order_by("-id"))


@transaction.atomic
def change_role(*, sub_account: SubAccount, user: User, role: str, by: Actor) -> None:
    """The client's role `role` here, from their next request on. Raises `NotYourself`, `ManagedByAgency`, `NotHere`."""
    access = _taken(sub_account, user, by)
    if role not in CLIENT_ROLES:
        raise NotHere()
    before, access.role = access.role, role
    access.save(update_fields=["role"])
    audit.record(
        "access.role_changed",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=user.email,
        before={"role": before},
        after={"role": role},
    )


@transaction.atomic
def remove(*, sub_account: SubAccount, user: User, by: Actor) -> None:
    """No access here any more; all their sessions end. Raises `NotYourself`, `ManagedByAgency`, `NotHere`."""
    _taken(sub_account, user, by)
    reach.take(user=user, agency=sub_account.agency, sub_accounts=[sub_account], by=by)
    sessions.end_all(user)


def _taken(sub_account: SubAccount, user: User, by: Actor) -> Access:
    """Their access, with everybody else's here held still: of two Admins who remove each other one comes too late."""
    SubAccount.objects.select_for_update(no_key=True, of=("self",)).get(pk=sub_account.pk)
    accesses = Access.objects.filter(sub_account=sub_account, role__in=CLIENT_ROLES)
    if by.kind == "user" and by.id == str(user.public_id):
        raise NotYourself()
    if by.kind == "user" and not accesses.filter(user__public_id=by.id, role=Role.SUB_ACCOUNT_ADMIN).exists():
        raise NotHere()
    access = accesses.filter(user=user).first()
    if access is None:
        raise NotHere()
    if AccessToAll.objects.filter(agency=sub_account.agency_id, user=user).exists():
        raise ManagedByAgency()
    return access
