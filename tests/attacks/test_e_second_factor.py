"""Threats E17 and E18: a second factor that is asked for cannot be gone around."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings

from agency.models import Agency, User
from kit import clock
from kit.doors import door_of
from subaccounts import assist
from subaccounts.middleware import SETTING_UP, SHOWING
from subaccounts.models import Assist
from tests.attacks.test_b_sessions import every_path
from tests.attacks.test_c_assist import Browser
from tests.cast import PASSWORD, PLATFORM, Cast, Visitor, host_of
from tests.entrance import sign_in

REQUIRED = "/security/required/"
SIDES = ["team", "clients"]


@pytest.fixture(autouse=True)
def as_if_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """allauth writes the mail and the record after its commit, within the request; a test's own transaction never commits."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda deed, *args, **kwargs: deed())


def asked(cast: Cast, side: str, wanted: bool = True) -> tuple[User, str]:
    """The agency asks this side for a second factor; one of its people, and where they work."""
    Agency.objects.filter(pk=cast.northlight.pk).update(**{"team_needs_mfa" if side == "team" else "clients_need_mfa": wanted})
    return (cast.adam, PLATFORM) if side == "team" else (cast.paul, host_of(cast.acme))


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30))


def with_app(user: User) -> str:
    secret: str = generate_totp_secret()
    TOTP.activate(user, secret)
    RecoveryCodes.activate(user)
    return secret


def first(host: str) -> str:
    """A page of their work."""
    return "/home/" if host == PLATFORM else "/"


@pytest.mark.parametrize("side", SIDES)
def test_e18_who_has_no_second_factor_reaches_the_set_up_only(cast: Cast, side: str) -> None:
    user, host = asked(cast, side, wanted=False)
    browser = Visitor(host, user)
    assert browser.get(first(host)).status_code == 200
    asked(cast, side)
    urlconf = settings.ROOT_URLCONF if side == "team" else settings.WORKSPACE_URLCONF
    reached = set()
    for path, pattern in every_path(urlconf):
        door = door_of(pattern.callback)
        for answer in (browser.get(path), browser.post(path)):
            if answer.headers.get("Location") != REQUIRED and not (door and door.kind in ("open", "key")):
                reached.add(pattern.name)
        browser = Visitor(host, user)
    assert reached == SHOWING | SETTING_UP
    page = browser.get(REQUIRED).content.decode()
    assert "Northlight Digital asks for a second step" in page
    assert 'href="/home/"' not in page


@pytest.mark.parametrize("side", SIDES)
def test_e18_one_that_is_set_up_opens_the_way_at_once(cast: Cast, side: str) -> None:
    user, host = asked(cast, side)
    browser, _ = sign_in(user.email, host)
    browser.post("/security/confirm/", {"password": PASSWORD})
    secret = browser.get("/security/app/").context["form"].secret
    assert browser.post("/security/app/", {"code": code(secret)}).status_code == 302
    assert browser.get(first(host)).status_code == 200


@pytest.mark.parametrize("side", SIDES)
def test_e18_a_session_opened_without_the_factor_shows_it_first(cast: Cast, side: str) -> None:
    user, host = asked(cast, side)
    stolen, _ = sign_in(user.email, host)
    secret = with_app(user)
    answer = stolen.get(first(host))
    assert answer.headers["Location"].startswith("/security/confirm/code/?next=")
    for path in ("/security/", "/security/sessions/", REQUIRED, "/security/app/remove/"):
        assert stolen.get(path).status_code == 302
    stolen.post("/security/confirm/", {"password": PASSWORD})
    assert stolen.get(first(host)).status_code == 302, "a password is no second factor"
    stolen.post("/security/confirm/code/", {"code": code(secret)})
    assert stolen.get(first(host)).status_code == 200


def test_e18_a_piece_that_htmx_asks_for_sends_the_whole_page(cast: Cast) -> None:
    adam, host = asked(cast, "team")
    answer = Visitor(host, adam).get("/sub-accounts/", headers={"hx-request": "true"})
    assert answer.headers["HX-Redirect"] == REQUIRED


def test_e18_the_first_password_comes_before_the_factor(cast: Cast) -> None:
    paul, host = asked(cast, "clients")
    User.objects.filter(pk=paul.pk).update(must_change_password=True, initial_password_expires_at=clock.now() + timedelta(days=1))
    browser, _ = sign_in(paul.email, host)
    assert browser.get("/").headers["Location"] == "/password/first/"
    assert browser.get("/password/first/").status_code == 200
    new = "a-sturdy-one-4711"
    browser.post("/password/first/", {"password1": new, "password2": new})
    assert browser.get("/").headers["Location"] == REQUIRED


def test_e18_each_side_is_asked_by_its_own_switch(cast: Cast) -> None:
    asked(cast, "clients")
    assert Visitor(PLATFORM, cast.adam).get("/home/").status_code == 200
    assert Visitor(host_of(cast.beacon), cast.ben).get("/").status_code == 200
    asked(cast, "clients", wanted=False)
    asked(cast, "team")
    assert Visitor(host_of(cast.acme), cast.paul).get("/").status_code == 200
    assert Visitor(PLATFORM, cast.rita).get("/home/").status_code == 200


def test_e18_who_assists_showed_it_on_the_agencys_host(cast: Cast) -> None:
    asked(cast, "team")
    asked(cast, "clients")
    with_app(cast.nora)
    browser = Visitor(host_of(cast.acme), cast.nora)
    session = browser.session
    session["assist"] = str(assist.begin(user=cast.nora, sub_account=cast.acme).public_id)
    session.save()
    assert browser.get("/").status_code == 200
    enter = f"/sub-accounts/{cast.acme.public_id}/enter/"
    assert Visitor(PLATFORM, cast.nora).post(enter).headers["Location"].startswith("/security/confirm/code/")


def test_e18_an_assist_that_began_before_its_agency_asked_ends_with_the_next_request(cast: Cast) -> None:
    browser, late = Browser(cast.adam), Browser(cast.adam)
    browser.enter(cast.acme)
    token = late.token_for(cast.koala)
    asked(cast, "team")
    assert browser.on(host_of(cast.acme)).get("/").status_code == 403
    assert late.on(host_of(cast.koala)).post("/hop/", {"token": token}).status_code == 404
    assert [ended.ended_as for ended in Assist.objects.all()] == [Assist.LOST]


def test_e18_taking_the_last_factor_away_leads_back_to_the_set_up(cast: Cast) -> None:
    adam, host = asked(cast, "team")
    secret = with_app(adam)
    with time_machine.travel(clock.now(), tick=False) as travel:
        browser, _ = sign_in(adam.email, host)
        browser.post("/sign-in/code/", {"code": code(secret)})
        assert browser.get("/home/").status_code == 200
        travel.shift(timedelta(seconds=60))
        browser.post("/security/confirm/code/", {"code": code(secret)})
        assert browser.post("/security/app/remove/").status_code == 302
        assert not Authenticator.objects.filter(user=adam).exists()
        assert browser.get("/home/").headers["Location"] == REQUIRED


def test_e17_a_recovery_code_counts_as_the_factor_once(cast: Cast) -> None:
    adam, host = asked(cast, "team")
    with_app(adam)
    spare: Any = Authenticator.objects.get(user=adam, type=Authenticator.Type.RECOVERY_CODES).wrap()
    (used, *_) = spare.get_unused_codes()
    for expected in (200, 302):
        browser, _ = sign_in(adam.email, host)
        browser.post("/sign-in/code/", {"code": used})
        assert browser.get("/home/").status_code == expected
