"""The people and clients every test, screenshot and the demo are about.

One agency, Northlight Digital, with a person per role and three clients; a rival, Harbour & Co, with one.
"""

import time
from dataclasses import dataclass
from typing import Any

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from django.conf import settings
from django.test import Client

from agency.models import Agency, Membership, Plan, User
from kit.actor import system
from subaccounts import opening
from subaccounts.models import Access, SubAccount

PASSWORD = "canopy-demo-2026"
PLATFORM = settings.BASE_DOMAIN
TESTS = system("tests")


def host_of(sub_account: SubAccount) -> str:
    return f"{sub_account.slug}.{settings.BASE_DOMAIN}"


def person(email: str, first: str, last: str, *, realm: Agency | None = None) -> User:
    user = User.objects.create_user(email=email, password=PASSWORD, realm=realm, first_name=first, last_name=last)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def agency(*, name: str, slug: str, owner: User, plan: str = "agency") -> Agency:
    made = opening.open_agency(owner=owner, name=name, slug=slug, time_zone="Europe/Stockholm", currency="USD", by=owner.as_actor())
    made.plan = Plan.objects.get(code=plan)
    made.save(update_fields=["plan"])
    return made


def sub_account(of: Agency, *, name: str, slug: str, first: str, last: str, email: str) -> SubAccount:
    opened = opening.open_sub_account(agency=of, first_name=first, last_name=last, email=email, business_name=name, slug=slug, by=TESTS)
    assert opened.user is not None
    settle(opened.user)
    return opened.sub_account


def settle(user: User) -> None:
    """The person has been here before: own password, nothing left to change."""
    user.set_password(PASSWORD)
    user.must_change_password = False
    user.initial_password_expires_at = None
    user.save()


@dataclass(frozen=True)
class Cast:
    """Found by name, so that each test reads rows of its own transaction."""

    def _user(self, email: str) -> User:
        return User.objects.get(email=email)

    def _sub_account(self, slug: str) -> SubAccount:
        return SubAccount.objects.select_related("agency__plan").get(slug=slug)

    @property
    def northlight(self) -> Agency:
        return Agency.objects.select_related("plan").get(slug="northlight")

    @property
    def harbour(self) -> Agency:
        return Agency.objects.select_related("plan").get(slug="harbour")

    @property
    def acme(self) -> SubAccount:
        return self._sub_account("acme-plumbing")

    @property
    def koala(self) -> SubAccount:
        return self._sub_account("koala-legal")

    @property
    def beacon(self) -> SubAccount:
        return self._sub_account("beacon-dental")

    @property
    def nora(self) -> User:
        return self._user("nora@northlight.example")

    @property
    def adam(self) -> User:
        return self._user("adam@northlight.example")

    @property
    def mia(self) -> User:
        return self._user("mia@northlight.example")

    @property
    def paul(self) -> User:
        return self._user("paul@acme-plumbing.example")

    @property
    def tess(self) -> User:
        return self._user("tess@acme-plumbing.example")

    @property
    def kira(self) -> User:
        return self._user("kira@koala-legal.example")

    @property
    def rita(self) -> User:
        return self._user("rita@harbour.example")

    @property
    def ben(self) -> User:
        return self._user("ben@beacon-dental.example")


def assemble() -> None:
    """Write the cast through the product's own deeds."""
    northlight = agency(name="Northlight Digital", slug="northlight", owner=person("nora@northlight.example", "Nora", "Lind"))
    Membership.objects.create(agency=northlight, user=person("adam@northlight.example", "Adam", "Okoye"), role="admin")
    mia = person("mia@northlight.example", "Mia", "Torres")
    Membership.objects.create(agency=northlight, user=mia, role="member")
    acme = sub_account(
        northlight, name="Acme Plumbing", slug="acme-plumbing", first="Paul", last="Acme", email="paul@acme-plumbing.example"
    )
    tess = person("tess@acme-plumbing.example", "Tess", "Acme", realm=northlight)
    Access.objects.create(sub_account=acme, user=tess, role="sub_account_member")
    Access.objects.create(sub_account=acme, user=mia, role=Access.GRANTED)
    sub_account(northlight, name="Koala Legal", slug="koala-legal", first="Kira", last="Wallis", email="kira@koala-legal.example")
    harbour = agency(name="Harbour & Co", slug="harbour", owner=person("rita@harbour.example", "Rita", "Hale"))
    sub_account(harbour, name="Beacon Dental", slug="beacon-dental", first="Ben", last="Cho", email="ben@beacon-dental.example")


class Visitor(Client):
    """A browser without scripts on one of our hosts. With `recent` its person has just shown that it is them."""

    def __init__(self, host: str = PLATFORM, user: User | None = None, *, recent: bool = True, **kwargs: Any) -> None:
        super().__init__(headers={"host": host}, **kwargs)
        self.host = host
        if user is not None:
            self.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
            session = self.session
            session["_host"] = host
            if recent:
                session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time()}]
                session["account_authentication_methods_user"] = str(user.pk)
            session.save()
