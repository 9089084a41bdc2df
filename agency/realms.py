"""Who is known where: a password opens something in its own realm only, and every look-up by address stays inside one.

Clients belong to their agency's realm and sign in on its workspaces; agency teams and staff belong to none and sign in on
the platform's own host. The realm of a request is the one of its host.
"""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from agency.models import User
from agency.models.user import normal_address

MAX_PASSWORD_LENGTH = 256


class RealmBackend(ModelBackend):
    """E-mail and password against the people of the host's realm.

    A wrong password, an unknown address, a deactivated person, a generated password past its seven days and a client
    without any workspace get the same answer after the same work.
    """

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, email: str | None = None, password: str | None = None, **credentials: Any
    ) -> User | None:
        if request is None or not email or not password or len(password) > MAX_PASSWORD_LENGTH:
            return None
        user = User.objects.known_as(email, realm=request.site.realm)
        if user is None:
            User().set_password(password)
            return None
        return user if user.check_password(password) and may_sign_in(user) else None


def may_sign_in(user: User) -> bool:
    """Whether a right password opens anything; a client needs a workspace of the realm to enter."""
    if not user.is_active or user.has_dead_initial_password:
        return False
    return user.realm_id is None or user.accesses.exists()


def login_key(realm_id: int | None, address: str) -> str:
    """What failed sign-ins are counted by: the person meant, never the host or port it was tried on."""
    return f"{realm_id or 'platform'}:{normal_address(address)}"
