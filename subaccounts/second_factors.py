"""An agency asks its team or its clients for a second factor. It can ask and it can count; a client's factors it cannot see."""

from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from agency import audit, security, sessions
from agency.access import Role
from agency.models import Agency, User
from kit import clock, mail, outbox
from kit.actor import Actor
from kit.models import OutboxMessage
from kit.refusal import Refusal
from subaccounts import addresses, assist, switching
from subaccounts.models import Assist

TOPIC = "second_factor_required"
TEAM, CLIENTS = "team", "clients"
FLAGS = {TEAM: "team_needs_mfa", CLIENTS: "clients_need_mfa"}
MAILED_AT_ONCE = 100


def people_of(agency: Agency, side: str) -> Any:
    """Who is asked: the active people of the agency's team, or those of its clients who can enter anything."""
    if side == TEAM:
        return User.objects.filter(memberships__agency=agency, is_active=True).distinct()
    return User.objects.in_realm(agency).filter(accesses__isnull=False, is_active=True).distinct()


def without(agency: Agency, side: str) -> Any:
    """Those of `people_of` who have none yet."""
    return security.without_second_factor(people_of(agency, side))


@transaction.atomic
def ask(*, agency: Agency, team: bool, clients: bool, by: Actor) -> None:
    """From the very next request on. Whoever is asked anew gets a mail; asking again for what is asked already does nothing."""
    locked = Agency.objects.select_for_update().get(pk=agency.pk)
    before = {flag: getattr(locked, flag) for flag in FLAGS.values()}
    after = {FLAGS[TEAM]: team, FLAGS[CLIENTS]: clients}
    if before == after:
        return
    for flag, wanted in after.items():
        setattr(locked, flag, wanted)
        setattr(agency, flag, wanted)
    locked.save(update_fields=list(after))
    audit.record("agency.second_factor_policy_changed", by=by, agency=locked, subject=locked.name, before=before, after=after)
    for side, flag in FLAGS.items():
        if after[flag] and not before[flag]:
            outbox.put(TOPIC, {"agency": locked.pk, "side": side, "after": 0})


class NotToBeReset(Refusal):
    """The Owner's second factor and one's own are reset by nobody here: recovery codes are for that."""

    code = "second_factor_not_to_be_reset"
    status = 403
    default_message = "This second factor cannot be reset here. Nothing was changed."


@transaction.atomic
def reset(*, agency: Agency, user: User, by: Actor) -> None:
    """Take away what somebody of the agency, or of its clients, has lost. Their password stays, their sessions and assists end.

    The person reads by mail who did it. Without any factor it does nothing. Raises `NotToBeReset`.
    """
    locked = User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    if by.id == str(locked.public_id) or locked.memberships.filter(agency=agency, role=Role.OWNER).exists():
        raise NotToBeReset()
    kinds = sorted(set(Authenticator.objects.filter(user=locked).values_list("type", flat=True)))
    if not kinds:
        return
    Authenticator.objects.filter(user=locked).delete()
    sessions.end_all(locked)
    assist.end_all(user=locked, by=by, how=Assist.LOST)
    audit.record("person.second_factor_reset", by=by, agency=agency, subject=locked.email)
    brand, url = _where(agency, locked)
    context = {"agency": agency, "brand": brand, "url": url, "by": by.label.partition(" <")[0], "at": clock.now()}
    mail.send(to=locked.email, template="mails/second_factor_reset", context=context, sender_name=brand)


@outbox.handler(TOPIC)
def tell(message: OutboxMessage) -> None:
    """A mail to each of the next hundred; the rest is a message of its own. Nobody is told of what is asked no longer."""
    side = message.payload["side"]
    agency = Agency.objects.get(pk=message.payload["agency"])
    if not getattr(agency, FLAGS[side]):
        return
    told = list(people_of(agency, side).filter(pk__gt=message.payload["after"]).order_by("pk")[:MAILED_AT_ONCE])
    for user in told:
        brand, url = _where(agency, user)
        context = {"agency": agency, "brand": brand, "url": url, "has_one": security.has_second_factor(user)}
        mail.send(to=user.email, template="mails/second_factor_required", context=context, sender_name=brand)
    if len(told) == MAILED_AT_ONCE:
        outbox.put(TOPIC, {**message.payload, "after": told[-1].pk})


def _where(agency: Agency, user: User) -> tuple[str, str]:
    """Whose mail it is for this person, and where they sign in."""
    if user.realm_id is None:
        return settings.PLATFORM_NAME, addresses.platform_url("/")
    workspaces = switching.workspaces_of(user)
    return agency.name, workspaces[0]["url"] if workspaces else addresses.platform_url("/find-workspace/")
