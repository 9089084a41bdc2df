"""Threats B: sessions, cookies, CSRF, redirects."""

import ast
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import connection
from django.urls import URLPattern

from agency.models import AuditRecord, Membership, User
from kit import clock
from kit.doors import all_views
from subaccounts import assist, second_factors
from subaccounts.middleware import SEEN_EVERY_SECONDS
from subaccounts.models import Access
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails, code_in, is_signed_in, sign_in
from tests.test_doors import path_of

COOKIE = settings.SESSION_COOKIE_NAME
EVIL = [
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example/",
    "\tjavascript:alert(1)",
    "javascript:alert(1)",
    "//evil%2f..",
    "///evil.example",
    "http://evil.example",
    "/\t/evil.example",
    "https://localhost:8000@evil.example",
    "https://acme-plumbing.localhost:8000/",
    "\x00//evil.example",
    "ftp://localhost:8000/",
]
# Posted to by programs and by visitors without a session: nothing there acts for somebody who is signed in.
# `/hop/` and `/join/` take a single-use token together with this browser's own nonce instead.
UNSIGNED = ("/widget/", "/api/", "/hop/", "/join/")


def cookie_of(browser: Visitor) -> str:
    return browser.cookies[COOKIE].value


def every_path(urlconf: str) -> list[tuple[str, URLPattern]]:
    return [(path_of(route, pattern), pattern) for route, pattern in all_views(urlconf)]


def test_b01_cookies_cannot_be_set_by_a_sibling_host(cast: Cast) -> None:
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    browser.get("/sign-out/")
    for name in (COOKIE, "__Host-device"):
        morsel = browser.cookies[name]
        assert name.startswith("__Host-")
        assert morsel["secure"]
        assert morsel["httponly"]
        assert morsel["path"] == "/"
        assert not morsel["domain"]
    assert settings.CSRF_COOKIE_NAME.startswith("__Host-")
    assert settings.CSRF_COOKIE_SECURE
    assert not settings.CSRF_COOKIE_DOMAIN


def test_b02_signing_in_changes_the_session_key_and_kills_the_old_one(cast: Cast) -> None:
    browser = Visitor(PLATFORM)
    browser.get("/sign-in/passkey/", headers={"x-requested-with": "XMLHttpRequest"})  # leaves something in an anonymous session
    before = cookie_of(browser)
    sign_in("nora@northlight.example", browser=browser)
    assert cookie_of(browser) != before
    fixed = Visitor(PLATFORM)
    fixed.cookies[COOKIE] = before
    assert not is_signed_in(fixed)


