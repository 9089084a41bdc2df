"""Who listens: endpoints of an agency and of its sub-accounts, their secrets, and sending again what they missed."""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from agency import audit
from agency.access import Role
from agency.models import Agency, User
from billing import deliveries
from billing.event_types import EVENT_TYPES, TEST, EventType
from billing.models import Delivery, Endpoint, EndpointSecret
from kit import clock, egress, mail, sealed
from kit.actor import Actor
from kit.ids import uuid7
from kit.refusal import Refusal
from subaccounts import addresses
from subaccounts.models import Access, SubAccount

MOST_ENDPOINTS = 20
SECRET_BYTES = 32
OVERLAP_HOURS = 24
REPLAY_DAYS = 30


class TooManyEndpoints(Refusal):
    code = "too_many_endpoints"
    status = 409
    default_message = f"There are {MOST_ENDPOINTS} endpoints already. Remove one first; nothing was changed."


class UnknownEventType(Refusal):
    code = "unknown_event_type"
    status = 400


class EndpointOff(Refusal):
    code = "endpoint_off"
    status = 409
    default_message = "This endpoint is switched off. Switch it on first; nothing was sent."


@dataclass(frozen=True)
class Made:
    """`secret` is in clear here and nowhere else: show it once."""

    endpoint: Endpoint
    secret: str


def endpoints_of(agency: Agency, sub_account: SubAccount | None = None) -> QuerySet[Endpoint]:
    """The agency's own, or those of one of its sub-accounts, newest first."""
    owner = sub_account.public_id if sub_account else None
    return Endpoint.objects.filter(agency=agency, sub_account_id=owner, removed_at=None).order_by("-id")


def types_for(sub_account: SubAccount | None) -> list[EventType]:
    """What an owner of this kind may listen to."""
    kinds = EVENT_TYPES.values()
    if sub_account is None:
        return [*kinds]
    return [kind for kind in kinds if kind.for_clients and (sub_account.shows_balance or not kind.tells_balance)]


def owner_of(endpoint: Endpoint) -> SubAccount | None:
    """The sub-account whose endpoint it is; None for the agency's own."""
    return (
        SubAccount.objects.select_related("agency").filter(public_id=endpoint.sub_account_id).first() if endpoint.sub_account_id else None
    )


@transaction.atomic
def make(
    *, agency: Agency, sub_account: SubAccount | None = None, url: str, event_types: Iterable[str] = (), description: str = "",
    made_by: User | None = None, by: Actor,
) -> Made:  # fmt: skip
    """An endpoint that hears `event_types`, or everything when there are none. Raises `egress.TargetRefused` and `TooManyEndpoints`."""
    url = egress.checked(url)  # before anything is locked: it asks a name server
    Agency.objects.select_for_update(no_key=True).get(pk=agency.pk)
    if endpoints_of(agency, sub_account).count() >= MOST_ENDPOINTS:
        raise TooManyEndpoints
    endpoint = Endpoint.objects.create(
        agency=agency,
        sub_account_id=sub_account.public_id if sub_account else None,
        url=url,
        description=description,
        event_types=_known(event_types, sub_account),
        created_by=made_by,
    )
    secret = _new_secret(endpoint)
    _record("webhook.added", endpoint, by, after=_facts(endpoint))
    return Made(endpoint, secret)


@transaction.atomic
def change(
    *, endpoint: Endpoint, url: str | None = None, event_types: Iterable[str] | None = None, description: str | None = None, by: Actor
) -> Endpoint:
    """Only what is given. What is on its way goes to the new address."""
    url = None if url in (None, endpoint.url) else egress.checked(str(url))
    stored = _locked(endpoint)
    before = _facts(stored)
    if url is not None:
        stored.url = url
    if event_types is not None:
        stored.event_types = _known(event_types, owner_of(stored))
    if description is not None:
        stored.description = description
    stored.save(update_fields=["url", "event_types", "description"])
    _record("webhook.changed", stored, by, before=before, after=_facts(stored))
    return stored


@transaction.atomic
def rotate(*, endpoint: Endpoint, by: Actor) -> str:
    """A new secret. The former one signs as well for `OVERLAP_HOURS`, so that the receiver can change over without a gap."""
    stored = _locked(endpoint)
    until = clock.now() + timedelta(hours=OVERLAP_HOURS)
    EndpointSecret.objects.filter(endpoint=stored, expires_at=None).update(expires_at=until)
    secret = _new_secret(stored)
    _record("webhook.secret_rotated", stored, by, after={"former_signs_until": until.isoformat()})
    return secret


@transaction.atomic
def switch_off(*, endpoint: Endpoint, cause: str = Endpoint.BY_HAND, by: Actor) -> None:
    """Nothing is sent any more; what is waiting waits. Whoever is responsible hears of it, unless they did it themselves."""
    stored = _locked(endpoint)
    if stored.disabled_at is not None:
        return
    stored.disabled_at, stored.disabled_cause = clock.now(), cause
    stored.save(update_fields=["disabled_at", "disabled_cause"])
    _record("webhook.switched_off", stored, by, after={"cause": stored.get_disabled_cause_display()})
    if cause != Endpoint.BY_HAND:
        _tell_responsible(stored)


