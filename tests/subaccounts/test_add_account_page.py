"""Add account, through its pages."""

import re
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.core import mail as outgoing

from agency.models import User
from kit import outbox
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor

NEW = "/sub-accounts/new/"


def form(**changes: object) -> dict[str, object]:
    filled = {
        "key": str(uuid4()),
        "business_name": "Ode Bakery",
        "slug": "",
        "first_name": "Gil",
        "last_name": "Ode",
        "has_login": "on",
        "email": "gil@ode.example",
    }
    return {name: value for name, value in {**filled, **changes}.items() if value is not None}


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


def shown_password(page: str) -> list[str]:
    return re.findall(r'id="first-password">([^<]+)<', page)


def test_the_form_says_that_a_login_needs_an_address(nora: Visitor) -> None:
    assert "needed for a login" in nora.get(NEW).content.decode()


def test_c12_the_password_is_shown_once_and_never_again(nora: Visitor) -> None:
    answer = nora.post(NEW, form())
    first = nora.get(answer["Location"])
    second = nora.get(answer["Location"])

    assert answer.status_code == 302
    (password,) = shown_password(first.content.decode())
    assert shown_password(second.content.decode()) == []
    assert password not in second.content.decode()
    assert "no-store" in first["Cache-Control"]
    user = User.objects.get(email="gil@ode.example")
    assert user.check_password(password)


def test_the_waiting_password_cannot_be_read_in_the_session_table(nora: Visitor) -> None:
    answer = nora.post(NEW, form())
    stored = " ".join(str(session.get_decoded()) for session in Session.objects.all())
    (password,) = shown_password(nora.get(answer["Location"]).content.decode())

    assert "opened:" in stored
    assert password not in stored


def test_c13_the_client_gets_its_credentials_by_mail(nora: Visitor, django_capture_on_commit_callbacks: object) -> None:
    answer = nora.post(NEW, form())
    (password,) = shown_password(nora.get(answer["Location"]).content.decode())
    outbox.deliver_due()

    (sent,) = [message for message in outgoing.outbox if message.to == ["gil@ode.example"]]
    assert "http://ode-bakery.localhost:8000/" in sent.body
    assert password in sent.body
    assert "7 days" in sent.body
    assert "Canopy" not in sent.body + sent.subject + str(sent.from_email)


def test_a_double_submit_opens_one_and_still_shows_the_password(nora: Visitor) -> None:
    filled = form()

    nora.post(NEW, filled)
    answer = nora.post(NEW, filled)

    assert SubAccount.objects.filter(name="Ode Bakery").count() == 1
    assert shown_password(nora.get(answer["Location"]).content.decode())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"email": "paul@acme-plumbing.example"}, "already signs in to one of your sub-accounts"),
        ({"slug": "beacon-dental"}, "is taken"),
        ({"slug": "www"}, "kept for the platform"),
        ({"slug": "not a slug"}, "small letters, digits"),
        ({"email": ""}, "Enter the client&#x27;s e-mail"),
        ({"email": "nonsense"}, "valid email"),
        ({"first_name": ""}, "required"),
        ({"first_name": "Win at https://evil.example"}, "cannot contain a web address"),
        ({"business_name": "www.evil.example"}, "cannot contain a web address"),
        ({"business_name": "東京"}, "No web address can be made"),
    ],
)
def test_bad_input_is_a_clear_error_and_makes_nothing(nora: Visitor, changes: dict[str, object], words: str) -> None:
    before = SubAccount.objects.count()

    page = nora.post(NEW, form(**changes))

    assert page.status_code == 200
    assert words in page.content.decode()
    assert SubAccount.objects.count() == before


def test_l05_at_the_limit_an_upgrade_is_offered(cast: Cast, nora: Visitor) -> None:
    agency = cast.northlight
    agency.max_sub_accounts_override = 2
    agency.save()

    page = nora.get(NEW)
    refused = nora.post(NEW, form())

    assert "See larger plans" in page.content.decode()
    assert refused.status_code == 409
    assert "See larger plans" in refused.content.decode()
    assert not SubAccount.objects.filter(name="Ode Bakery").exists()


def test_c19_without_a_login(nora: Visitor) -> None:
    answer = nora.post(NEW, form(has_login=None, email=""))
    page = nora.get(answer["Location"]).content.decode()

    assert "no login of its own" in page
    assert shown_password(page) == []


def test_the_web_address_is_suggested_from_the_name(nora: Visitor) -> None:
    assert 'value="ode-bakery"' in nora.get("/sub-accounts/new/web-address/?business_name=Ode+Bakery").content.decode()


def test_a02_the_confirmation_of_another_agency_is_not_found(cast: Cast, nora: Visitor) -> None:
    assert nora.get(f"/sub-accounts/{cast.beacon.public_id}/opened/").status_code == 404


def test_an_agency_member_cannot_open_any(cast: Cast) -> None:
    mia = Visitor(PLATFORM, cast.mia)

    assert mia.get(NEW).status_code == 403
    assert mia.post(NEW, form()).status_code == 403
