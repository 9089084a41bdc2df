"""Threat E22: a stolen session alone opens none of the doors behind which something is hard to undo."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.conf import settings

from billing import webhooks
from billing.models import Endpoint
from kit import clock
from kit.doors import door_of
from subaccounts.models import Invitation
from tests.attacks.test_b_sessions import every_path
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import sign_in

PAGE = "/settings/security/"
CONFIRM = "/security/confirm/"
HERE, THERE = "https://192.0.31.8/hook", "https://192.0.31.9/hook"  # public, and looked up without a name server
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def recent_doors(urlconf: str) -> list[str]:
    found = [(path, door_of(pattern.callback)) for path, pattern in every_path(urlconf)]
    return [path for path, door in found if door is not None and door.recent]


@pytest.mark.parametrize("site", ["platform", "workspace"])
def test_e22_every_door_for_what_is_hard_to_undo_asks_again(cast: Cast, site: str) -> None:
    urlconf, host, user = (
        (settings.ROOT_URLCONF, PLATFORM, cast.nora) if site == "platform" else (settings.WORKSPACE_URLCONF, host_of(cast.acme), cast.paul)
    )
    stolen = Visitor(host, user, recent=False)
    doors = recent_doors(urlconf)
    for path in doors:
        for answer in (stolen.get(path), stolen.post(path)):
            assert answer.headers.get("Location", "").startswith(CONFIRM), path
    assert PAGE in doors or site == "workspace"


def test_e22_no_other_page_does_what_these_doors_guard(cast: Cast) -> None:
    """To invite an Admin is to make one, and another address for an endpoint is another endpoint."""
    agency, client = Visitor(PLATFORM, cast.nora, recent=False), Visitor(host_of(cast.acme), cast.paul, recent=False)
    endpoints = [webhooks.make(agency=cast.northlight, sub_account=owner, url=HERE, by=TESTS).endpoint for owner in (None, cast.acme)]

    agency.post("/users/invite/", {"email": "eve@evil.example", "role": "admin", "reach": "none"})
    client.post("/people/invite/", {"email": "eve@evil.example", "role": "sub_account_admin"})
    for browser, endpoint in zip((agency, client), endpoints, strict=True):
        browser.post(f"/webhooks/{endpoint.public_id}/edit/", {"url": THERE, "hears": "all"})

    assert not Invitation.objects.exists()
    assert {endpoint.url for endpoint in Endpoint.objects.all()} == {HERE}


def test_e22_a_proof_counts_for_ten_minutes(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        browser, _ = sign_in(cast.nora.email)
        assert browser.get(PAGE).status_code == 200, "signing in is a proof"
        travel.shift(timedelta(minutes=10))
        assert browser.get(PAGE).headers["Location"] == f"{CONFIRM}?next={PAGE}"
        assert browser.post(CONFIRM, {"password": "not-her-password", "next": PAGE}).status_code == 200
        assert browser.get(PAGE).status_code == 302
        assert browser.post(CONFIRM, {"password": PASSWORD, "next": PAGE}).headers["Location"] == PAGE
        assert browser.get(PAGE).status_code == 200


def test_the_page_says_what_for_and_offers_what_the_person_has(cast: Cast) -> None:
    TOTP.activate(cast.nora, SECRET)
    RecoveryCodes.activate(cast.nora)
    browser = Visitor(PLATFORM, cast.nora, recent=False)
    page = browser.get(PAGE, follow=True).content.decode()
    assert "hard to undo: Change the agency&#x27;s settings." in page
    assert "Use a code from your app" in page
    own = Visitor(PLATFORM, cast.adam, recent=False).get("/security/app/", follow=True).content.decode()
    assert "how your account is protected" in own
    assert "code from your app" not in own
    code = format_hotp_value(hotp_value(SECRET, int(clock.now().timestamp()) // 30))
    assert browser.post("/security/confirm/code/", {"code": code, "next": PAGE}).headers["Location"] == PAGE
    assert browser.get(PAGE).status_code == 200


def test_after_a_form_one_comes_back_to_it_and_reads_that_nothing_was_changed(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.nora, recent=False)
    answer = browser.post(PAGE, {"team": "on"}, headers={"referer": f"http://{PLATFORM}{PAGE}"})
    assert answer.headers["Location"] == f"{CONFIRM}?next={PAGE}"
    assert "Nothing was changed yet" in browser.get(answer.headers["Location"]).content.decode()
    assert browser.post(CONFIRM, {"password": PASSWORD, "next": PAGE}).headers["Location"] == PAGE
    assert not cast.northlight.team_needs_mfa


def without_password(cast: Cast) -> Any:
    nora = cast.nora
    nora.set_unusable_password()
    nora.save()
    return nora


def test_e22_who_has_nothing_to_show_is_told_what_to_do(cast: Cast) -> None:
    browser = Visitor(PLATFORM, without_password(cast), recent=False)
    answer = browser.get(PAGE)
    assert answer.status_code == 403
    assert "has no password yet" in answer.content.decode()
    assert browser.post(PAGE, {"team": "on"}).status_code == 403


def test_who_has_no_password_confirms_with_the_factor_they_have(cast: Cast) -> None:
    nora = without_password(cast)
    TOTP.activate(nora, SECRET)
    browser = Visitor(PLATFORM, nora, recent=False)
    page = browser.get(PAGE, follow=True)
    assert page.redirect_chain[-1][0].startswith("/security/confirm/code/")


def test_e22_going_back_leads_to_this_host_only(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.nora, recent=False)
    answer = browser.post(PAGE, {"team": "on"}, headers={"referer": "https://evil.example/settings/"})
    assert answer.headers["Location"] == f"{CONFIRM}?next=/"
    assert browser.post(CONFIRM, {"password": PASSWORD, "next": "https://evil.example/"}).headers["Location"] == "/"
