"""Inviting people by a link: who may come in, as what, until when, and what happens when they do.

A deed takes the agency's row first and the invitation second, so of several at once none waits for another that waits for it.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import F
from django.urls import reverse

from agency import audit
from agency.access import AGENCY_ROLES, CLIENT_ROLES, Can, Role, may
from agency.models import Agency, Membership, User
from agency.models.user import normal_address
from kit import clock, events, mail, ratelimit
from kit.actor import Actor, system
from kit.refusal import Refusal
from subaccounts import addresses, opening, reach
from subaccounts.models import Access, Invitation, SubAccount
from subaccounts.tenancy import leave

LASTS = timedelta(days=7)
PER_AGENCY, PER_CLIENT, PER_ADDRESS = 50, 20, 5
HOUR = 3600
CLOCK = system("End of an invitation")


class NotAssignable(Refusal):
    """A role that no invitation gives, or one with the wrong sub-accounts."""

    code = "not_assignable"
    default_message = "An invitation gives one of four roles, a client's with at least one sub-account. Nobody was invited."


class AlreadyInvited(Refusal):
    code = "already_invited"
    status = 409
    default_message = "There is an open invitation to this address already. Send it again or revoke it under Pending."


class AlreadyIn(Refusal):
    """The person has what the invitation would give."""

    code = "already_in"
    status = 409


class AddressKnown(Refusal):
    """A client of the agency already: access is added at once, without a link (`add_access`)."""

    code = "address_known"
    status = 409

    def __init__(self, user: User) -> None:
        super().__init__(f"{user.email} signs in to a workspace of yours already. Add access instead of inviting again.")
        self.user = user


class WhiteLabelNotIncluded(Refusal):
    code = "white_label_not_included"
    status = 403
    default_message = "White label is not part of your plan. Nobody was invited."


class TooManyInvitations(Refusal):
    code = "too_many_invitations"
    status = 429
    default_message = "Many invitations were sent within the last hour. Nothing was sent; please go on in an hour."
    retry_after = HOUR


class Settled(Refusal):
    """Accepted or revoked already, so there is nothing left to send again or to revoke."""

    code = "invitation_settled"
    status = 409
    default_message = "This invitation is no longer open. Nothing was changed."


class LinkOver(Refusal):
    """The link opened something once, or would have: it is used, revoked, too old or replaced."""

    code = "invitation_over"
    status = 410
    default_message = "This invitation is no longer open. Nothing was changed."


class NotForYou(Refusal):
    """The link is bound to another address."""

    code = "invitation_of_another"
    status = 403
    default_message = "This invitation is for another e-mail address. Nothing was changed."


class NoLongerValid(Refusal):
    """What the invitation promised cannot be given any more: the message says why."""

    code = "invitation_not_valid"
    status = 403


class InAnotherTeam(Refusal):
    code = "in_another_team"
    status = 409
    default_message = "You work in a team already, and one address belongs to one team. Nothing was changed."


class SignInFirst(Refusal):
    """Somebody of the platform's realm: the link alone opens nothing of theirs."""

    code = "sign_in_first"
    status = 403
    default_message = "Sign in first. Nothing was changed."


@dataclass(frozen=True)
class Newcomer:
    """What somebody without an account says about themselves. `password` is checked already."""

    first_name: str
    last_name: str
    password: str


@dataclass(frozen=True)
class Joined:
    """Who came in, and the workspace they came for; None for the agency's team. `is_new`: the link made the person."""

    user: User
    sub_account: SubAccount | None
    is_new: bool


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- Inviting ---------------------------------------------------------------------------------------------------------------


@transaction.atomic
def invite(
    *,
    agency: Agency,
    email: str,
    role: str,
    inviter: User,
    by: Actor,
    sub_accounts: Iterable[SubAccount] = (),
    covers_all: bool = False,
    invited_in: SubAccount | None = None,
) -> Invitation:
    """Mail a link that lets `email` into the team, or into `sub_accounts` of the agency (`covers_all`: into every one).

    `invited_in` is the sub-account whose own people invite: they learn nothing about who else is known to the agency. Raises
    `NotAssignable`, `AlreadyIn`, `AddressKnown`, `AlreadyInvited` and `TooManyInvitations`; then nobody was invited.
    """
    agency, email, named = locked(agency), normal_address(email), list(sub_accounts)
    _check_role(agency, role, named, covers_all)
    _check_news(agency, email, role, invited_in)
    invitation = Invitation(agency=agency, email=email, role=role, covers_all=covers_all, invited_in=invited_in, invited_by=inviter)
    return _send_new(invitation, named, by=by)


