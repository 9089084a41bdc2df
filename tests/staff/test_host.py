"""The staff's own host (threats D12, E18): who gets in, with what, and that it is nowhere else."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.conf import settings
from django.core.management import CommandError, call_command
from django.urls import reverse

from agency import staff
from agency.models import AuditRecord, User
from kit import clock
from kit.doors import all_views, door_of
from subaccounts import addresses, hosts
from tests.cast import PASSWORD, PLATFORM, Cast, Visitor, host_of
from tests.entrance import Mails, code_in, sign_in
from tests.staff.conftest import HOST, SECRET, browser_of, member

COOKIE = settings.SESSION_COOKIE_NAME
ADMIN_PATHS = ["/admin/", "/credits/wallet/", "/credits/unit/add/", "/credits/entry/", "/jsi18n/", "/credits/auditrun/"]


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30))


def location(response: Any) -> str:
    return response.headers.get("Location", "")


def is_in(browser: Visitor) -> bool:
    return browser.get("/").status_code == 200


# --- The host ------------------------------------------------------------------------------------------------------------


def test_the_host_is_a_site_of_its_own() -> None:
    site = hosts.site_for(HOST)
    assert site is not None
    assert (site.kind, site.host, site.realm, site.sub_account) == ("staff", HOST, None, None)


def test_d12_no_page_of_the_admin_is_on_any_other_host(cast: Cast, sara: User) -> None:
    for host, user in [(PLATFORM, cast.nora), (PLATFORM, sara), (host_of(cast.acme), cast.paul)]:
        for path in ADMIN_PATHS:
            assert Visitor(host, user).get(path).status_code == 404, (host, path)
    staffs = {pattern.callback for _, pattern in all_views(settings.STAFF_URLCONF) if door_of(pattern.callback).kind == "staff"}  # type: ignore[union-attr]
    assert staffs
    for urlconf in (settings.ROOT_URLCONF, settings.WORKSPACE_URLCONF):
        assert all(door_of(pattern.callback).kind != "staff" for _, pattern in all_views(urlconf))  # type: ignore[union-attr]


def test_nothing_of_the_dashboard_is_on_the_staffs_host(desk: Visitor) -> None:
    for path in (
        "/home/",
        "/sub-accounts/",
        "/credits/statement/",
        "/settings/",
        "/sign-up/",
        "/find-workspace/",
        "/agency/new/",
        "/plan/",
    ):
        assert desk.get(path).status_code == 404, path


def test_nobody_can_have_its_address(cast: Cast, settings: Any) -> None:
    settings.STAFF_HOST = f"backstage.{settings.BASE_DOMAIN}"
    for slug in ("staff", "backstage"):
        with pytest.raises(addresses.BadSlug):
            addresses.check_slug(slug)
    assert addresses.suggest_slug("Backstage") != "backstage"


def test_it_may_have_a_certificate(client: Any, db: None) -> None:
    def ask(name: str) -> int:
        return client.get("/internal/tls-ask", {"domain": name}, REMOTE_ADDR="10.0.0.7").status_code

    assert ask(HOST.partition(":")[0]) == 200
    assert ask(f"other.{HOST.partition(':')[0]}") == 404


def test_headers_of_every_page(desk: Visitor) -> None:
    for path in ("/", "/credits/wallet/", "/credits/auditrun/", "/security/"):
        page = desk.get(path)
        assert page.status_code == 200
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "no-store" in page.headers["Cache-Control"]
        text = page.content.decode()
        assert re.search(r'name="robots" content="(NONE|noindex)', text)
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", text), path


# --- Who gets in ---------------------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_sign_in(db: None) -> None:
    for path in ("/", "/credits/wallet/", "/credits/unit/add/"):
        answer = Visitor(HOST).get(path)
        assert (answer.status_code, location(answer).partition("?")[0]) == (302, "/sign-in/")


def test_a_right_password_of_anybody_else_says_what_a_wrong_one_says(cast: Cast) -> None:
    def answer(email: str, password: str) -> tuple[int, str]:
        _, response = sign_in(email, HOST, password)
        return response.status_code, re.sub(r'value="[^"]*"', "", response.content.decode())

    unknown = answer("nobody@nowhere.example", PASSWORD)
    for email in ("nora@northlight.example", "paul@acme-plumbing.example", "rita@harbour.example"):
        assert answer(email, PASSWORD) == unknown, email


def test_a_forgotten_password_of_anybody_else_sends_no_mail(cast: Cast, mails: Mails) -> None:
    member(has_factor=False)
    for email in ("nora@northlight.example", "sara@canopy.example"):
        assert Visitor(HOST).post("/password/reset/", {"email": email}).status_code == 302
    assert [mail.to for mail in mails()] == [["sara@canopy.example"]]
    assert code_in(mails()[0])


@pytest.mark.parametrize("who", ["nora", "adam", "paul", "rita"])
def test_a_session_of_anybody_else_is_nothing_here(cast: Cast, who: str) -> None:
    browser = browser_of(getattr(cast, who))
    assert location(browser.get("/credits/wallet/")).startswith("/sign-in/")
    assert location(browser.get("/")).startswith("/sign-in/")


def test_whoever_stops_being_staff_is_out_on_the_next_request(desk: Visitor, sara: User) -> None:
    assert is_in(desk)
    User.objects.filter(pk=sara.pk).update(is_staff=False)
    assert not is_in(desk)


def test_b_a_session_of_one_host_is_none_on_the_other(cast: Cast, sara: User) -> None:
    there, here = browser_of(sara, PLATFORM), browser_of(sara, HOST)
    assert there.get("/security/").status_code == 200
    assert is_in(here)
    for stolen, host, path in ((there.cookies[COOKIE].value, HOST, "/"), (here.cookies[COOKIE].value, PLATFORM, "/security/")):
        replay = Visitor(host)
        replay.cookies[COOKIE] = stolen
        assert replay.get(path).status_code == 302
    assert not is_in(here), "a replayed session is over everywhere"
    assert AuditRecord.objects.filter(action="session.refused", subject=sara.email).count() == 2


def test_an_idle_session_is_over_after_twenty_minutes(desk: Visitor) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        assert is_in(desk)
        travel.shift(timedelta(minutes=19))
        assert is_in(desk)
        travel.shift(timedelta(minutes=21))
        assert not is_in(desk)


def test_no_session_outlasts_a_working_day(desk: Visitor) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        for _ in range(8 * 60 // 15):
            assert is_in(desk)
            travel.shift(timedelta(minutes=15))
        assert not is_in(desk)


# --- The second factor ---------------------------------------------------------------------------------------------------


@pytest.fixture
def as_if_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.transaction.on_commit", lambda deed, *args, **kwargs: deed())


def test_e18_without_a_second_factor_nothing_opens_but_its_set_up(cast: Cast) -> None:
    member(has_factor=False, is_superuser=True)
    browser, answer = sign_in("sara@canopy.example", HOST)
    assert (answer.status_code, location(answer)) == (302, "/")
    for path in ("/", *ADMIN_PATHS[1:]):
        assert location(browser.get(path)) == "/security/", path
        assert browser.post(path).status_code == 403, path
    browser.get("/")
    assert "Staff work with a second factor" in browser.get("/security/").content.decode()


def test_e18_the_first_sign_in_sets_one_up_and_goes_on(cast: Cast, as_if_committed: None) -> None:
    sara = member(has_factor=False, is_superuser=True)
    with time_machine.travel(clock.now(), tick=False) as travel:
        earlier, _ = sign_in("sara@canopy.example", HOST)
        elsewhere, _ = sign_in("sara@canopy.example", PLATFORM)
        browser, _ = sign_in("sara@canopy.example", HOST)
        for other in (earlier, elsewhere, browser):
            assert other.get("/security/").status_code == 200
        browser.post("/security/confirm/", {"password": PASSWORD})
        key = re.search(r"\b[A-Z2-7]{32}\b", browser.get("/security/app/").content.decode())
        assert key
        assert browser.post("/security/app/", {"code": code(key.group())}).status_code == 302
        assert is_in(browser)
        for other in (earlier, elsewhere):
            assert other.get("/security/").status_code == 302, "a session from before the second factor is over"

        travel.shift(timedelta(minutes=1))
        again, answer = sign_in("sara@canopy.example", HOST)
        assert location(answer) == "/sign-in/code/"
        assert not is_in(again)
        again.post("/sign-in/code/", {"code": code(key.group())})
        assert is_in(again)
    assert Authenticator.objects.filter(user=sara, type="totp").count() == 1


def test_a_session_that_never_showed_its_second_factor_is_asked_for_it(cast: Cast) -> None:
    sara = member(is_superuser=True)
    browser = Visitor(HOST, sara)
    answer = browser.get("/credits/wallet/")
    assert location(answer) == "/security/confirm/code/?next=%2Fcredits%2Fwallet%2F"
    browser.post(location(answer), {"code": code(SECRET), "next": "/credits/wallet/"})
    assert browser.get("/credits/wallet/").status_code == 200


def test_taking_the_second_factor_away_shuts_the_door(desk: Visitor, sara: User) -> None:
    Authenticator.objects.filter(user=sara).delete()
    assert location(desk.get("/")) == "/security/"


# --- CSRF ------------------------------------------------------------------------------------------------------------------


def test_b04_no_change_without_a_token(sara: User) -> None:
    browser = browser_of(sara, enforce_csrf_checks=True)
    for path in ("/credits/unit/add/", "/credits/auditrun/run/"):
        assert browser.post(path, {"code": "x"}).status_code == 403, path


# --- Making staff --------------------------------------------------------------------------------------------------------


def test_staff_are_made_by_command(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("make_staff", "Sara@Canopy.example", first_name="Sara", group=["Books", "Adjustments"], no_password=True)
    sara = User.objects.get(email="sara@canopy.example")
    assert (sara.realm, sara.is_staff, sara.is_superuser, sara.has_usable_password()) == (None, True, False, False)
    assert set(sara.groups.values_list("name", flat=True)) == {"Books", "Adjustments"}
    record = AuditRecord.objects.get(action="staff.made")
    assert (record.agency, record.subject, record.after["groups"]) == (None, "sara@canopy.example", ["Adjustments", "Books"])
    assert "sara@canopy.example is staff" in capsys.readouterr().out


def test_the_password_is_asked_for_and_must_be_a_good_one(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for typed, problem in ((["short"], "too short"), (["another-good-one-77", "another-good-one-78"], "differ")):
        answers = iter(typed)
        monkeypatch.setattr("getpass.getpass", lambda prompt, answers=answers: next(answers))
        with pytest.raises(CommandError, match=problem):
            call_command("make_staff", "sara@canopy.example")
    assert not User.objects.filter(email="sara@canopy.example").exists()
    monkeypatch.setattr("getpass.getpass", lambda prompt: "another-good-one-77")
    call_command("make_staff", "sara@canopy.example", superuser=True)
    assert User.objects.get(email="sara@canopy.example").check_password("another-good-one-77")


def test_nobody_of_an_agencys_team_becomes_staff_and_no_unknown_group_is_made(cast: Cast) -> None:
    for email, groups in (("nora@northlight.example", []), ("sara@canopy.example", ["Everything"])):
        with pytest.raises(CommandError):
            call_command("make_staff", email, group=groups, no_password=True)
    assert not User.objects.filter(is_staff=True).exists()


def test_djangos_own_command_makes_staff_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "another-good-one-77")
    call_command("createsuperuser", interactive=False, handle="root", email="root@canopy.example")
    browser, answer = sign_in("root@canopy.example", HOST, "another-good-one-77")
    assert location(answer) == "/"
    assert location(browser.get("/")) == "/security/"


def test_the_groups_are_there_after_migrating(db: None) -> None:
    before = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in staff.Group.objects.all()}
    assert set(before) == set(staff.GROUPS)
    staff.make_groups()
    assert "adjust_wallet" in before["Adjustments"]
    assert "adjust_wallet" not in before["Books"]
    assert reverse("admin:index", urlconf=settings.STAFF_URLCONF) == "/"
