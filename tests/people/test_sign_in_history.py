"""The history of sign-ins, the mail about a new browser, and the list of sessions with their ends."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.core.cache import cache

from agency import sign_ins
from agency.models import AuditRecord, SignIn, User
from kit import clock
from subaccounts import assist
from tests.cast import PASSWORD, PLATFORM, Cast, Visitor, host_of
from tests.entrance import Mails, is_signed_in, sign_in

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile Safari/604.1"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def from_browser(agent: str, address: str = "203.0.113.9") -> dict[str, Any]:
    return {"REMOTE_ADDR": address, "headers": {"user-agent": agent}}


def code() -> str:
    return format_hotp_value(hotp_value(SECRET, int(clock.now().timestamp()) // 30))


# --- the history


def test_what_worked_and_what_failed_is_there_for_the_person_alone(cast: Cast) -> None:
    host = host_of(cast.acme)
    sign_in(cast.paul.email, host, "not-his-password", **from_browser(IPHONE, "198.51.100.7"))
    browser, _ = sign_in(cast.paul.email, host, **from_browser(FIREFOX))
    page = " ".join(browser.get("/security/sign-ins/").content.decode().split())
    assert "Firefox on Linux" in page
    assert "Safari on iPhone" in page
    assert "198.51.100.7" in page
    assert page.index("Signed in") < page.index("Failed")
    worked, failed = SignIn.objects.filter(user=cast.paul).order_by("-at")
    assert (worked.outcome, worked.method, worked.is_new_device) == (SignIn.SUCCEEDED, "Password", True)
    assert (failed.outcome, failed.method, failed.is_new_device) == (SignIn.FAILED, "Password", False)
    assert worked.host == host
    theirs = Visitor(host, cast.tess).get("/security/sign-ins/").content.decode()
    assert "198.51.100.7" not in theirs
    assert "Last failed try" in browser.get("/security/").content.decode()


def test_nothing_is_kept_of_an_address_nobody_has(cast: Cast) -> None:
    for email, host in (("none@example.com", PLATFORM), (cast.paul.email, host_of(cast.beacon)), (cast.nora.email, host_of(cast.acme))):
        sign_in(email, host, "not-the-password-1")
    assert not SignIn.objects.exists()


def test_every_way_in_is_named(cast: Cast) -> None:
    TOTP.activate(cast.nora, SECRET)
    spare = RecoveryCodes.activate(cast.nora).get_unused_codes()[0]
    with time_machine.travel(clock.now(), tick=False):
        for answer in ("000000", code(), code(), spare):
            browser, _ = sign_in(cast.nora.email)
            browser.post("/sign-in/code/", {"code": answer})
    found = list(SignIn.objects.filter(user=cast.nora).order_by("at", "id").values_list("outcome", "method"))
    refused = ("failed", "Code from an app")
    assert found == [
        refused,
        ("succeeded", "Password and code from an app"),
        refused,
        ("succeeded", "Password and recovery code"),
    ]


def test_a_wrong_password_of_somebody_signed_in_is_there_too(cast: Cast) -> None:
    browser, _ = sign_in(cast.nora.email)
    browser.post("/security/confirm/", {"password": "not-her-password"})
    assert SignIn.objects.filter(user=cast.nora, outcome="failed").get().method == "Confirming with the password"


def test_failures_cannot_fill_the_table(cast: Cast) -> None:
    for number in range(sign_ins.FAILURES_AN_HOUR + 5):
        cache.clear()
        sign_in(cast.nora.email, password="not-her-password", REMOTE_ADDR=f"198.51.100.{number}")
    assert SignIn.objects.filter(user=cast.nora).count() == sign_ins.FAILURES_AN_HOUR


def test_the_history_has_pages_and_is_forgotten_after_ninety_days(cast: Cast) -> None:
    now = clock.now()
    rows = [SignIn(user=cast.nora, outcome="succeeded", host=PLATFORM, at=now - timedelta(days=day)) for day in range(120)]
    SignIn.objects.bulk_create(rows)
    assert sign_ins.forget() == 30
    assert sign_ins.forget() == 0
    browser, seen, path = Visitor(PLATFORM, cast.nora), 0, "/security/sign-ins/"
    while path:
        page = browser.get(path).content.decode()
        seen += page.count("<li><svg")
        following = re.search(r'href="([^"]*)" rel="next"', page)
        path = following.group(1).replace("&amp;", "&") if following else ""
    assert seen == 90


# --- the mail


def told(mails: Mails) -> list[Any]:
    return [message for message in mails() if "New sign-in" in message.subject]


def test_a_new_browser_is_told_by_mail_but_not_the_first_one(cast: Cast, mails: Mails) -> None:
    host = host_of(cast.acme)
    mine, _ = sign_in(cast.paul.email, host, **from_browser(FIREFOX))
    assert told(mails) == []
    mine.post("/sign-out/")
    sign_in(cast.paul.email, host, browser=mine)
    assert told(mails) == []
    sign_in(cast.paul.email, host, **from_browser(IPHONE, "198.51.100.7"))
    (message,) = told(mails)
    assert message.to == ["paul@acme-plumbing.example"]
    assert "Northlight Digital" in message.from_email
    assert "Canopy" not in message.body
    for fact in ("Safari on iPhone", "198.51.100.7", host, f"http://{host}/security/sessions/"):
        assert fact in message.body


def test_signing_up_is_no_new_browser(cast: Cast, mails: Mails) -> None:
    browser = Visitor(PLATFORM)
    browser.post("/sign-up/", {"first_name": "Ada", "email": "ada@example.com", "password1": "a-sturdy-one-4711"})
    found = re.search(r"^ {4}(\S+)$", mails()[-1].body, re.MULTILINE)
    assert found
    browser.post("/confirm-email/", {"code": found.group(1)})
    assert is_signed_in(browser)
    assert told(mails) == []


def test_two_people_at_one_browser_are_not_told_every_time(cast: Cast, mails: Mails) -> None:
    shared, host = Visitor(host_of(cast.acme)), host_of(cast.acme)
    for user in (cast.paul, cast.tess, cast.paul, cast.tess):
        sign_in(user.email, host, browser=shared)
        shared.post("/sign-out/")
    assert told(mails) == []


def test_many_new_browsers_in_a_day_are_not_as_many_mails(cast: Cast, mails: Mails) -> None:
    for _ in range(sign_ins.MAILS_A_DAY + 4):
        cache.clear()
        sign_in(cast.nora.email)
    assert len(told(mails)) == sign_ins.MAILS_A_DAY - 1  # the first browser of all is new and no news


# --- the sessions


def test_b15_one_session_is_ended_and_its_next_request_is_signed_out(cast: Cast) -> None:
    host = host_of(cast.acme)
    stolen, _ = sign_in(cast.paul.email, host, **from_browser(IPHONE, "198.51.100.7"))
    kept, _ = sign_in(cast.paul.email, host)
    mine, _ = sign_in(cast.paul.email, host, **from_browser(FIREFOX))
    page = mine.get("/security/sessions/", **from_browser(FIREFOX)).content.decode()
    assert "Safari on iPhone" in page
    assert "198.51.100.7" in page
    assert page.count("This browser") == 1
    assert page.index("Firefox on Linux") < page.index("Safari on iPhone"), "this one comes first"
    (path,) = re.findall(r'action="(/security/sessions/[0-9a-f]+/end/)"(?:(?!</form>).)*Safari on iPhone', page, re.DOTALL)
    assert mine.post(path).status_code == 302
    assert stolen.get("/security/").status_code == 302
    assert is_signed_in(kept)
    assert is_signed_in(mine)
    assert AuditRecord.objects.filter(action="person.session_ended", subject=cast.paul.email).count() == 1


def test_b15_nobody_ends_the_session_of_somebody_else(cast: Cast) -> None:
    theirs, _ = sign_in(cast.tess.email, host_of(cast.acme))
    page = theirs.get("/security/sessions/")
    (mine,) = page.context["sessions"]
    assert Visitor(host_of(cast.acme), cast.paul).post(f"/security/sessions/{mine.mark}/end/").status_code == 404
    assert is_signed_in(theirs)


@pytest.mark.parametrize("who", ["nora", "paul", "sara"])
def test_b15_every_realm_has_the_list(cast: Cast, who: str) -> None:
    if who == "sara":
        User.objects.filter(pk=cast.rita.pk).update(is_staff=True)
    user, host = (cast.paul, host_of(cast.acme)) if who == "paul" else (cast.nora if who == "nora" else cast.rita, PLATFORM)
    here, _ = sign_in(user.email, host)
    there, _ = sign_in(user.email, host)
    assert here.get("/security/sessions/").content.decode().count("signed in <time") == 2
    here.post("/security/sessions/")
    assert there.get("/security/").status_code == 302
    assert is_signed_in(here)


def test_a_session_that_is_over_is_not_listed(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        old, _ = sign_in(cast.paul.email, host_of(cast.acme))
        is_signed_in(old)
        travel.shift(timedelta(hours=12))
        mine, _ = sign_in(cast.paul.email, host_of(cast.acme))
        assert len(mine.get("/security/sessions/").context["sessions"]) == 1


def test_ending_the_session_of_an_assist_ends_the_assist(cast: Cast) -> None:
    inside = Visitor(host_of(cast.acme), cast.nora)
    session = inside.session
    begun = assist.begin(user=cast.nora, sub_account=cast.acme)
    session["assist"] = str(begun.public_id)
    session.save()
    inside.get("/")
    mine, _ = sign_in(cast.nora.email)
    assert "Assisting" in mine.get("/security/sessions/").content.decode()
    mine.post("/security/sessions/")
    assert inside.get("/").status_code in (302, 403)
    begun.refresh_from_db()
    assert begun.ended_at is not None


def test_the_first_password_page_is_all_there_is_before_the_first_password(cast: Cast) -> None:
    User.objects.filter(pk=cast.paul.pk).update(must_change_password=True, initial_password_expires_at=clock.now() + timedelta(days=1))
    browser, _ = sign_in(cast.paul.email, host_of(cast.acme), PASSWORD)
    assert browser.get("/security/sign-ins/").headers["Location"] == "/password/first/"