@transaction.atomic
def invite_sub_account(
    *,
    agency: Agency,
    email: str,
    business_name: str,
    slug: str,
    inviter: User,
    by: Actor,
    first_name: str = "",
    last_name: str = "",
    is_white_label: bool = False,
) -> Invitation:
    """Mail a link with which a client opens a sub-account of its own. Its place and its web address are held meanwhile.

    Raises `opening.SubAccountLimitReached`, `opening.EmailKnown`, `addresses.BadSlug`, `addresses.SlugTaken`,
    `WhiteLabelNotIncluded`, `AlreadyInvited` and `TooManyInvitations`; then nobody was invited.
    """
    agency, email = locked(agency), normal_address(email)
    opening.check_limit(agency)
    addresses.check_slug(slug)
    opening.check_email(agency, email)
    if is_white_label and not agency.plan.has_white_label:
        raise WhiteLabelNotIncluded()
    opens = {
        "business_name": business_name,
        "slug": slug,
        "first_name": first_name,
        "last_name": last_name,
        "is_white_label": is_white_label,
    }
    invitation = Invitation(agency=agency, email=email, role=Role.SUB_ACCOUNT_ADMIN, opens=opens, invited_by=inviter)
    return _send_new(invitation, [], by=by)


@transaction.atomic
def add_access(
    *, agency: Agency, user: User, role: str, by: Actor, sub_accounts: Iterable[SubAccount] = (), covers_all: bool = False
) -> None:
    """Let a client the agency knows into more of its sub-accounts at once, and mail them that. Raises `NotAssignable`, `AlreadyIn`."""
    named = list(sub_accounts)
    _check_role(agency, role, named, covers_all)
    if role not in CLIENT_ROLES or user.realm_id != agency.pk:
        raise NotAssignable()
    known = set(user.accesses.values_list("sub_account_id", flat=True))
    if not covers_all and all(sub_account.pk in known for sub_account in named):
        raise AlreadyIn(f"{user.name} has access to this already. To change a role, open their page under Users.")
    reach.grant(user=user, agency=agency, role=role, sub_accounts=named, to_all=covers_all, by=by)
    target = named[0] if named else agency.sub_accounts.get(is_primary=True)
    context = {
        "agency": agency,
        "user": user,
        "inviter": by.label.partition(" <")[0],
        "role": Role(role).label,
        "sub_accounts": [] if covers_all else named,
        "url": addresses.primary_url(target, "/"),
    }
    mail.send(to=user.email, template="mails/access_added", context=context, sender_name=agency.name)


@transaction.atomic
def resend(*, invitation: Invitation, inviter: User, by: Actor) -> Invitation:
    """Mail a new link that is good for seven days; the former one is dead. Whoever sends it again answers for it.

    One that has expired is open again, if there is still place for what it opens. Raises `Settled`, `TooManyInvitations`,
    `opening.SubAccountLimitReached` and `addresses.SlugTaken`.
    """
    agency = locked(invitation.agency)
    invitation = _unsettled(invitation)
    if not invitation.is_open and invitation.opens is not None:
        opening.check_limit(agency)
        addresses.check_slug(invitation.opens["slug"])
    _check_pace(invitation)
    invitation.former_hashes = [*invitation.former_hashes, invitation.token_hash]
    invitation.invited_by = inviter
    token = _renew(invitation)
    invitation.save()
    _record("invitation.sent_again", invitation, by=by)
    _mail(invitation, token)
    return invitation


@transaction.atomic
def revoke(*, invitation: Invitation, by: Actor) -> None:
    """The link opens nothing from now on; place and web address are free. Raises `Settled`."""
    locked(invitation.agency)
    invitation = _unsettled(invitation)
    if not Invitation.objects.unsettled().filter(pk=invitation.pk).update(revoked_at=clock.now()):
        raise Settled()
    _record("invitation.revoked", invitation, by=by)


@transaction.atomic
def expire(*, invitation: Invitation, by: Actor = CLOCK) -> None:
    """Write down that its seven days are over, so that the address can be invited anew. It opens nothing either way."""
    ended = Invitation.objects.unsettled().filter(pk=invitation.pk, expires_at__lte=clock.now())
    if ended.update(revoked_at=F("expires_at")):
        _record("invitation.expired", invitation, by=by)


def locked(agency: Agency) -> Agency:
    return Agency.objects.select_for_update(no_key=True, of=("self",)).select_related("plan").get(pk=agency.pk)


