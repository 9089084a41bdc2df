"""Settings, roles, and finding a workspace."""

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session

from agency import sessions
from agency.access import Can, Role
from agency.models import AuditRecord
from kit import clock
from subaccounts import assist
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor, host_of, person
from tests.entrance import Mails, sign_in


def test_settings_are_changed_on_the_record(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.adam)
    assert "Northlight Digital" in browser.get("/settings/").content.decode()
    assert browser.post("/settings/", {"name": "Northlight", "time_zone": "Asia/Tokyo"}).status_code == 302
    assert (cast.northlight.name, cast.northlight.time_zone) == ("Northlight", "Asia/Tokyo")
    record = AuditRecord.objects.get(action="agency.changed", agency=cast.northlight)
    assert record.before["name"] == "Northlight Digital"
    assert record.actor_label == "Adam Okoye <adam@northlight.example>"


@pytest.mark.parametrize(
    "data",
    [{"name": "", "time_zone": "UTC"}, {"name": "x", "time_zone": "Mars/Olympus"}, {"name": "see www.evil.example", "time_zone": "UTC"}],
)
def test_settings_that_make_no_sense_are_refused(cast: Cast, data: dict[str, str]) -> None:
    assert Visitor(PLATFORM, cast.nora).post("/settings/", data).status_code == 200
    assert cast.northlight.name == "Northlight Digital"


def test_the_roles_page_is_the_table_the_doors_read(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.mia).get("/settings/roles/").content.decode()
    for can in Can:
        assert str(can.label).replace("'", "&#x27;") in page
    for role in Role:
        assert str(role.label) in page


def test_finding_ones_workspaces_over_all_realms(cast: Cast, mails: Mails) -> None:
    twin = person("paul@acme-plumbing.example", "Paul", "Twin", realm=cast.harbour)
    twin.accesses.create(sub_account=cast.beacon, role="sub_account_member")
    page = Visitor(PLATFORM).post("/find-workspace/", {"email": "Paul@Acme-Plumbing.example"})
    assert page.status_code == 200
    message = mails()[-1]
    assert message.to == ["paul@acme-plumbing.example"]
    assert host_of(cast.acme) in message.body
    assert host_of(cast.beacon) in message.body
    assert host_of(cast.koala) not in message.body


def test_a_removed_workspace_is_not_found(cast: Cast, mails: Mails) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    Visitor(PLATFORM).post("/find-workspace/", {"email": "paul@acme-plumbing.example"})
    assert mails() == []


def test_asking_again_and_again_mails_three_times_an_hour(cast: Cast, mails: Mails) -> None:
    for _ in range(6):
        assert Visitor(PLATFORM).post("/find-workspace/", {"email": "paul@acme-plumbing.example"}).status_code == 200
    assert len(mails()) == 3


def test_asking_for_many_addresses_is_slowed_down(cast: Cast, mails: Mails) -> None:
    answers = [Visitor(PLATFORM).post("/find-workspace/", {"email": f"person{n}@example.com"}).status_code for n in range(12)]
    assert answers == [200] * 10 + [429] * 2


def test_a_team_is_told_the_platforms_address(cast: Cast, mails: Mails) -> None:
    Visitor(PLATFORM).post("/find-workspace/", {"email": "mia@northlight.example"})
    assert f"http://{PLATFORM}/" in mails()[-1].body


@pytest.mark.parametrize(
    "path",
    [
        "/security/",
        "/security/password/",
        "/security/email/",
        "/security/sessions/",
        "/security/app/",
        "/password/first/",
        "/security/confirm/",
    ],
)
def test_c10_while_assisting_ones_own_security_is_out_of_reach(cast: Cast, path: str) -> None:
    made = assist.begin(user=cast.nora, sub_account=cast.acme)
    browser = Visitor(host_of(cast.acme), cast.nora)
    session = browser.session
    session["assist"] = str(made.public_id)
    session.save()
    for method in ("get", "post"):
        answer = getattr(browser, method)(path)
        assert answer.status_code == 403
        assert "Return to your agency" in answer.content.decode()


def test_sessions_that_are_over_are_forgotten(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as travel:
        sign_in("paul@acme-plumbing.example", host_of(cast.acme))
        ended, _ = sign_in("tess@acme-plumbing.example", host_of(cast.acme))
        Session.objects.filter(session_key=ended.cookies[settings.SESSION_COOKIE_NAME].value).delete()
        assert sessions.forget_expired() == 1
        assert list(UserSession.objects.values_list("user", flat=True)) == [cast.paul.pk]
        travel.shift(timedelta(days=14, seconds=1))
        assert sessions.forget_expired() == 2
        assert not UserSession.objects.exists()
        assert sessions.forget_expired() == 0


@pytest.mark.parametrize(
    ("page", "back"),
    [
        ("http://acme-plumbing.localhost/chatbots/?page=2", "/chatbots/%3Fpage%3D2"),
        ("http://evil.example/chatbots/", "/"),
        ("http://acme-plumbing.localhost//evil.example/", "/"),
        ("http://[nonsense", "/"),
        ("", "/"),
    ],
)
def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(cast: Cast, page: str, back: str) -> None:
    """The form's own address may answer no GET: whoever signed in again stood before a blank page."""
    host = host_of(cast.acme)
    page = page.replace("acme-plumbing.localhost", host)
    answer = Visitor(host).post(f"/chatbots/{uuid4()}/activation/", headers={"referer": page} if page else {})

    assert answer.headers["Location"] == f"/sign-in/?next={back}"
