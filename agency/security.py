"""What happened to a person's ways in, on the record: allauth does the changes and tells us by signal."""

from typing import Any

from allauth.account import signals as account
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from agency import audit, sign_ins
from agency.models import Agency, User
from kit import clock
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


def has_second_factor(user: User) -> bool:
    return is_mfa_enabled(user)


def without_second_factor(people: QuerySet[User]) -> QuerySet[User]:
    """Those of `people` whose password alone lets them in."""
    return people.exclude(Exists(Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)))


def page_to_show_factor(user: User) -> str:
    """The name of the page where this person shows the factor they have: an app's code, or else a passkey."""
    has_app = is_mfa_enabled(user, [Authenticator.Type.TOTP])
    return "mfa_reauthenticate" if has_app else "mfa_reauthenticate_webauthn"


def used_second_factor(request: HttpRequest) -> bool:
    """Whether this very session was opened, or confirmed since, with a second factor."""
    return any(record.get("method") == "mfa" for record in get_authentication_records(request, request.user))


def steps_shown(request: HttpRequest, user: User) -> list[str]:
    """What this session was opened with, in order and each once: "password", "totp", "webauthn", "recovery_codes"."""
    shown = (record.get("type") or record["method"] for record in get_authentication_records(request, user))
    return list(dict.fromkeys(str(step) for step in shown))


def can_confirm(user: User) -> bool:
    """Whether this person has anything to show that it is them: a password or a second factor."""
    return user.has_usable_password() or has_second_factor(user)


def was_recent(request: HttpRequest) -> bool:
    """Whether this person showed in this session within `ACCOUNT_REAUTHENTICATION_TIMEOUT` seconds that it is them.

    Signing in counts. A person who has neither password nor second factor can show nothing, so for them nothing is recent.
    """
    shown = [record["at"] for record in get_authentication_records(request, request.user)]
    return bool(shown) and clock.now().timestamp() - max(shown) < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def _first_factor_made(sender: Any, *, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """Who has just shown their first second factor has used it. Sessions of staff that were opened before it existed end."""
    factors = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES)
    if authenticator.type == Authenticator.Type.RECOVERY_CODES or factors.exclude(pk=authenticator.pk).exists():
        return
    record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)
    if not user.is_staff:
        return
    for other in UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key):
        other.end()


def _factor_refused(sender: Any, *, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    sign_ins.failed(user=user, request=request, method=sign_ins.FACTORS.get(authenticator.type, ""))


def watch() -> None:
    """Connect every signal of `RECORDED`; called once, when the apps are ready."""
    for signal, action in RECORDED:
        signal.connect(_recorder(action), weak=False, dispatch_uid=action)
    mfa.authenticator_added.connect(_first_factor_made, dispatch_uid="first factor")
    mfa.authentication_failed.connect(_factor_refused, dispatch_uid="factor refused")


def _recorder(action: str) -> Any:
    def receive(sender: Any, *, request: HttpRequest, user: User, **facts: Any) -> None:
        authenticator = facts.get("authenticator")
        record(action, user=user, request=request, after={"kind": authenticator.type} if authenticator else None)

    return receive