def _unsettled(invitation: Invitation) -> Invitation:
    found = Invitation.objects.unsettled().select_related("agency__plan").filter(pk=invitation.pk).first()
    if found is None:
        raise Settled()
    return found


def _check_role(agency: Agency, role: str, named: list[SubAccount], covers_all: bool) -> None:
    is_client = role in CLIENT_ROLES
    reaches = bool(named) or covers_all
    fits = is_client == reaches if role != Role.MEMBER else True
    if role == Role.OWNER or role not in Role.values or not fits or any(one.agency_id != agency.pk for one in named):
        raise NotAssignable()
    if is_client and covers_all and not SubAccount.objects.of(agency).clients().ready().exists():
        raise NotAssignable("You have no sub-accounts yet, so there is nothing to sign in to. Nobody was invited.")


def _check_news(agency: Agency, email: str, role: str, invited_in: SubAccount | None) -> None:
    if role in AGENCY_ROLES:
        if Membership.objects.filter(agency=agency, user=User.objects.known_as(email, realm=None)).exists():
            raise AlreadyIn(f"{email} is in your team already. To change a role, open their page under Users.")
        return
    user = User.objects.known_as(email, realm=agency)
    if user is not None and invited_in is None:
        raise AddressKnown(user)
    if user is not None and user.accesses.filter(sub_account=invited_in).exists():
        raise AlreadyIn(f"{email} has access to {invited_in} already.")


def _check_pace(invitation: Invitation) -> None:
    """How many mails may go to people who never asked for one: of an agency and, apart from it, of each client; and how many to one address."""
    here = invitation.invited_in
    sender = f"invitations:{invitation.agency.pk}" + (f":{here.pk}" if here else "")
    if not ratelimit.allow(sender, PER_CLIENT if here else PER_AGENCY, HOUR):
        raise TooManyInvitations()
    if not ratelimit.allow(f"{sender}:{hashed(invitation.email)}", PER_ADDRESS, HOUR):
        raise TooManyInvitations()


def _send_new(invitation: Invitation, named: list[SubAccount], *, by: Actor) -> Invitation:
    agency = invitation.agency
    for former in Invitation.objects.unsettled().filter(agency=agency, email=invitation.email, invited_in=invitation.invited_in):
        if former.is_open:
            raise AlreadyInvited()
        expire(invitation=former)
    _check_pace(invitation)
    token = _renew(invitation)
    invitation.created_at = invitation.sent_at
    invitation.save()
    invitation.sub_accounts.set(named)
    _record("invitation.sent", invitation, by=by)
    _tell("user.invited", invitation)
    _mail(invitation, token)
    return invitation


def _renew(invitation: Invitation) -> str:
    """A new token for it; only the hash is kept."""
    token = secrets.token_urlsafe(32)
    invitation.token_hash = hashed(token)
    invitation.sent_at = clock.now()
    invitation.expires_at = invitation.sent_at + LASTS
    return token


# --- The link -----------------------------------------------------------------------------------------------------------------


def host_of(invitation: Invitation) -> str:
    """The host its link leads to and is good on, as browsers send it."""
    account = _account_of(invitation)
    return addresses.own_host(account) if account else settings.BASE_DOMAIN


def _url(invitation: Invitation, token: str) -> str:
    account = _account_of(invitation)
    path = reverse("invitation_link", args=[token], urlconf=settings.WORKSPACE_URLCONF)
    return addresses.own_url(account, path) if account else addresses.platform_url(path)


def _account_of(invitation: Invitation) -> SubAccount | None:
    """Whose own host a client's link leads to: the first sub-account it names, else the agency's own."""
    if invitation.is_for_team:
        return None
    named = SubAccount.objects.ready().filter(invitations=invitation).order_by("pk").first()
    return named or SubAccount.objects.get(agency=invitation.agency_id, is_primary=True)


def _mail(invitation: Invitation, token: str) -> None:
    context = {
        "invitation": invitation,
        "agency": invitation.agency,
        "inviter": invitation.invited_by.name,
        "role": invitation.get_role_display(),
        "url": _url(invitation, token),
        "days": LASTS.days,
        "opens": invitation.opens,
        "sub_accounts": list(invitation.sub_accounts.all()),
    }
    mail.send(to=invitation.email, template="mails/invitation", context=context, sender_name=invitation.agency.name)


def of_link(token_hash: str, *, host: str) -> Invitation | None:
    """The invitation whose newest or former link this is, if it is good on `host`."""
    found = Invitation.objects.select_related("agency__plan", "invited_by", "invited_in")
    invitation = found.filter(token_hash=token_hash).first() or found.filter(former_hashes__contains=[token_hash]).first()
    return invitation if invitation is not None and host_of(invitation) == host else None