@transaction.atomic
def switch_on(*, endpoint: Endpoint, by: Actor) -> None:
    """Deliver again, what is waiting included."""
    stored = _locked(endpoint)
    if stored.disabled_at is None:
        return
    stored.disabled_at, stored.disabled_cause = None, ""
    stored.failures, stored.failing_since, stored.resumes_at = 0, None, None
    stored.save(update_fields=["disabled_at", "disabled_cause", "failures", "failing_since", "resumes_at"])
    _record("webhook.switched_on", stored, by)
    transaction.on_commit(deliveries.wake, robust=True)


@transaction.atomic
def remove(*, endpoint: Endpoint, by: Actor) -> None:
    """It is gone from every page at once; its secrets are deleted, its log is kept until it is purged."""
    stored = _locked(endpoint)
    if stored.removed_at is not None:
        return
    stored.removed_at = clock.now()
    stored.save(update_fields=["removed_at"])
    stored.secrets.all().delete()
    _record("webhook.removed", stored, by, before=_facts(stored))


@transaction.atomic
def test(*, endpoint: Endpoint, by: Actor) -> Delivery:
    """Put a `webhook.test` event on its way to this endpoint alone. Raises `EndpointOff`."""
    stored = _locked(endpoint)
    _check_on(stored)
    told: dict[str, Any] = {
        "id": str(uuid7()),
        "type": TEST.code,
        "at": clock.now().isoformat(),
        "sub_account_id": str(stored.sub_account_id) if stored.sub_account_id else None,
        "data": {"message": "This is a test. Nothing happened."},
    }
    deliveries.send([stored], told, stored.agency)
    _record("webhook.tested", stored, by)
    return Delivery.objects.get(endpoint=stored, event__public_id=told["id"])


@transaction.atomic
def replay(*, delivery: Delivery, by: Actor) -> Delivery:
    """Send one again, under the same id, with all its tries before it. One that is on its way is sent at once. Raises `EndpointOff`."""
    endpoint = _locked(delivery.endpoint)
    _check_on(endpoint)
    _again(Delivery.objects.filter(pk=delivery.pk))
    Endpoint.objects.filter(pk=endpoint.pk).update(resumes_at=None)
    _record("webhook.replayed", endpoint, by, after={"event": str(delivery.event.public_id)})
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def replay_since(*, endpoint: Endpoint, since: datetime, by: Actor) -> int:
    """Send again what failed since then; how many. Raises `EndpointOff`."""
    stored = _locked(endpoint)
    _check_on(stored)
    count = _again(Delivery.objects.filter(endpoint=stored, event__at__gte=since, state=Delivery.FAILED))
    Endpoint.objects.filter(pk=stored.pk).update(resumes_at=None)
    _record("webhook.replayed", stored, by, after={"since": since.isoformat(), "events": count})
    return count


def forget() -> int:
    """Delete events that are older than `REPLAY_DAYS` with their deliveries and tries; how many events. Endpoints of agencies that
    were purged go too, with their addresses and secrets."""
    Endpoint.objects.filter(agency__purged_at__isnull=False).delete()
    return deliveries.forget_before(clock.now() - timedelta(days=REPLAY_DAYS))


def _again(found: QuerySet[Delivery]) -> int:
    transaction.on_commit(deliveries.wake, robust=True)
    return found.update(state=Delivery.WAITING, tries=0, due_at=clock.now(), settled_at=None)


def _new_secret(endpoint: Endpoint) -> str:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    EndpointSecret.objects.create(endpoint=endpoint, sealed=sealed.seal(secret, purpose=deliveries.PURPOSE))
    return secret


def _known(event_types: Iterable[str], sub_account: SubAccount | None) -> list[str]:
    offered = {kind.code for kind in types_for(sub_account)}
    chosen = sorted(set(event_types))
    if unknown := [code for code in chosen if code not in offered]:
        raise UnknownEventType(f"There is no event “{unknown[0]}” to listen to. Nothing was changed.")
    return chosen


def _check_on(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None or endpoint.removed_at is not None:
        raise EndpointOff


def _locked(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.select_for_update(of=("self",)).select_related("agency").get(pk=endpoint.pk)


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    return {"url": endpoint.url, "event_types": endpoint.event_types, "description": endpoint.description}


def _record(action: str, endpoint: Endpoint, by: Actor, **facts: Any) -> None:
    audit.record(action, by=by, agency=endpoint.agency, sub_account_id=endpoint.sub_account_id, subject=endpoint.url, **facts)


def _tell_responsible(endpoint: Endpoint) -> None:
    sub_account, agency = owner_of(endpoint), endpoint.agency
    page = addresses.primary_url(sub_account, "/webhooks/") if sub_account else addresses.platform_url("/webhooks/")
    for user in _responsible(agency, endpoint.sub_account_id):
        mail.send(
            to=user.email,
            template="mails/webhook_off",
            context={"endpoint": endpoint, "cause": endpoint.get_disabled_cause_display(), "page": page, "agency": agency},
            key=f"webhook_off:{endpoint.public_id}:{endpoint.disabled_at}:{user.public_id}",
            sender_name=agency.name if sub_account else "",
        )


def _responsible(agency: Agency, sub_account_id: UUID | None) -> QuerySet[User]:
    """The Subaccount Admins of a client's endpoint, the Owner of an agency's."""
    people = User.objects.filter(is_active=True)
    if sub_account_id is None:
        return people.filter(memberships__agency=agency, memberships__role=Role.OWNER)
    admins = Access.objects.filter(sub_account__public_id=sub_account_id, role=Role.SUB_ACCOUNT_ADMIN)
    return people.filter(pk__in=admins.values("user"))
