"""Section C of the threats: the way into a client's workspace and out of it."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.db import connection

from agency.models import AuditRecord, Membership, User
from kit import clock
from kit.doors import Door, all_views, door_of
from subaccounts import deletion, hop, lifecycle
from subaccounts.models import Access, Assist, Hop, SubAccount
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import sign_in
from tests.test_doors import path_of


class Browser:
    """One browser: a cookie jar per host."""

    def __init__(self, user: User | None = None) -> None:
        self.jars: dict[str, Visitor] = {PLATFORM: Visitor(PLATFORM, user)}

    def on(self, host: str) -> Visitor:
        return self.jars.setdefault(host, Visitor(host))

    def token_for(self, sub_account: SubAccount, *, host: str = "", reason: str = "") -> str:
        """Steps 1 to 3: click, nonce, token."""
        platform = self.on(PLATFORM)
        platform.post(f"/sub-accounts/{sub_account.public_id}/enter/", {"reason": reason} if reason else {})
        to_platform = self.on(host or host_of(sub_account)).get("/hop/")["Location"]
        page = platform.get(f"{urlsplit(to_platform).path}?{urlsplit(to_platform).query}").content.decode()
        (token,) = re.findall(r'name="token" value="([^"]+)"', page)
        return token

    def enter(self, sub_account: SubAccount, *, reason: str = "") -> Any:
        return self.on(host_of(sub_account)).post("/hop/", {"token": self.token_for(sub_account, reason=reason)})


def lives(browser: Browser, sub_account: SubAccount) -> bool:
    """Whether this browser is anybody on the workspace's host."""
    return browser.on(host_of(sub_account)).get("/").status_code == 200


def test_an_agency_person_enters_and_returns(cast: Cast) -> None:
    browser = Browser(cast.nora)

    answer = browser.enter(cast.acme)

    assert (answer.status_code, answer["Location"]) == (302, "/")
    begun = Assist.objects.get(user=cast.nora, sub_account=cast.acme)
    assert begun.expires_at - begun.started_at == timedelta(minutes=30)
    back = browser.on(host_of(cast.acme)).post("/assist/return/")
    assert f"http://{PLATFORM}/sub-accounts/{cast.acme.public_id}/" in back.content.decode()
    begun.refresh_from_db()
    assert begun.ended_at is not None
    assert not lives(browser, cast.acme)


def test_c01_a_replayed_token_opens_nothing_and_is_on_the_record(cast: Cast) -> None:
    browser = Browser(cast.nora)
    token = browser.token_for(cast.acme)
    workspace = browser.on(host_of(cast.acme))
    nonce = workspace.cookies[hop.NONCE_COOKIE].value

    first = workspace.post("/hop/", {"token": token})
    again = Visitor(host_of(cast.acme))
    again.cookies[hop.NONCE_COOKIE] = nonce
    second = again.post("/hop/", {"token": token})

    assert (first.status_code, second.status_code) == (302, 404)
    assert Assist.objects.filter(user=cast.nora).count() == 1
    assert AuditRecord.objects.get(action="assist.refused").after == {"cause": "used before"}