def why_over(invitation: Invitation, token_hash: str) -> str:
    """Why the link opens nothing: "used", "revoked", "expired", "replaced"; empty while it does."""
    if invitation.accepted_at is not None:
        return "used"
    if invitation.has_expired:
        return "expired"
    if invitation.revoked_at is not None:
        return "revoked"
    return "" if invitation.token_hash == token_hash else "replaced"


def why_not(invitation: Invitation) -> str:
    """Why what it promises cannot be given any more, in a sentence; empty while it can."""
    agency = invitation.agency
    if agency.deleted_at is not None:
        return f"{agency.name} is no longer active."
    if not _may_invite(invitation):
        return f"{invitation.invited_by.name} can no longer invite people. Ask {agency.name} for a new invitation."
    named = SubAccount.objects.filter(invitations=invitation)
    if named.exists() and not named.ready().active().exists():
        return f"The workspace it leads to is paused or closed. Ask {agency.name}."
    if invitation.invited_in is not None and not named.exists():
        return "The workspace it leads to is closed."
    return ""


def _may_invite(invitation: Invitation) -> bool:
    """Whether its inviter could still send it today."""
    inviter, here = invitation.invited_by, invitation.invited_in
    if not inviter.is_active:
        return False
    if here is not None and inviter.realm_id is not None:  # an agency user may have sent again what its client sent
        return Access.objects.filter(sub_account=here, user=inviter, role=Role.SUB_ACCOUNT_ADMIN).exists()
    membership = Membership.objects.filter(agency=invitation.agency, user=inviter).first()
    return membership is not None and may(membership.role, Can.MANAGE_TEAM if invitation.opens is None else Can.OPEN_SUB_ACCOUNTS)


# --- Accepting ----------------------------------------------------------------------------------------------------------------


def known_to(invitation: Invitation) -> User | None:
    """The person of its realm who has this address already."""
    return User.objects.known_as(invitation.email, realm=invitation.realm)


def accept(*, token_hash: str, signed_in: User | None = None, newcomer: Newcomer | None = None, address: str = "") -> Joined:
    """Use the link up and give what it promises: of many at once exactly one does. `address` is the network address of the browser.

    A `newcomer` becomes a person with their own password. A client the agency knows needs none: they are let in, and sign in as
    ever. Somebody the platform knows has to be `signed_in`. Role and reach come from the invitation alone. Raises `LinkOver`,
    `NotForYou`, `NoLongerValid`, `SignInFirst`, `InAnotherTeam`, `AlreadyIn`, `opening.SubAccountLimitReached`,
    `opening.EmailKnown` and `addresses.SlugTaken`; then the link is as good as before and nothing was made.
    """
    # Hashing takes a third of a second on purpose: not while the others of this agency wait.
    password = make_password(newcomer.password) if newcomer else ""
    with leave():  # the link may stand on the host of one workspace and open another
        return _accept(token_hash, signed_in, newcomer, password, address)


@transaction.atomic
def _accept(token_hash: str, signed_in: User | None, newcomer: Newcomer | None, password: str, address: str) -> Joined:
    invitation = Invitation.objects.select_related("invited_by", "invited_in").filter(token_hash=token_hash).first()
    if invitation is None:
        raise LinkOver()
    invitation.agency = locked(invitation.agency)
    mine = Invitation.objects.open().filter(pk=invitation.pk, token_hash=token_hash)
    if not mine.update(accepted_at=clock.now()):
        raise LinkOver()
    if reason := why_not(invitation):
        raise NoLongerValid(f"{reason} Nothing was changed.")
    if signed_in is not None and not is_for(invitation, signed_in):
        raise NotForYou()
    user = known_to(invitation)
    is_new = user is None
    if user is None:
        if newcomer is None:
            raise NotForYou()
        user = _make(invitation, newcomer, password)
    by = user.as_actor(address=address)
    if invitation.is_for_team:
        _join_team(invitation, user, is_new=is_new, signed_in=signed_in, by=by)
        entered = None
    else:
        entered = _join_client(invitation, user, is_new=is_new, by=by)
    Invitation.objects.filter(pk=invitation.pk).update(accepted_by=user)
    _record("invitation.accepted", invitation, by=by)
    _tell("user.joined", invitation)
    return Joined(user, entered, is_new)


def is_white_label(invitation: Invitation) -> bool:
    """Whether the workspace it opens wears the agency's name: asked for, and still part of the plan."""
    return bool(invitation.opens and invitation.opens["is_white_label"] and invitation.agency.plan.has_white_label)


