"""What happens to people once they are in: another role, removal, another address to sign in with."""

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from agency import audit, ownership, sessions
from agency.access import CLIENT_ROLES, Role
from agency.models import Agency, ApiKey, Membership, User
from agency.models.user import normal_address
from kit import events, mail
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import addresses, assist, reach
from subaccounts.models import Access, Assist, SubAccount

TEAM_ROLES = (Role.ADMIN, Role.MEMBER)


class OwnerStays(Refusal):
    """The Owner keeps role and place until they hand the agency over."""

    code = "owner_stays"
    default_message = "The Owner cannot be removed or given another role. Transfer the ownership first; nothing was changed."


class NotOneself(Refusal):
    code = "not_oneself"
    default_message = "You cannot change your own role or remove yourself. Ask another Admin or the Owner; nothing was changed."


class NotTheirRole(Refusal):
    """An agency role for a client's person, the other way round, or one that nobody is given."""

    code = "not_their_role"
    default_message = "This role is not one this person can have. Nothing was changed."


class NotHere(Refusal):
    """The person has left in the meantime, or was never here."""

    code = "not_here"
    status = 404
    default_message = "This person is not among your users any more. Nothing was changed."


class NothingLeft(Refusal):
    """A client without any sub-account is nobody: removing them is what is meant."""

    code = "nothing_left"
    status = 409
    default_message = "This would leave them without any sub-account. Remove the person instead; nothing was changed."


class AddressKnown(Refusal):
    code = "address_known"
    status = 409
    default_message = "Somebody else signs in to one of your sub-accounts with this address. Nothing was changed."


@transaction.atomic
def change_role(*, user: User, agency: Agency, role: str, by: Actor) -> None:
    """Another role of the same kind, from their next request on; the role they have changes nothing.

    An Admin who becomes a Member starts without any sub-account, and a Member who becomes an Admin needs no grants any more.
    Raises `OwnerStays`, `NotOneself`, `NotTheirRole` and `NotHere`.
    """
    _not_oneself(user, by)
    before = _change_in_team(user, agency, role, by) if user.realm_id is None else _change_of_client(user, agency, role)
    if before != [role]:
        audit.record(
            "user.role_changed", by=by, agency=agency, subject=user.email, before={"role": ", ".join(before)}, after={"role": role}
        )


@transaction.atomic
def remove(*, user: User, agency: Agency, by: Actor) -> None:
    """Nothing of `agency` is left to `user`: place, roles, sessions and open assists end at once. Their API keys go on working.

    Raises `OwnerStays`, `NotOneself` and `NotHere`.
    """
    _not_oneself(user, by)
    if user.realm_id is None:
        membership = _membership(user, agency)
        held = [membership.role]
        membership.delete()
        ownership.settle_for(agency=agency, user=user, by=by)
    else:
        held = _client_roles(user, agency)
    reach.take_everything(user=user, agency=agency)
    sessions.end_all(user)
    assist.end_all(user=user, by=by, how=Assist.LOST)
    audit.record("user.removed", by=by, agency=agency, subject=user.email, before={"role": ", ".join(held)})
    data = {"user_id": str(user.public_id), "name": user.name, "email": user.email, "role": held[0]}
    events.publish("user.removed", agency_id=agency.public_id, data=data)


def keys_of(user: User, agency: Agency) -> list[ApiKey]:
    """The keys this person made that still open something; whoever removes them decides about these."""
    return list(ApiKey.objects.filter(agency=agency, created_by=user, revoked_at=None).order_by("name", "id"))


@transaction.atomic
def take_accounts(*, user: User, agency: Agency, sub_accounts: list[SubAccount], by: Actor) -> None:
    """Shut a person out of some sub-accounts; the others stay theirs. Raises `NothingLeft` for the last ones of a client."""
    User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
    others = Access.objects.filter(user=user, sub_account__agency=agency, sub_account__status=SubAccount.READY)
    if user.realm_id is not None and not others.exclude(sub_account__in=sub_accounts).exists():
        raise NothingLeft
    reach.take(user=user, agency=agency, sub_accounts=sub_accounts, by=by)


@transaction.atomic
def change_address(*, user: User, agency: Agency, email: str, by: Actor) -> None:
    """Another address for a client of `agency` to sign in with; their password stays, all their sessions end.

    The old and the new address are told. Raises `NotHere` for whoever is no client of it, and `AddressKnown`.
    """
    if user.realm_id != agency.pk:
        raise NotHere
    locked = User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)
    before, after = locked.email, normal_address(email)
    if before == after:
        return
    known = User.objects.known_as(after, realm=agency)
    if known is not None and known != locked:
        raise AddressKnown
    try:
        with transaction.atomic():
            User.objects.filter(pk=locked.pk).update(email=after)
    except IntegrityError as error:  # somebody came by this address in this very moment
        raise AddressKnown from error
    EmailAddress.objects.filter(user=locked).delete()
    EmailAddress.objects.create(user=locked, email=after, primary=True, verified=True)  # their agency vouches for it
    sessions.end_all(locked)
    audit.record("user.address_changed", by=by, agency=agency, subject=after, before={"email": before}, after={"email": after})
    for address in (before, after):
        _tell_of_address(locked, agency, to=address, before=before, after=after)
    user.refresh_from_db()


def _not_oneself(user: User, by: Actor) -> None:
    if by.kind == "user" and by.id == str(user.public_id):
        raise NotOneself


def _membership(user: User, agency: Agency) -> Membership:
    """Locked, so that nobody becomes the Owner between this look and what follows."""
    membership = Membership.objects.select_for_update().filter(user=user, agency=agency).first()
    if membership is None:
        raise NotHere
    if membership.role == Role.OWNER:
        raise OwnerStays
    return membership


def _change_in_team(user: User, agency: Agency, role: str, by: Actor) -> list[str]:
    membership = _membership(user, agency)
    if role not in TEAM_ROLES:
        raise NotTheirRole
    before = membership.role
    if role != before:
        membership.role = role
        membership.save(update_fields=["role"])
        reach.take_everything(user=user, agency=agency)
        assist.end_all(user=user, by=by, how=Assist.LOST)
    return [before]


def _client_roles(user: User, agency: Agency) -> list[str]:
    held = Access.objects.filter(user=user, sub_account__agency=agency, user__realm=agency)
    roles = sorted(set(held.values_list("role", flat=True)))
    if not roles:
        raise NotHere
    return roles


def _change_of_client(user: User, agency: Agency, role: str) -> list[str]:
    before = _client_roles(user, agency)
    if role not in CLIENT_ROLES:
        raise NotTheirRole
    reach.change_role(user=user, agency=agency, role=role)
    return before


def _tell_of_address(user: User, agency: Agency, *, to: str, before: str, after: str) -> None:
    first = Access.objects.filter(user=user, sub_account__agency=agency).select_related("sub_account").order_by("id").first()
    url = addresses.primary_url(first.sub_account, "/") if first else ""
    context = {"user": user, "agency": agency, "before": before, "after": after, "url": url}
    mail.send(to=to, template="mails/address_changed", context=context, sender_name=agency.name)
