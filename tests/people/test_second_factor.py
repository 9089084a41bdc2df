"""Setting up a second factor and using it, through the pages, on both kinds of host."""

import re
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from agency.models import AuditRecord, User
from kit import clock
from tests.cast import PASSWORD, PLATFORM, Cast, Visitor, host_of
from tests.entrance import Mails, is_signed_in, sign_in


@pytest.fixture(autouse=True)
def as_if_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """allauth writes the mail and the record after its commit, within the request; a test's own transaction never commits."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda deed, *args, **kwargs: deed())


def place_of(cast: Cast, who: str) -> tuple[User, str]:
    return (cast.nora, PLATFORM) if who == "nora" else (cast.paul, host_of(cast.acme))


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30))


def set_up(browser: Visitor) -> str:
    """An authenticator app, as a person adds one; its secret."""
    browser.post("/security/confirm/", {"password": PASSWORD})
    page = browser.get("/security/app/").content.decode()
    found = re.search(r"\b[A-Z2-7]{32}\b", page)
    assert found, "the page shows no key to type in"
    assert browser.post("/security/app/", {"code": code(found.group())}).status_code == 302
    return found.group()


@pytest.mark.parametrize("who", ["nora", "paul"])
def test_an_app_is_set_up_used_and_removed(cast: Cast, mails: Mails, who: str) -> None:
    user, host = place_of(cast, who)
    with time_machine.travel(clock.now(), tick=False) as travel:
        browser, _ = sign_in(user.email, host)
        secret = set_up(browser)
        assert "authenticator app was added" in mails()[-1].subject
        codes = re.findall(r"\b\d{8}\b", browser.get("/security/recovery-codes/download/").content.decode())
        assert len(codes) == 10

        travel.shift(timedelta(seconds=60))
        again, answer = sign_in(user.email, host)
        assert answer.headers["Location"] == "/sign-in/code/"
        assert again.get("/sign-in/code/").status_code == 200
        assert again.post("/sign-in/code/", {"code": "000000"}).status_code == 200
        again.post("/sign-in/code/", {"code": code(secret)})
        assert is_signed_in(again)

        lost, _ = sign_in(user.email, host)
        lost.post("/sign-in/code/", {"code": codes[0]})
        assert is_signed_in(lost)

        travel.shift(timedelta(seconds=60))
        lost.post("/security/confirm/code/", {"code": code(secret)})
        assert lost.post("/security/app/remove/").status_code == 302
    assert not Authenticator.objects.filter(user=user).exists()
    actions = AuditRecord.objects.filter(actor_id=str(user.public_id), action__startswith="person.second_factor")
    assert set(actions.values_list("action", flat=True)) == {"person.second_factor_added", "person.second_factor_removed"}
    assert {record.agency for record in actions} == {cast.northlight}


def test_the_app_shows_the_place_not_the_platform(cast: Cast) -> None:
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    browser.post("/security/confirm/", {"password": PASSWORD})
    answer = browser.get("/security/app/")
    assert "issuer=Northlight%20Digital" in answer.context["totp_url"]


def test_codes_are_guessed_five_times(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example")
    secret = set_up(browser)
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        thief, _ = sign_in("nora@northlight.example")
        for number in range(6):
            thief.post("/sign-in/code/", {"code": f"{number:06}"}, REMOTE_ADDR=f"198.51.100.{number}")
        thief.post("/sign-in/code/", {"code": code(secret)})
        assert not is_signed_in(thief)
