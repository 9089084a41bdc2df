"""Who is known where: a password opens something in its own realm only, and every look-up by address stays inside one.

Clients belong to their agency's realm and sign in on its workspaces; agency teams and staff belong to none and sign in on
the platform's own host, staff on a host of theirs as well. The realm of a request is the one of its host.
"""

from typing import Any, Protocol

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from agency.models import Agency, User
from agency.models.user import normal_address

MAX_PASSWORD_LENGTH = 256


class Site(Protocol):
    """What a request's host resolved to, as far as people depend on it."""

    @property
    def kind(self) -> str: ...

    @property
    def realm(self) -> Agency | None: ...


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
        user = known_at(request.site, email)
        if user is None:
            User().set_password(password)
            return None
        return user if user.check_password(password) and may_sign_in(user) else None


def known_at(site: Site, address: str) -> User | None:
    """The person with this address who may sign in on `site`; on the staff's host nobody but staff is known."""
    user = User.objects.known_as(address, realm=site.realm)
    return user if user is not None and is_at_home(user, site) else None


def is_at_home(user: User, site: Site) -> bool:
    """Whether `site` is a place where this person signs in."""
    return user.realm_id == (site.realm.pk if site.realm else None) and (site.kind != "staff" or user.is_staff)


def may_sign_in(user: User) -> bool:
    """Whether a right password opens anything; a client needs a workspace of the realm to enter."""
    if not user.is_active or user.has_dead_initial_password:
        return False
    return user.realm_id is None or user.accesses.exists()


def login_key(realm_id: int | None, address: str) -> str:
    """What failed sign-ins are counted by: the person meant, never the host or port it was tried on."""
    return f"{realm_id or 'platform'}:{normal_address(address)}"
