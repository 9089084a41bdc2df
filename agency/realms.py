"""Who is known where: sign-in, reset and every look-up by address stay inside one realm."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from agency.models import User


class RealmBackend(ModelBackend):
    def authenticate(self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any) -> User | None:
        email = kwargs.get("email") or username
        if request is None or not email or not password:
            return None
        user = User.objects.in_realm(request.site.realm).filter(email__iexact=email.strip()).first()
        if user is None:
            User().set_password(password)  # as slow as a real check, so that nobody learns which addresses exist
            return None
        return user if user.check_password(password) and self.user_can_authenticate(user) else None


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return request.site.kind == "platform"


class MfaAdapter(DefaultMFAAdapter):
    pass
