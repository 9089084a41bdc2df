"""API keys: how programs come in. What they may do is their scopes; where, the agency or the one sub-account they belong to."""

import hashlib
import ipaddress
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils.crypto import constant_time_compare

from agency import audit
from agency.models import Agency, ApiKey, User
from kit import clock
from kit.actor import Actor
from kit.refusal import Refusal

MARK = "cnp_live_"
MOST_KEYS = 50
MOST_NETWORKS = 20
USED_EVERY = timedelta(minutes=1)
_ALPHABET = string.ascii_letters + string.digits
_RECOGNISED_BY = 12
# 62 ** 43 is just over 2 ** 256.
_SECRET = 43
_SHAPE = re.compile(rf"({MARK}[A-Za-z0-9]{{{_RECOGNISED_BY}}})_[A-Za-z0-9]{{{_SECRET}}}")
_NOBODYS = hashlib.sha256(b"nobody's").hexdigest()


class Scope(models.TextChoices):
    SUB_ACCOUNTS_READ = "sub_accounts:read", "See sub-accounts"
    SUB_ACCOUNTS_WRITE = "sub_accounts:write", "Open, edit, suspend and restore sub-accounts"
    USERS_READ = "users:read", "See people and their roles"
    CREDITS_READ = "credits:read", "See balances and the statement"
    CREDITS_WRITE = "credits:write", "Give credits out, take them back and move them"
    CREDITS_SPEND = "credits:spend", "Reserve and use credits"
    USAGE_READ = "usage:read", "See usage"
    CALLS_WRITE = "calls:write", "Begin and end calls"
    WEBHOOKS_READ = "webhooks:read", "See webhook endpoints and deliveries"
    WEBHOOKS_WRITE = "webhooks:write", "Manage webhook endpoints"
    AUDIT_READ = "audit:read", "See the audit log"


# What a client's own programs may be allowed. Giving out credits and running sub-accounts is the agency's.
CLIENT_SCOPES = tuple(scope for scope in Scope if scope not in (Scope.SUB_ACCOUNTS_WRITE, Scope.CREDITS_WRITE))


class TooManyKeys(Refusal):
    code = "too_many_keys"
    status = 409
    default_message = f"There are {MOST_KEYS} keys that work already. Revoke one that is not used any more; nothing was made."


class BadKeyWish(Refusal):
    """A key like that cannot be made; the message says why."""

    code = "bad_key"


@dataclass(frozen=True)
class NewKey:
    """`secret` is the whole key in clear, here and nowhere else: show it once, never store it."""

    row: ApiKey
    secret: str


def scopes_for(sub_account_id: UUID | None) -> tuple[Scope, ...]:
    """What a key of this owner may be allowed."""
    return tuple(Scope) if sub_account_id is None else CLIENT_SCOPES


@transaction.atomic
def make(
    *,
    agency: Agency,
    sub_account_id: UUID | None = None,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    allowed_networks: Iterable[str] = (),
    user: User | None = None,
    by: Actor,
) -> NewKey:
    """A key of the agency, or of one of its sub-accounts. Raises `BadKeyWish` and `TooManyKeys`; then nothing was made."""
    allowed = sorted(set(scopes))
    if not allowed or set(allowed) - set(scopes_for(sub_account_id)):
        raise BadKeyWish("Choose what the key may do from what its owner may allow. Nothing was made.")
    if expires_at is not None and expires_at <= clock.now():
        raise BadKeyWish("A key cannot end in the past. Nothing was made.")
    networks = [network_of(text) for text in allowed_networks]
    if len(networks) > MOST_NETWORKS:
        raise BadKeyWish(f"Give at most {MOST_NETWORKS} networks. Nothing was made.")
    Agency.objects.select_for_update(no_key=True).get(pk=agency.pk)
    if in_force(agency, sub_account_id).count() >= MOST_KEYS:
        raise TooManyKeys
    prefix = MARK + _random(_RECOGNISED_BY)
    secret = f"{prefix}_{_random(_SECRET)}"
    row = ApiKey.objects.create(
        agency=agency,
        sub_account_id=sub_account_id,
        name=name,
        prefix=prefix,
        secret_hash=_hash(secret),
        scopes=allowed,
        allowed_networks=networks,
        created_by=user,
        expires_at=expires_at,
    )
    audit.record(
        "api_key.made",
        by=by,
        agency=agency,
        sub_account_id=sub_account_id,
        subject=name,
        after={
            "prefix": prefix,
            "scopes": allowed,
            "networks": networks,
            "expires": expires_at.isoformat() if expires_at else "",
        },
    )
    return NewKey(row, secret)


@transaction.atomic
def revoke(*, key: ApiKey, by: Actor) -> ApiKey:
    """From the next request on the key opens nothing. Revoking it again changes nothing and leaves no second record."""
    stored = ApiKey.objects.select_for_update(no_key=True, of=("self",)).select_related("agency").get(pk=key.pk)
    if stored.revoked_at is None:
        stored.revoked_at = clock.now()
        stored.save(update_fields=["revoked_at"])
        audit.record(
            "api_key.revoked",
            by=by,
            agency=stored.agency,
            sub_account_id=stored.sub_account_id,
            subject=stored.name,
            before={"prefix": stored.prefix},
        )
    return stored


def in_force(agency: Agency, sub_account_id: UUID | None) -> models.QuerySet[ApiKey]:
    """The keys of this owner that work."""
    of_owner = ApiKey.objects.filter(agency=agency, sub_account_id=sub_account_id, revoked_at=None)
    return of_owner.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()))


def recognise(secret: str) -> ApiKey | None:
    """The key that `secret` is, if it works today. The same work is done for a key that does not exist."""
    match = _SHAPE.fullmatch(secret)
    key = ApiKey.objects.select_related("agency__plan").filter(prefix=match[1]).first() if match else None
    is_right = constant_time_compare(_hash(secret), key.secret_hash if key else _NOBODYS)
    if key is None or not is_right or key.revoked_at is not None or key.agency.deleted_at is not None:
        return None
    return key if key.expires_at is None or clock.now() < key.expires_at else None


def allows(key: ApiKey, address: str) -> bool:
    """Whether the key works from this network address; one without networks works from anywhere."""
    if not key.allowed_networks:
        return True
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(network) for network in key.allowed_networks)


def note_use(key: ApiKey, address: str) -> None:
    """Remember when and from where the key was used last, written at most once a minute."""
    now = clock.now()
    if key.last_used_at is None or now - key.last_used_at >= USED_EVERY:
        unnoted = ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY), pk=key.pk)
        unnoted.update(last_used_at=now, last_used_from=address[:64])


def as_actor(key: ApiKey, *, address: str = "") -> Actor:
    return Actor(kind="api_key", id=str(key.public_id), label=f"{key.name} (API key {key.prefix}…)", address=address)


def network_of(text: str) -> str:
    """An address or network as it is stored, for instance `203.0.113.0/24`. Raises `BadKeyWish`."""
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        raise BadKeyWish(f"“{text.strip()[:60]}” is not a network such as 203.0.113.7 or 2001:db8::/32.") from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