def test_b02_changing_the_password_changes_the_session_key(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example")
    before = cookie_of(browser)
    change_password(browser)
    assert cookie_of(browser) != before
    assert is_signed_in(browser)


def change_password(browser: Visitor, new: str = "another-good-one-77") -> Any:
    answer = browser.post("/security/password/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert answer.status_code == 302
    return answer


@pytest.mark.parametrize("who", ["adam", "paul"])
def test_b02_another_role_changes_the_session_key_and_kills_the_old_one(cast: Cast, who: str) -> None:
    user = getattr(cast, who)
    host = PLATFORM if who == "adam" else host_of(cast.acme)
    browser, _ = sign_in(user.email, host)
    browser.get("/security/")
    before, page = cookie_of(browser), f"/users/{user.public_id}/role/"
    browser.get("/security/")
    assert cookie_of(browser) == before

    Visitor(PLATFORM, cast.nora).post(page, {"role": "member" if who == "adam" else "sub_account_member"})

    assert is_signed_in(browser)
    assert cookie_of(browser) != before
    copied = Visitor(host)
    copied.cookies[COOKIE] = before
    assert not is_signed_in(copied)
    assert is_signed_in(browser)
    assert UserSession.objects.filter(user=user).count() == 1


def test_b03_changing_the_password_ends_every_other_session(cast: Cast) -> None:
    here, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    there, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    change_password(here)
    assert is_signed_in(here)
    assert not is_signed_in(there)


def test_b03_a_new_role_acts_on_the_very_next_request(cast: Cast) -> None:
    browser, _ = sign_in("adam@northlight.example")
    assert browser.get("/settings/").status_code == 200
    Membership.objects.filter(user=cast.adam).update(role="member")
    assert browser.get("/settings/").status_code == 403
    Membership.objects.filter(user=cast.adam).delete()
    assert browser.get("/settings/").status_code == 302


def test_b03_access_taken_away_acts_on_the_very_next_request(cast: Cast) -> None:
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    browser.get("/security/")
    assert browser.get("/security/").wsgi_request.capabilities
    Access.objects.filter(user=cast.paul).delete()
    assert not browser.get("/security/").wsgi_request.capabilities


def test_b03_a_person_with_two_browsers_is_out_of_both_once_removed(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    for user, host in ((cast.adam, PLATFORM), (cast.paul, host_of(cast.acme))):
        browsers = [sign_in(user.email, host)[0] for _ in range(2)]
        assert all(map(is_signed_in, browsers))

        nora.post(f"/users/{user.public_id}/removal/")

        assert not any(map(is_signed_in, browsers))


def test_b03_a_role_changed_by_a_page_acts_in_both_browsers_at_once(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    browsers = [sign_in("adam@northlight.example")[0] for _ in range(2)]
    assert [browser.get("/users/").status_code for browser in browsers] == [200, 200]
    nora.post(f"/users/{cast.adam.public_id}/role/", {"role": "member"})
    assert [browser.get("/users/").status_code for browser in browsers] == [403, 403]
    nora.post(f"/users/{cast.adam.public_id}/role/", {"role": "admin"})
    assert [browser.get("/users/").status_code for browser in browsers] == [200, 200]

    clients = [sign_in("paul@acme-plumbing.example", host_of(cast.acme))[0] for _ in range(2)]
    assert [browser.get("/chatbots/new/").status_code for browser in clients] == [200, 200]
    nora.post(f"/users/{cast.paul.public_id}/role/", {"role": "sub_account_member"})
    assert [browser.get("/chatbots/new/").status_code for browser in clients] == [403, 403]
    assert [browser.get("/chatbots/").status_code for browser in clients] == [200, 200]


@pytest.mark.parametrize("site", ["platform", "workspace"])
def test_b04_no_change_without_a_token_of_this_session(cast: Cast, site: str) -> None:
    urlconf, host, user = (
        (settings.ROOT_URLCONF, PLATFORM, cast.nora) if site == "platform" else (settings.WORKSPACE_URLCONF, host_of(cast.acme), cast.paul)
    )
    browser = Visitor(host, user, enforce_csrf_checks=True)
    for path, pattern in every_path(urlconf):
        if getattr(pattern.callback, "csrf_exempt", False):
            assert path.startswith(UNSIGNED), path
            continue
        assert browser.post(path).status_code == 403, path
        assert browser.post(path, headers={"origin": "https://evil.example"}).status_code == 403, path


def test_b04_the_token_of_another_session_is_worth_nothing(cast: Cast) -> None:
    def token(page: Any) -> str:
        return str(re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1])  # type: ignore[index]

    mine, theirs = (Visitor(PLATFORM, user, enforce_csrf_checks=True) for user in (cast.nora, cast.rita))
    stolen, own = token(theirs.get("/settings/")), token(mine.get("/settings/"))
    wish = {"name": "Renamed", "time_zone": "UTC"}
    assert mine.post("/settings/", {**wish, "csrfmiddlewaretoken": stolen}).status_code == 403
    assert cast.northlight.name == "Northlight Digital"
    assert mine.post("/settings/", {**wish, "csrfmiddlewaretoken": own}).status_code == 302


@pytest.mark.parametrize("site", ["platform", "workspace"])
def test_b05_looking_changes_nothing(cast: Cast, site: str) -> None:
    urlconf, host, user = (
        (settings.ROOT_URLCONF, PLATFORM, cast.nora) if site == "platform" else (settings.WORKSPACE_URLCONF, host_of(cast.acme), cast.paul)
    )
    browser = Visitor(host, user)
    browser.get("/security/")
    before = everything()
    for path, _ in every_path(urlconf):
        if path == "/audit.csv":  # who takes the log away leaves a record
            continue
        browser.get(path)
        browser.head(path)
    after = everything()
    assert {table for table in before if before[table] != after[table]} == set()


def everything() -> dict[str, Any]:
    """A digest of every table of people, agencies, sub-accounts and money."""
    tables = [
        name
        for name in connection.introspection.table_names()
        if name.split("_")[0] in ("agency", "subaccounts", "credits", "billing", "whitelabel", "account", "mfa", "kit")
    ]
    with connection.cursor() as cursor:
        digests = {}
        for table in sorted(tables):
            cursor.execute(f'SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM public."{table}" t')
            digests[table] = cursor.fetchone()
    return digests


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "FOO"])
def test_b06_other_verbs_are_refused(cast: Cast, method: str) -> None:
    for urlconf, host, user in ((settings.ROOT_URLCONF, PLATFORM, cast.nora), (settings.WORKSPACE_URLCONF, host_of(cast.acme), cast.paul)):
        browser = Visitor(host, user)
        for path, _ in every_path(urlconf):
            if not path.startswith("/api/"):
                assert browser.generic(method, path).status_code == 405, path


def test_b06_a_method_cannot_be_overridden(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.nora)
    answer = browser.get("/settings/", {"_method": "POST", "name": "Overridden"}, headers={"x-http-method-override": "POST"})
    assert answer.status_code == 200
    assert cast.northlight.name == "Northlight Digital"


@pytest.mark.parametrize("target", EVIL)
def test_b07_signing_in_leads_to_this_host_only(cast: Cast, target: str) -> None:
    browser = Visitor(PLATFORM)
    answer = browser.post("/sign-in/", {"login": "nora@northlight.example", "password": PASSWORD, "next": target})
    assert answer.headers["Location"] == "/"
    assert browser.post("/sign-out/", {"next": target}).headers["Location"] == "/"


def test_b07_a_page_of_this_host_is_where_one_wanted_to_go(cast: Cast) -> None:
    answer = Visitor(PLATFORM).post("/sign-in/", {"login": "nora@northlight.example", "password": PASSWORD, "next": "/settings/"})
    assert answer.headers["Location"] == "/settings/"


def test_b08_pages_cannot_be_framed(cast: Cast) -> None:
    for browser in (Visitor(PLATFORM), Visitor(PLATFORM, cast.nora), Visitor(host_of(cast.acme), cast.paul)):
        for path in ("/sign-in/", "/security/", "/billing/plan/"):
            answer = browser.get(path)
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


MARKUP = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg/onload=alert(1)>', "'-alert(1)-'"]


@pytest.mark.parametrize("text", MARKUP)
def test_b09_a_stored_name_is_text(cast: Cast, text: str) -> None:
    agency = cast.northlight
    agency.name = text
    agency.save()
    User.objects.filter(pk=cast.nora.pk).update(first_name=text[:80])
    browser = Visitor(PLATFORM, cast.nora)
    for path in ("/settings/", "/settings/roles/", "/billing/plan/", "/security/"):
        page = browser.get(path).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<svg/onload" not in page


@pytest.mark.parametrize("text", ["{{ settings.SECRET_KEY }}", "{% load static %}", "{{7*7}}"])
def test_b11_stored_text_is_never_a_template(cast: Cast, mails: Mails, text: str) -> None:
    agency = cast.northlight
    agency.name = text
    agency.save()
    page = Visitor(PLATFORM, cast.nora).get("/billing/plan/").content.decode()
    assert text in page
    Visitor(host_of(cast.acme)).post("/password/reset/", {"email": "paul@acme-plumbing.example"})
    assert text in mails()[-1].body


def test_b11_names_in_mails_are_never_templates(cast: Cast, mails: Mails) -> None:
    words = "{{ settings.SECRET_KEY }}{{ 7|add:7 }}"
    agency = cast.northlight
    agency.name = words
    agency.save()
    second_factors.ask(agency=agency, team=True, clients=True, by=TESTS)
    for _ in range(2):
        sign_in("paul@acme-plumbing.example", host_of(cast.acme), headers={"user-agent": "{% now 'Y' %} Firefox"})
    sent = {message.subject for message in mails()}
    assert {f"{words} asks for a second step when you sign in", f"New sign-in to {words}"} <= sent
    assert all(words in message.body for message in mails() if message.to == ["paul@acme-plumbing.example"])


def test_b11_nothing_of_ours_compiles_a_text() -> None:
    """Templates come from files; what would make one of a text is called nowhere."""
    makers = {"Template", "from_string", "engines", "Engine"}
    found = []
    for app in ("agency", "billing", "config", "credits", "kit", "subaccounts", "whitelabel", "workspace"):
        for path in (settings.BASE_DIR / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
                if name in makers:
                    found.append(f"{path}:{node.lineno}")
    assert found == []


def test_b13_signing_out_takes_a_post_and_forgets_the_pages(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example")
    browser.get("/sign-out/")
    assert is_signed_in(browser)
    answer = browser.post("/sign-out/")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert not is_signed_in(browser)


def test_b13_a_page_for_one_person_is_stored_nowhere(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example")
    for path in ("/settings/", "/settings/roles/", "/billing/plan/", "/security/", "/security/sessions/"):
        assert "no-store" in browser.get(path).headers["Cache-Control"], path


@pytest.mark.parametrize(("who", "lasts"), [("nora", timedelta(hours=24)), ("paul", timedelta(days=14))])
def test_b14_a_busy_session_ends_all_the_same(cast: Cast, who: str, lasts: timedelta) -> None:
    host = PLATFORM if who == "nora" else host_of(cast.acme)
    began = clock.now()
    with time_machine.travel(began, tick=False) as travel:
        browser, _ = sign_in(getattr(cast, who).email, host)
        step = timedelta(hours=11)
        while clock.now() + step < began + lasts:
            travel.shift(step)
            assert is_signed_in(browser)
        travel.move_to(began + lasts + timedelta(seconds=1))
        assert not is_signed_in(browser)


def test_b14_an_idle_session_ends(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
        travel.shift(timedelta(hours=11, minutes=59))
        assert is_signed_in(browser)
        travel.shift(timedelta(hours=12))
        assert not is_signed_in(browser)


def test_b15_a_session_can_be_seen_and_ended_from_elsewhere(cast: Cast) -> None:
    stolen, _ = sign_in(
        "paul@acme-plumbing.example",
        host_of(cast.acme),
        REMOTE_ADDR="203.0.113.9",
        headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"},
    )
    mine, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    page = mine.get("/security/sessions/").content.decode()
    assert "Firefox" in page
    assert "203.0.113.9" in page
    assert is_signed_in(stolen)
    assert UserSession.objects.filter(user=cast.paul).count() == 2
    mine.post("/security/sessions/")
    assert is_signed_in(mine)
    assert not is_signed_in(stolen)


@pytest.mark.parametrize("elsewhere", ["koala", "beacon", "platform"])
def test_a05_a_session_replayed_on_another_host_opens_nothing_and_dies(cast: Cast, elsewhere: str) -> None:
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    assert is_signed_in(browser)
    host = PLATFORM if elsewhere == "platform" else host_of(getattr(cast, elsewhere))
    replay = Visitor(host)
    replay.cookies[COOKIE] = cookie_of(browser)
    assert not is_signed_in(replay)
    assert AuditRecord.objects.filter(action="session.refused", subject="paul@acme-plumbing.example").count() == 1
    assert not is_signed_in(browser)


def test_e15_a_code_is_good_in_its_own_session_only(cast: Cast, mails: Mails) -> None:
    asked = Visitor(host_of(cast.acme))
    asked.post("/password/reset/", {"email": "paul@acme-plumbing.example"})
    code = code_in(mails()[-1])
    for host in (host_of(cast.koala), host_of(cast.beacon), PLATFORM):
        replay = Visitor(host)
        replay.cookies[COOKIE] = cookie_of(asked)
        assert replay.post("/password/reset/code/", {"code": code}).headers["Location"] == "/sign-in/"
    assert User.objects.get(pk=cast.paul.pk).check_password(PASSWORD)


def test_b14_an_assist_ends_after_half_an_hour_however_busy(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        browser = Visitor(host_of(cast.acme), cast.nora)
        session = browser.session
        session["assist"] = str(assist.begin(user=cast.nora, sub_account=cast.acme).public_id)
        session.save()
        for _ in range(2):
            assert browser.get("/security/").status_code == 403
            travel.shift(timedelta(minutes=14))
        travel.shift(timedelta(minutes=2, seconds=1))
        assert "/sign-in/" in browser.get("/security/").headers["Location"]


@pytest.mark.parametrize("path", ["/widget.js", "/brand.css"])
def test_a15_what_anybody_may_keep_carries_nobodys_cookie(cast: Cast, path: str) -> None:
    paul = Visitor(host_of(cast.acme), cast.paul)
    paul.get("/")

    with time_machine.travel(clock.now() + timedelta(seconds=2 * SEEN_EVERY_SECONDS)):
        kept = paul.get(path)
        page = paul.get("/")

    assert "public" in kept["Cache-Control"]
    assert not kept.cookies
    assert page.status_code == 200
    assert "__Host-session" in page.cookies
