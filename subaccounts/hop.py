"""The way from one of our hosts to another: a single-use token, for one person, one host, one purpose and one browser.

The browser is known by a nonce that the target host set in a cookie before the token was asked for. A token is carried in
the body of a POST, never in a link; the database has only hashes of it and of the nonce.
"""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings

from agency.models import User
from kit import clock
from kit.refusal import Refusal
from subaccounts.models import Hop

NONCE_COOKIE = "__Host-hop"


class HopRefused(Refusal):
    """The token opens nothing: unknown, used, too old, or made for another host, purpose or browser. It is used up now.

    `user` is whose token it was, where there is one, `cause` the reason for the record; the person on the screen reads the
    same words for all of them.
    """

    code = "hop_refused"
    status = 404
    default_message = "This way in is no longer valid. Nothing was opened; go back and enter again."

    def __init__(self, cause: str, *, user: User | None = None) -> None:
        super().__init__()
        self.cause = cause
        self.user = user


def new_nonce() -> str:
    return secrets.token_urlsafe(32)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def issue(*, user: User, host: str, purpose: str, nonce_hash: str, reason: str = "") -> str:
    """A token that brings `user` to `host` within `HOP_SECONDS`, in the browser whose nonce has this hash."""
    token = secrets.token_urlsafe(32)
    now = clock.now()
    Hop.objects.create(
        token_hash=hashed(token),
        user=user,
        host=host,
        purpose=purpose,
        nonce_hash=nonce_hash,
        reason=reason,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.HOP_SECONDS),
    )
    return token


def consume(*, token: str, host: str, purpose: str, nonce: str) -> Hop:
    """The row of a token that is good here: whom it brings, and why. Whatever the answer, the token is used up: of many at once exactly one gets in.

    Raises `HopRefused`. Call it outside a transaction, or a refusal would give the token back.
    """
    taken = Hop.objects.filter(token_hash=hashed(token), used_at=None).update(used_at=clock.now())
    row = Hop.objects.select_related("user").filter(token_hash=hashed(token)).first()
    if row is None:
        raise HopRefused("unknown")
    if not taken:
        raise HopRefused("used before", user=row.user)
    if cause := _mismatch(row, host=host, purpose=purpose, nonce=nonce):
        raise HopRefused(cause, user=row.user)
    return row


def forget() -> int:
    """Delete the rows of tokens that died more than a day ago; how many."""
    return Hop.objects.filter(expires_at__lt=clock.now() - timedelta(days=1)).delete()[0]


def _mismatch(row: Hop, *, host: str, purpose: str, nonce: str) -> str:
    if row.expires_at <= clock.now():
        return "too late"
    if row.host != host:
        return "another host"
    if row.purpose != purpose:
        return "another purpose"
    if not nonce or not secrets.compare_digest(row.nonce_hash, hashed(nonce)):
        return "another browser"
    return "" if row.user.is_active else "person not active"
