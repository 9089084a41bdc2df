"""From a stranger to an agency, through the pages."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agency.forms import time_zones
from agency.models import Agency, AuditRecord, Membership, User
from credits.models import Wallet
from subaccounts import addresses
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor, host_of, person
from tests.entrance import Mails, code_in, sign_in

STRANGER = {"first_name": "Ada", "last_name": "Byron", "email": "ada@example.com", "password1": "analytical-engine-1843"}
WISH = {"name": "Byron & Co", "slug": "byron", "time_zone": "Europe/London", "currency": "GBP"}


def signed_up(mails: Mails) -> Visitor:
    browser = Visitor(PLATFORM)
    browser.post("/sign-up/", STRANGER)
    browser.post("/confirm-email/", {"code": code_in(mails()[-1])})
    return browser


def test_a_stranger_becomes_the_owner_of_an_agency(cast: Cast, mails: Mails) -> None:
    browser = Visitor(PLATFORM)
    assert browser.get("/sign-up/").status_code == 200
    assert browser.post("/sign-up/", STRANGER).headers["Location"] == "/confirm-email/"
    message = mails()[-1]
    assert message.to == ["ada@example.com"]
    confirmed = browser.post("/confirm-email/", {"code": code_in(message)})
    assert confirmed.headers["Location"] == "/agency/new/"
    assert browser.get("/agency/new/").status_code == 200
    assert browser.post("/agency/new/", WISH).headers["Location"] == "/"

    agency = Agency.objects.get(slug="byron")
    assert (agency.name, agency.time_zone, agency.currency, agency.plan.code) == ("Byron & Co", "Europe/London", "GBP", "starter")
    assert agency.trial_days_left == 14
    assert Membership.objects.get(agency=agency).user.email == "ada@example.com"
    assert SubAccount.objects.get(agency=agency).is_primary
    assert agency.pool("credit").balance == 1000
    assert AuditRecord.objects.filter(agency=agency, action="agency.opened").exists()


def test_posted_twice_it_is_one_agency(cast: Cast, mails: Mails) -> None:
    browser = signed_up(mails)
    browser.post("/agency/new/", WISH)
    again = browser.post("/agency/new/", {**WISH, "slug": "byron-two"})
    assert again.headers["Location"] == "/"
    assert Membership.objects.filter(user__email="ada@example.com").count() == 1


@pytest.mark.parametrize(
    ("slug", "says"),
    [("northlight", "taken"), ("acme-plumbing", "taken"), ("www", "kept"), ("support", "kept"), ("a b", "hyphens"), ("--x--", "hyphens")],
)
def test_an_address_that_cannot_be_had_is_explained_and_makes_nothing(cast: Cast, mails: Mails, slug: str, says: str) -> None:
    browser = signed_up(mails)
    before = (Agency.objects.count(), SubAccount.objects.count(), Wallet.objects.count())
    page = browser.post("/agency/new/", {**WISH, "slug": slug})
    assert page.status_code == 200
    assert says in page.content.decode()
    assert (Agency.objects.count(), SubAccount.objects.count(), Wallet.objects.count()) == before


def test_a_failure_in_the_middle_leaves_nothing(cast: Cast, mails: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = signed_up(mails)
    browser.raise_request_exception = False

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the last step fails")

    monkeypatch.setattr("subaccounts.opening.Domain.objects.create", fail)
    before = (Agency.objects.count(), Membership.objects.count(), Wallet.objects.count(), AuditRecord.objects.count())
    assert browser.post("/agency/new/", WISH).status_code == 500
    assert (Agency.objects.count(), Membership.objects.count(), Wallet.objects.count(), AuditRecord.objects.count()) == before


def test_without_an_address_one_is_made_of_the_name(cast: Cast, mails: Mails) -> None:
    browser = signed_up(mails)
    browser.post("/agency/new/", {**WISH, "name": "Northlight", "slug": ""})
    assert Agency.objects.get(memberships__user__email="ada@example.com").slug == "northlight-2"


def test_the_address_is_suggested_while_typing(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example")
    assert addresses.host_name("byron-co") in browser.get("/agency/new/address/", {"name": "Byron & Co"}).content.decode()
    assert "taken" in browser.get("/agency/new/address/", {"name": "x", "slug": "harbour"}).content.decode()


def test_whoever_has_no_agency_is_led_to_open_one(cast: Cast) -> None:
    person("new@example.com", "Ne", "W")
    browser, answer = sign_in("new@example.com")
    assert answer.headers["Location"] == "/agency/new/"
    assert browser.get("/settings/").headers["Location"] == "/agency/new/"


def test_nobody_signs_up_on_a_workspace(cast: Cast) -> None:
    for method in ("get", "post"):
        assert getattr(Visitor(host_of(cast.acme)), method)("/sign-up/").status_code == 404


def test_a_name_cannot_carry_a_link_into_a_mail(cast: Cast) -> None:
    page = Visitor(PLATFORM).post("/sign-up/", {**STRANGER, "first_name": "Win at https://evil.example"})
    assert "web address" in page.content.decode()
    assert not User.objects.filter(email="ada@example.com").exists()


@pytest.mark.parametrize("password", ["short-1", "password12345", "123456789012345", "ada@example.com", "x" * 257])
def test_e21_weak_and_endless_passwords_are_refused(cast: Cast, password: str) -> None:
    page = Visitor(PLATFORM).post("/sign-up/", {**STRANGER, "password1": password})
    assert page.status_code == 200
    assert not User.objects.filter(email="ada@example.com").exists()


def test_time_zones_offered_exist() -> None:
    assert all(ZoneInfo(name) for name, _ in time_zones())
