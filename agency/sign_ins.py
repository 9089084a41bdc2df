"""The history of sign-ins that each person sees of themselves: what worked and what failed, how, where and from what."""

from datetime import timedelta

from django.http import HttpRequest

from agency.models import SignIn, User
from kit import clock
from kit.requests import client_address

KEPT_DAYS = 90
FAILURES_AN_HOUR = 20
"""How many failures in an hour are written down: enough to see that somebody tries, too few to fill a table with."""
MAILS_A_DAY = 5

METHODS = {
    ("password",): "Password",
    ("password", "totp"): "Password and code from an app",
    ("password", "webauthn"): "Password and passkey",
    ("password", "recovery_codes"): "Password and recovery code",
    ("webauthn",): "Passkey",
}
FACTORS = {"totp": "Code from an app", "recovery_codes": "Recovery code", "webauthn": "Passkey"}


def succeeded(*, user: User, request: HttpRequest, method: str, is_new_device: bool) -> SignIn:
    return _write(SignIn.SUCCEEDED, user=user, request=request, method=method, is_new_device=is_new_device)


def failed(*, user: User, request: HttpRequest, method: str) -> None:
    """Only of people who exist: what is tried with other addresses is written nowhere."""
    lately = SignIn.objects.filter(user=user, outcome=SignIn.FAILED, at__gt=clock.now() - timedelta(hours=1))
    if lately.count() < FAILURES_AN_HOUR:
        _write(SignIn.FAILED, user=user, request=request, method=method)


def may_mail(user: User) -> bool:
    """Whether one more mail about a new device is still news today; the newest sign-in is counted already."""
    new = SignIn.objects.filter(user=user, is_new_device=True, at__gt=clock.now() - timedelta(days=1))
    return new.count() <= MAILS_A_DAY


def method_in_words(steps: list[str]) -> str:
    """`steps` are what was shown, in order: "password", "totp", "webauthn", "recovery_codes"."""
    return METHODS.get(tuple(steps), " and ".join(steps).capitalize()[:40])


def forget() -> int:
    """Delete what is older than `KEPT_DAYS`; how many. Safe to run at any time."""
    return SignIn.objects.filter(at__lt=clock.now() - timedelta(days=KEPT_DAYS)).delete()[0]


def _write(outcome: str, *, user: User, request: HttpRequest, method: str, is_new_device: bool = False) -> SignIn:
    return SignIn.objects.create(
        user=user,
        outcome=outcome,
        method=method,
        host=request.site.host[:253],
        address=client_address(request),
        device=request.headers.get("User-Agent", "").replace("\x00", "")[:160],
        is_new_device=is_new_device,
    )
