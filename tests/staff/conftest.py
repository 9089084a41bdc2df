"""Sara, who works for the platform, and her browser."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings

from agency import staff
from agency.models import User
from tests.cast import PASSWORD, TESTS, Visitor
from tests.entrance import mails

__all__ = ["mails"]

HOST = settings.STAFF_HOST
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def member(email: str = "sara@canopy.example", *groups: str, is_superuser: bool = False, has_factor: bool = True) -> User:
    user = staff.make(
        email=email, first_name="Sara", last_name="Quist", password=PASSWORD, groups=groups, is_superuser=is_superuser, by=TESTS
    )
    if has_factor:
        TOTP.activate(user, SECRET)
        RecoveryCodes.activate(user)
    return user


def browser_of(user: User, host: str = HOST, **more: Any) -> Visitor:
    """A browser in which `user` has signed in with password and second factor."""
    visitor = Visitor(host, user, **more)
    session = visitor.session
    factor = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "id": factor.pk if factor else 0, "at": 0}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return visitor


@pytest.fixture
def sara(db: None) -> User:
    """A superuser with an authenticator app."""
    return member(is_superuser=True)


@pytest.fixture
def desk(sara: User) -> Visitor:
    """Sara's browser on the staff's host."""
    return browser_of(sara)


@pytest.fixture
def of_group(db: None) -> Callable[..., Visitor]:
    """`of_group("Books")` is the browser of a colleague in that group."""
    return lambda *groups: browser_of(member("theo@canopy.example", *groups))