def test_c02_a_token_lives_sixty_seconds(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        early, late = Browser(cast.nora), Browser(cast.nora)
        early_token, late_token = early.token_for(cast.acme), late.token_for(cast.koala)
        moved.shift(59)
        assert early.on(host_of(cast.acme)).post("/hop/", {"token": early_token}).status_code == 302
        moved.shift(2)
        assert late.on(host_of(cast.koala)).post("/hop/", {"token": late_token}).status_code == 404


def test_tokens_that_died_are_forgotten(cast: Cast) -> None:
    hop.issue(user=cast.nora, host="x.localhost", purpose=Hop.SWITCH, nonce_hash="0" * 64)
    assert hop.forget() == 0

    with time_machine.travel(clock.now() + timedelta(days=2)):
        assert hop.forget() == 1


def test_c03_a_token_for_one_host_is_burned_on_another(cast: Cast) -> None:
    browser = Browser(cast.nora)
    token = browser.token_for(cast.acme)
    unknown = Visitor(host_of(cast.koala)).post("/hop/", {"token": "x" * 43})

    elsewhere = Visitor(host_of(cast.koala)).post("/hop/", {"token": token})
    at_home = browser.on(host_of(cast.acme)).post("/hop/", {"token": token})

    assert (elsewhere.status_code, at_home.status_code, unknown.status_code) == (404, 404, 404)
    assert elsewhere.content == unknown.content
    assert not Assist.objects.filter(user=cast.nora).exists()


def test_c04_the_token_is_in_no_address_and_stored_only_as_a_hash(cast: Cast) -> None:
    browser = Browser(cast.nora)
    platform = browser.on(PLATFORM)
    platform.post(f"/sub-accounts/{cast.acme.public_id}/enter/")
    location = browser.on(host_of(cast.acme)).get("/hop/")["Location"]
    page = platform.get(f"{urlsplit(location).path}?{urlsplit(location).query}")
    (token,) = re.findall(r'name="token" value="([^"]+)"', page.content.decode())

    assert token not in location
    assert page["Referrer-Policy"] == "no-referrer"
    assert "no-store" in page["Cache-Control"]
    assert Hop.objects.get(user=cast.nora).token_hash == hop.hashed(token)
    assert f"form-action 'self' http://{host_of(cast.acme)}" in page["Content-Security-Policy"]
    assert len(token) >= 43


def test_c05_a_token_from_another_browser_opens_nothing(cast: Cast) -> None:
    attacker, victim = Browser(cast.nora), Browser()
    token = attacker.token_for(cast.acme)

    without_nonce = victim.on(host_of(cast.acme)).post("/hop/", {"token": token})

    assert without_nonce.status_code == 404
    assert AuditRecord.objects.get(action="assist.refused").after == {"cause": "another browser"}


def test_c05_a_nonce_that_is_no_hash_gets_no_token(cast: Cast) -> None:
    for nonce in ("\x00" * 64, "g" * 64, "a" * 63, ""):
        nora = Visitor(PLATFORM, cast.nora)
        nora.post(f"/sub-accounts/{cast.acme.public_id}/enter/")
        assert nora.get("/hop/", {"nonce": nonce})["Location"] == "/sub-accounts/"
    assert not Hop.objects.exists()


def test_c05_somebody_signed_in_on_the_host_is_not_replaced(cast: Cast) -> None:
    attacker = Browser(cast.nora)
    token = attacker.token_for(cast.acme)
    paul = Visitor(host_of(cast.acme), cast.paul)
    before = paul.session["_auth_user_id"]

    assert paul.get("/hop/").status_code == 409
    assert paul.post("/hop/", {"token": token}).status_code == 409
    assert paul.session["_auth_user_id"] == before


def test_c05_a_forged_start_does_nothing(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora, enforce_csrf_checks=True)

    assert nora.post(f"/sub-accounts/{cast.acme.public_id}/enter/").status_code == 403
    assert nora.get(f"/hop/?nonce={'0' * 64}").status_code == 302
    assert not Hop.objects.exists()


@pytest.mark.parametrize(
    ("who", "client", "status"),
    [
        ("nora", "acme", 200),
        ("adam", "koala", 200),
        ("mia", "acme", 200),
        ("mia", "koala", 404),
        ("nora", "beacon", 404),
        ("rita", "acme", 404),
        ("rita", "beacon", 200),
        ("paul", "acme", 302),
        ("tess", "acme", 302),
    ],
)
def test_c06_who_may_start_an_assist_where(cast: Cast, who: str, client: str, status: int) -> None:
    browser = Visitor(PLATFORM, getattr(cast, who))

    answer = browser.post(f"/sub-accounts/{getattr(cast, client).public_id}/enter/")

    assert answer.status_code == status
    if status == 302:
        assert "/sign-in/" in answer["Location"]


def test_c07_from_an_assist_no_other_can_be_started(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))

    assert inside.post(f"/sub-accounts/{cast.koala.public_id}/enter/").status_code == 404
    stolen = Visitor(PLATFORM)
    stolen.cookies = inside.cookies
    assert "/sign-in/" in stolen.get("/sub-accounts/")["Location"]
    assert Assist.objects.filter(user=cast.nora).count() == 1
    assert AuditRecord.objects.get(action="session.refused").actor_id == str(cast.nora.public_id)


@pytest.mark.parametrize("change", ["membership", "grant", "person"])
def test_c08_whoever_loses_the_right_is_out_with_the_next_request_and_can_still_return(cast: Cast, change: str) -> None:
    browser = Browser(cast.mia)
    browser.enter(cast.acme)
    if change == "membership":
        Membership.objects.filter(user=cast.mia).delete()
    elif change == "grant":
        Access.objects.filter(user=cast.mia).delete()
    else:
        User.objects.filter(pk=cast.mia.pk).update(is_active=False)

    assert not lives(browser, cast.acme)
    assert browser.on(host_of(cast.acme)).post("/assist/return/").status_code == 200


