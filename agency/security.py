"""What happened to a person's ways in, on the record: allauth does the changes and tells us by signal."""

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.http import HttpRequest

from agency import audit
from agency.models import Agency, User
from kit.requests import client_address

RECORDED = [
    (account.user_signed_up, "person.signed_up"),
    (account.password_changed, "person.password_changed"),
    (account.password_set, "person.password_set"),
    (account.password_reset, "person.password_reset"),
    (account.email_changed, "person.email_changed"),
    (mfa.authenticator_added, "person.second_factor_added"),
    (mfa.authenticator_removed, "person.second_factor_removed"),
    (mfa.authenticator_reset, "person.recovery_codes_made"),
]


def agency_of(user: User) -> Agency | None:
    """The agency whose log a person's own changes belong in."""
    if user.realm is not None:
        return user.realm
    membership = user.memberships.select_related("agency").order_by("id").first()
    return membership.agency if membership else None


def record(action: str, *, user: User, request: HttpRequest, after: dict[str, Any] | None = None) -> None:
    audit.record(action, by=user.as_actor(address=client_address(request)), agency=agency_of(user), subject=user.email, after=after)


def watch() -> None:
    """Connect every signal of `RECORDED`; called once, when the apps are ready."""
    for signal, action in RECORDED:
        signal.connect(_recorder(action), weak=False, dispatch_uid=action)


def _recorder(action: str) -> Any:
    def receive(sender: Any, *, request: HttpRequest, user: User, **facts: Any) -> None:
        authenticator = facts.get("authenticator")
        record(action, user=user, request=request, after={"kind": authenticator.type} if authenticator else None)

    return receive
