"""An agency asks its team or its clients for a second factor. It can ask and it can count; a client's factors it cannot see."""

from typing import Any

from django.conf import settings
from django.db import transaction

from agency import audit, security
from agency.models import Agency, User
from kit import mail, outbox
from kit.actor import Actor
from kit.models import OutboxMessage
from subaccounts import addresses, switching

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


@outbox.handler(TOPIC)
def tell(message: OutboxMessage) -> None:
    """A mail to each of the next hundred; the rest is a message of its own. Nobody is told of what is asked no longer."""
    side = message.payload["side"]
    agency = Agency.objects.get(pk=message.payload["agency"])
    if not getattr(agency, FLAGS[side]):
        return
    told = list(people_of(agency, side).filter(pk__gt=message.payload["after"]).order_by("pk")[:MAILED_AT_ONCE])
    for user in told:
        _mail(agency, side, user)
    if len(told) == MAILED_AT_ONCE:
        outbox.put(TOPIC, {**message.payload, "after": told[-1].pk})


def _mail(agency: Agency, side: str, user: User) -> None:
    workspaces = switching.workspaces_of(user) if side == CLIENTS else []
    brand = agency.name if side == CLIENTS else settings.PLATFORM_NAME
    url = workspaces[0]["url"] if workspaces else addresses.platform_url("/")
    context = {"agency": agency, "brand": brand, "url": url, "has_one": security.has_second_factor(user)}
    mail.send(to=user.email, template="mails/second_factor_required", context=context, sender_name=brand)