@pytest.mark.parametrize("how", ["removal/", "role/", "accounts/removal/"])
def test_c08_what_a_page_takes_away_ends_the_assist_with_the_next_request(cast: Cast, how: str) -> None:
    user = cast.adam if how == "role/" else cast.mia
    browser = Browser(user)
    browser.enter(cast.acme)
    wish = {"role": "member", "sub_account": str(cast.acme.public_id)}

    assert Visitor(PLATFORM, cast.nora).post(f"/users/{user.public_id}/{how}", wish).status_code == 302

    assert not lives(browser, cast.acme)
    assert not Assist.objects.get(user=user).is_open
    assert AuditRecord.objects.get(action="assist.ended").after["how"] == "Lost the right to enter"


def test_c08_of_a_deleted_agency_nothing_is_left_to_assist_in(cast: Cast) -> None:
    browser = Browser(cast.mia)
    browser.enter(cast.acme)

    deletion.delete(agency=cast.northlight, owner=cast.nora, by=TESTS)

    inside = browser.on(host_of(cast.acme))
    assert [inside.get("/").status_code, inside.post("/assist/return/").status_code] == [404, 404]
    assert not Assist.objects.get(user=cast.mia).is_open


def test_c08_an_admin_made_a_member_is_out_with_the_next_request(cast: Cast) -> None:
    browser = Browser(cast.adam)
    browser.enter(cast.koala)
    Membership.objects.filter(user=cast.adam).update(role="member")

    page = browser.on(host_of(cast.koala)).get("/")

    assert page.status_code == 403
    assert "Lost the right to enter" in page.content.decode()
    assert not Assist.objects.get().is_open
    assert AuditRecord.objects.get(action="assist.ended").after["how"] == "Lost the right to enter"


def test_b03_a_new_password_ends_the_assists_of_the_old_one(cast: Cast) -> None:
    dashboard, _ = sign_in("nora@northlight.example")
    browser = Browser(cast.nora)
    browser.enter(cast.acme)

    dashboard.post("/security/password/", {"oldpassword": PASSWORD, "password1": "another-good-one-77", "password2": "another-good-one-77"})

    assert not lives(browser, cast.acme)
    assert not Assist.objects.get().is_open


def test_d05_a_member_without_a_grant_is_a_stranger_there_also_while_assisting_elsewhere(cast: Cast) -> None:
    browser = Browser(cast.mia)
    browser.enter(cast.acme)
    koala = browser.on(host_of(cast.koala))
    koala.cookies = browser.on(host_of(cast.acme)).cookies

    assert "/sign-in/" in koala.get("/inbox/")["Location"]
    assert browser.on(PLATFORM).get(f"/sub-accounts/{cast.koala.public_id}/enter/").status_code == 404


def test_c08_a_right_lost_between_token_and_arrival(cast: Cast) -> None:
    browser = Browser(cast.mia)
    token = browser.token_for(cast.acme)
    Access.objects.filter(user=cast.mia).delete()

    assert browser.on(host_of(cast.acme)).post("/hop/", {"token": token}).status_code == 404
    assert AuditRecord.objects.get(action="assist.refused").after == {"cause": "no longer allowed"}


def test_c09_begin_and_end_are_on_the_record_of_both_sides(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    browser.on(host_of(cast.acme)).post("/assist/return/")

    records = AuditRecord.objects.filter(action__in=["assist.begun", "assist.ended"])
    assert records.count() == 2
    for record in records:
        assert record.agency == cast.northlight
        assert record.sub_account_id == cast.acme.public_id
        assert record.on_behalf_of == "Acme Plumbing"
        assert record.actor_id == str(cast.nora.public_id)


def test_c09_what_is_changed_while_assisting_carries_both_names(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)

    made = browser.on(host_of(cast.acme)).post("/chatbots/new/", {"name": "Pip", "greeting": "Hi", "tone": "friendly", "accent": "#2f6f4f"})

    assert made.status_code == 302
    record = AuditRecord.objects.get(action="chatbot.created")
    assert (record.actor_id, record.on_behalf_of, record.sub_account_id) == (str(cast.nora.public_id), "Acme Plumbing", cast.acme.public_id)


def test_c09_ten_changes_leave_ten_records_with_both_names_that_the_client_reads(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))
    bot = {"greeting": "Hi", "tone": "friendly", "accent": "#2f6f4f"}

    for number in range(10):
        assert inside.post("/chatbots/new/", {**bot, "name": f"Pip {number}"}).status_code == 302

    begun = Assist.objects.with_changes().get()
    records = AuditRecord.objects.filter(action="chatbot.created")
    assert (begun.changes, records.count()) == (10, 10)
    assert {(record.actor_id, record.on_behalf_of, record.sub_account_id) for record in records} == {
        (str(cast.nora.public_id), "Acme Plumbing", cast.acme.public_id)
    }
    page = Visitor(host_of(cast.acme), cast.paul).get(f"/settings/assists/{begun.public_id}/").content.decode()
    assert page.count("made the chatbot Pip") == 10


