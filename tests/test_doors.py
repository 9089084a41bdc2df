"""Every URL × every kind of person, on the platform's host, the staff's and a workspace's, computed from doors and the role table."""

from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import transaction
from django.urls import URLPattern, reverse

from agency.access import AGENCY_ROLES, CAPABILITIES, CLIENT_ROLES, Can, Role
from agency.models import User
from kit.doors import Door, all_views, door_of
from tests.cast import PLATFORM, Cast, Visitor, host_of
from tests.staff.conftest import browser_of, member

PEOPLE: dict[str, Callable[[Cast], User | None]] = {
    "anonymous": lambda cast: None,
    "owner": lambda cast: cast.nora,
    "admin": lambda cast: cast.adam,
    "member": lambda cast: cast.mia,
    "sub_account_admin": lambda cast: cast.paul,
    "sub_account_member": lambda cast: cast.tess,
    "client of another sub-account": lambda cast: cast.kira,
    "rival owner": lambda cast: cast.rita,
    "rival client": lambda cast: cast.ben,
    "staff": lambda cast: member(is_superuser=True),
}
CONVERTERS: dict[str, Callable[[], Any]] = {
    "UUIDConverter": uuid4,
    "UUIDStrConverter": uuid4,
    "IntConverter": lambda: 1,
    "StringConverter": lambda: "x",
    "SlugConverter": lambda: "x",
}


def routes(urlconf: str) -> Iterator[tuple[str, URLPattern]]:
    yield from all_views(urlconf)


def path_of(route: str, pattern: URLPattern) -> str:
    """The path with random arguments: ids that do not exist, so the answer tells the door and nothing else."""
    path = route
    for name, converter in pattern.pattern.converters.items():
        value = str(CONVERTERS[type(converter).__name__]())
        for spelled in (f"<uuid:{name}>", f"<uuidstr:{name}>", f"<int:{name}>", f"<str:{name}>", f"<slug:{name}>", f"<{name}>"):
            path = path.replace(spelled, value)
    return path.replace("^", "").replace("$", "").replace("\\Z", "")


URLCONFS = {"platform": settings.ROOT_URLCONF, "staff": settings.STAFF_URLCONF, "workspace": settings.WORKSPACE_URLCONF}


def verdict(response: Any) -> str:
    if response.status_code == 401:
        return "no key"
    if response.status_code == 302 and response.headers["Location"] == reverse("agency_new"):
        return "no agency"
    if response.status_code in (301, 302, 303) and "/sign-in/" in response.headers["Location"]:
        return "sign in"
    return "forbidden" if response.status_code == 403 else "let in"


def expected(door: Door, who: str, site: str) -> set[str]:
    if door.kind == "open":
        return {"let in", "forbidden", "sign in"}
    if door.kind == "key":
        return {"no key"}  # whoever is signed in: a session opens nothing there (tests/api/test_doors.py has those with a key)
    known_here = {"platform": {*AGENCY_ROLES, "rival owner", "staff"}, "staff": {"staff"}, "workspace": {*CLIENT_ROLES}}[site]
    if site == "workspace" and door.kind == "workspace" and who == "client of another sub-account":
        return {"forbidden", "sign in"}
    if who not in known_here and not (site == "workspace" and who == "client of another sub-account"):
        return {"sign in"}
    if door.kind in ("person", "staff"):
        return {"let in", "forbidden"}
    if who == "staff":
        return {"no agency"}
    role = Role.OWNER if who == "rival owner" else Role(who)
    return {"let in"} if Can(door.needs) in CAPABILITIES[role] else {"forbidden"}


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("site", URLCONFS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_d01_every_url_lets_in_exactly_whom_its_door_names(
    cast: Cast, site: str, who: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "API_FAILURES_PER_MINUTE", 10_000)
    host = {"platform": PLATFORM, "staff": settings.STAFF_HOST}.get(site) or host_of(cast.acme)
    user = PEOPLE[who](cast)
    browser = browser_of(user, host) if who == "staff" and user else Visitor(host, user, raise_request_exception=True)
    cookies = browser.cookies
    wrong = []
    seen = 0
    for route, pattern in routes(URLCONFS[site]):
        door = door_of(pattern.callback)
        assert door is not None
        with transaction.atomic():  # each address meets the same person in the same session, whatever the one before did
            browser.cookies = SimpleCookie(cookies.output(header="", sep=";"))
            response = getattr(browser, method)(path_of(route, pattern))
            transaction.set_rollback(True)
        seen += 1
        if response.status_code >= 500 or verdict(response) not in expected(door, who, site):
            wrong.append(f"{method.upper()} {route} as {who}: {response.status_code}, expected {expected(door, who, site)}")
    assert wrong == []
    assert seen > 1


def test_every_view_stands_behind_a_door() -> None:
    for urlconf in URLCONFS.values():
        for route, pattern in all_views(urlconf):
            assert door_of(pattern.callback) is not None, route


def test_every_named_url_is_reversible() -> None:
    for urlconf in URLCONFS.values():
        for _, pattern in all_views(urlconf):
            if pattern.name and not pattern.pattern.converters:
                door = door_of(pattern.callback)
                namespace = {"staff": "admin:", "key": "api:"}.get(door.kind if door else "", "")
                assert reverse(f"{namespace}{pattern.name}", urlconf=urlconf)


def test_an_address_that_only_takes_forms_says_so(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get(f"/sub-accounts/{cast.acme.public_id}/restoration/")

    assert page.status_code == 405
    assert page.headers["Allow"] == "POST"
    assert "There is nothing to see here" in page.content.decode()