def is_for(invitation: Invitation, user: User) -> bool:
    realm = invitation.realm
    return user.realm_id == (realm.pk if realm else None) and normal_address(user.email) == invitation.email


def _make(invitation: Invitation, newcomer: Newcomer, password: str) -> User:
    names = {"first_name": newcomer.first_name, "last_name": newcomer.last_name}
    try:
        with transaction.atomic():
            user = User.objects.create_user(email=invitation.email, realm=invitation.realm, **names)
    except IntegrityError as error:  # somebody came by this address in this very moment, for instance into another agency's team
        raise SignInFirst() from error
    user.password = password
    user.save(update_fields=["password"])
    # Whoever has the link has shown that the address is theirs.
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def _join_team(invitation: Invitation, user: User, *, is_new: bool, signed_in: User | None, by: Actor) -> None:
    agency = invitation.agency
    if not is_new and signed_in is None:
        raise SignInFirst()
    User.objects.select_for_update(of=("self",), no_key=True).get(pk=user.pk)  # of two teams at once the second finds the first
    if there := Membership.objects.filter(user=user).first():
        raise AlreadyIn(f"You are in the team of {agency.name} already.") if there.agency_id == agency.pk else InAnotherTeam()
    Membership.objects.create(agency=agency, user=user, role=invitation.role)
    audit.record("member.joined", by=by, agency=agency, subject=user.email, after={"role": invitation.role})
    if invitation.role == Role.MEMBER:
        _reach(invitation, user, Access.GRANTED, by=by)


def _join_client(invitation: Invitation, user: User, *, is_new: bool, by: Actor) -> SubAccount:
    """The workspace the person came for."""
    agency = invitation.agency
    if invitation.opens is None:
        _reach(invitation, user, invitation.role, by=by)
        return _first_of(invitation, user)
    if not is_new:
        raise opening.EmailKnown(f"{user.email} signs in to another workspace of {agency.name} already. Ask them to give you access.")
    names = {"first_name": user.first_name, "last_name": user.last_name}
    opens: dict[str, Any] = {**invitation.opens, **names, "is_white_label": is_white_label(invitation)}
    opened = opening.open_sub_account(agency=agency, email=user.email, has_login=False, key=invitation.public_id, by=by, **opens)
    reach.grant(user=user, agency=agency, role=invitation.role, sub_accounts=[opened.sub_account], by=by)
    return opened.sub_account


def _first_of(invitation: Invitation, user: User) -> SubAccount:
    """Where the person works from now on: on the host the link stood on, if they have access there."""
    mine = SubAccount.objects.of(invitation.agency).ready().filter(accesses__user=user)
    named = mine.filter(invitations=invitation).order_by("pk").first()
    first = named or mine.order_by("name", "pk").first()
    if first is None:
        raise NoLongerValid(f"{invitation.agency.name} has no workspace for you yet. Nothing was changed.")
    return first


def _reach(invitation: Invitation, user: User, role: str, *, by: Actor) -> None:
    named = SubAccount.objects.ready().filter(invitations=invitation).order_by("pk")
    reach.grant(user=user, agency=invitation.agency, role=role, sub_accounts=named, to_all=invitation.covers_all, by=by)


# --- On the record ------------------------------------------------------------------------------------------------------------


def _record(action: str, invitation: Invitation, *, by: Actor) -> None:
    audit.record(
        action,
        by=by,
        agency=invitation.agency,
        sub_account_id=invitation.invited_in.public_id if invitation.invited_in else None,
        subject=invitation.email,
        after={"role": invitation.role, "reach": invitation.reach, "until": invitation.expires_at.isoformat(timespec="minutes")},
    )


def _tell(type: str, invitation: Invitation) -> None:
    """A sub-account hears of it when it is the only one concerned."""
    named = list(invitation.sub_accounts.all()[:2])
    only = named[0].public_id if len(named) == 1 and not invitation.is_for_team else None
    data = {"invitation_id": str(invitation.public_id), "email": invitation.email, "role": invitation.role}
    events.publish(type, agency_id=invitation.agency.public_id, sub_account_id=only, data=data)


def pending(agency: Agency) -> list[Invitation]:
    """What is neither accepted nor revoked, the newest first, expired ones included: they can be sent again."""
    found = Invitation.objects.unsettled().filter(agency=agency).select_related("invited_by", "invited_in", "agency")
    return list(found.prefetch_related("sub_accounts").order_by("-id"))