# Where a client's own credentials, keys, people and money are changed: by name where they are built, by look where they will be.
OWN = {
    "first_password", "account_email", "account_change_password", "account_set_password", "account_reauthenticate", "mfa_index", "mfa_activate_totp",
    "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_view_recovery_codes", "mfa_add_webauthn", "mfa_remove_webauthn", "usersessions_list",
    "workspace_assist_mails",
}  # fmt: skip
LOOKS_OWN = re.compile(r"api|key|hook|people|invit|member|user|card|buy|checkout|payment|password|secret|mfa|security", re.IGNORECASE)


def doors_of_the_workspace() -> list[tuple[str, str, Door]]:
    """Path, name and door of everything on a workspace's host that is for somebody signed in."""
    found = [
        (path_of(route, pattern), pattern.name or "", door_of(pattern.callback)) for route, pattern in all_views(settings.WORKSPACE_URLCONF)
    ]
    return [(path, name, door) for path, name, door in found if door is not None and door.kind in ("person", "workspace")]


def test_c10_what_is_the_clients_own_is_closed_to_whoever_assists(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))
    closed = [(path, name) for path, name, door in doors_of_the_workspace() if door.kind == "person" or not door.assisting]
    wrong = []

    for path, _ in closed:
        for page in (inside.get(path), inside.post(path)):
            told = " ".join(page.content.decode().split())
            if page.status_code != 403 or not ("Only the client can do this" in told or "Return to your agency" in told):
                wrong.append((page.request["REQUEST_METHOD"], path, page.status_code))

    assert wrong == []
    assert {name for _, name in closed} >= OWN
    assert lives(browser, cast.acme)


def test_c10_nothing_that_looks_like_a_key_a_person_or_a_payment_is_changed_by_whoever_assists(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))

    open_to_us = [
        path
        for path, name, _ in doors_of_the_workspace()
        if LOOKS_OWN.search(path + name) and inside.post(path).status_code not in (403, 405)
    ]

    assert open_to_us == []


def test_c10_what_wants_a_recent_proof_is_the_clients_own(cast: Cast) -> None:
    """Whoever assists has shown nothing on this host: asking them again would lead nowhere."""
    assert [path for path, _, door in doors_of_the_workspace() if door.recent and door.assisting] == []


def test_c12_an_assist_ends_after_thirty_minutes_however_busy(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        browser = Browser(cast.nora)
        browser.enter(cast.acme)
        moved.shift(timedelta(minutes=29))
        assert lives(browser, cast.acme)
        moved.shift(timedelta(minutes=2))
        assert not lives(browser, cast.acme)


def test_c12_signing_out_of_the_agency_ends_it_everywhere(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    browser.enter(cast.koala)

    browser.on(PLATFORM).post("/sign-out/")

    assert [row.end_in_words for row in Assist.objects.all()] == ["Signed out"] * 2
    assert not lives(browser, cast.acme)
    assert not lives(browser, cast.koala)


def test_c13_in_a_suspended_workspace_the_agency_may_look_but_change_nothing(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.acme, policy="lockout", by=TESTS)

    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))

    assert inside.get("/").status_code == 200
    assert inside.post("/chatbots/new/", {"name": "New"}).status_code == 403


def test_c14_the_token_goes_only_to_our_own_host(cast: Cast) -> None:
    browser = Browser(cast.nora)

    page = browser.on(PLATFORM).post(f"/sub-accounts/{cast.acme.public_id}/enter/").content.decode()

    assert re.findall(r'content="0;url=([^"]+)"', page) == [f"http://{host_of(cast.acme)}/hop/"]


@pytest.mark.django_db(transaction=True)
def test_c01_of_twenty_at_once_exactly_one_gets_in() -> None:
    nora = Cast().nora
    host, nonce = f"race-{uuid4().hex}.localhost", hop.new_nonce()
    token = hop.issue(user=nora, host=host, purpose=Hop.SWITCH, nonce_hash=hop.hashed(nonce))

    def arrive(_: int) -> bool:
        try:
            return hop.consume(token=token, host=host, purpose=Hop.SWITCH, nonce=nonce).user == nora
        except hop.HopRefused:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        got_in = list(pool.map(arrive, range(20)))

    assert got_in.count(True) == 1
