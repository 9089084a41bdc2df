"""The People page of a workspace: a client's Admin manages colleagues, in this one workspace only."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from agency.models import AuditRecord, User
from kit import ratelimit
from subaccounts import colleagues, invitations, opening
from subaccounts.models import Access, AccessToAll, Invitation
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails, is_signed_in
from tests.people.test_invitations import SELF, follow, invite


def paul_in(cast: Cast) -> Visitor:
    return Visitor(host_of(cast.acme), cast.paul)


def ask(cast: Cast, email: str, role: str = "sub_account_member") -> Any:
    return paul_in(cast).post("/people/invite/", {"email": email, "role": role})


def test_it_lists_the_clients_people_and_nobody_of_the_agency(cast: Cast) -> None:
    page = paul_in(cast).get("/people/").content.decode()

    assert "Paul Acme" in page
    assert "Tess Acme" in page
    assert "Mia Torres" not in page
    assert "Kira" not in page
    assert Visitor(host_of(cast.acme), cast.tess).get("/people/").status_code == 403


def test_a_colleague_is_invited_and_comes_in(cast: Cast, mails: Mails) -> None:
    assert ask(cast, "new@acme-plumbing.example")["Location"] == "/people/"
    (sent,) = mails()
    assert "new@acme-plumbing.example" in paul_in(cast).get("/people/").content.decode()
    browser, page = follow(sent)
    assert "Paul Acme invites you as Subaccount Member to Acme Plumbing" in " ".join(page.content.decode().split())

    assert browser.post("/invitation/", SELF).status_code == 302

    assert browser.get("/").status_code == 200
    assert Access.objects.get(user__email="new@acme-plumbing.example").role == "sub_account_member"


def test_h07_e08_nothing_is_learned_about_other_clients(cast: Cast, mails: Mails) -> None:
    invite(cast, email="both@new.example", role="sub_account_member", reach="some", sub_accounts=[str(cast.koala.public_id)])
    known, invited, new = (ask(cast, email) for email in ("kira@koala-legal.example", "both@new.example", "nobody@new.example"))

    assert {(answer.status_code, answer["Location"]) for answer in (known, invited, new)} == {(302, "/people/")}
    page = paul_in(cast).get("/people/").content.decode()
    assert page.count("invited by Paul Acme") == 3
    assert "Koala" not in page

    to_kira = next(one for one in mails() if one.to == ["kira@koala-legal.example"])
    browser, _ = follow(to_kira)
    assert browser.post("/invitation/")["Location"] == "/"
    assert not is_signed_in(browser)
    assert Access.objects.get(user=cast.kira, sub_account=cast.acme).role == "sub_account_member"


def test_who_is_in_or_invited_already_is_said(cast: Cast) -> None:
    assert "has access to Acme Plumbing already" in ask(cast, "tess@acme-plumbing.example").content.decode()
    ask(cast, "new@acme-plumbing.example")
    assert "open invitation to this address" in ask(cast, "new@acme-plumbing.example").content.decode()


def test_d04_no_role_of_the_agency_and_no_other_sub_account(cast: Cast) -> None:
    for role in ("owner", "admin", "member", ""):
        assert ask(cast, "new@acme-plumbing.example", role).status_code == 400
    paul_in(cast).post(
        "/people/invite/",
        {"email": "x@new.example", "role": "sub_account_admin", "covers_all": "1", "sub_accounts": [str(cast.koala.public_id)]},
    )
    sent = Invitation.objects.get()
    assert (list(sent.sub_accounts.all()), sent.covers_all, sent.invited_in) == ([cast.acme], False, cast.acme)


def test_resend_and_revoke_are_for_the_ones_sent_here(cast: Cast, mails: Mails) -> None:
    ask(cast, "new@acme-plumbing.example")
    mine = Invitation.objects.get()
    invite(cast, email="agency@new.example", role="sub_account_member", reach="some", sub_accounts=[str(cast.acme.public_id)])
    agencys = Invitation.objects.exclude(pk=mine.pk).get()
    paul, kira = paul_in(cast), Visitor(host_of(cast.koala), cast.kira)

    assert paul.post(f"/people/pending/{mine.public_id}/link/").status_code == 302
    assert follow(mails()[0])[1].status_code == 410
    for browser, one in ((paul, agencys), (kira, mine)):
        assert browser.post(f"/people/pending/{one.public_id}/link/").status_code == 404
        assert browser.post(f"/people/pending/{one.public_id}/revocation/").status_code == 404
    assert "of Acme Plumbing" in Visitor(PLATFORM, cast.nora).get("/users/pending/").content.decode()
    assert paul.post(f"/people/pending/{mine.public_id}/revocation/").status_code == 302
    assert not Invitation.objects.get(pk=mine.pk).is_open


def test_what_the_agency_sends_again_is_as_good(cast: Cast, mails: Mails) -> None:
    ask(cast, "new@acme-plumbing.example")
    Visitor(PLATFORM, cast.nora).post(f"/users/pending/{Invitation.objects.get().public_id}/link/")

    browser, page = follow(mails()[-1])

    assert page.status_code == 200
    assert browser.post("/invitation/", SELF).status_code == 302


def test_e05_a_client_does_not_use_up_what_its_agency_may_send(cast: Cast) -> None:
    for _ in range(invitations.PER_CLIENT):
        assert ratelimit.allow(f"invitations:{cast.northlight.pk}:{cast.acme.pk}", invitations.PER_CLIENT, invitations.HOUR)

    assert ask(cast, "one@too.example").status_code == 429
    assert invite(cast, email="agency@new.example", role="admin").status_code == 302


def test_e07_an_admin_who_is_none_any_more_invited_for_nothing(cast: Cast, mails: Mails) -> None:
    ask(cast, "new@acme-plumbing.example")
    browser, _ = follow(mails()[0])
    Access.objects.filter(user=cast.paul).update(role="sub_account_member")

    assert browser.post("/invitation/", SELF).status_code == 403
    assert not User.objects.filter(email="new@acme-plumbing.example").exists()


def test_a_role_acts_on_the_very_next_request(cast: Cast) -> None:
    tess = Visitor(host_of(cast.acme), cast.tess)
    assert tess.get("/people/").status_code == 403

    url = f"/people/{cast.tess.public_id}/role/"
    assert paul_in(cast).get(url).status_code == 200
    assert paul_in(cast).post(url, {"role": "sub_account_admin"}).status_code == 302

    assert tess.get("/people/").status_code == 200
    record = AuditRecord.objects.get(action="access.role_changed")
    assert (record.before, record.after) == ({"role": "sub_account_member"}, {"role": "sub_account_admin"})
    assert paul_in(cast).post(url, {"role": "admin"}).status_code == 400


def test_removing_ends_access_and_sessions(cast: Cast) -> None:
    tess = Visitor(host_of(cast.acme), cast.tess)
    assert is_signed_in(tess)

    assert paul_in(cast).get(f"/people/{cast.tess.public_id}/removal/").status_code == 200
    assert paul_in(cast).post(f"/people/{cast.tess.public_id}/removal/").status_code == 302

    assert not is_signed_in(tess)
    assert not cast.tess.accesses.exists()
    assert AuditRecord.objects.get(action="access.taken").sub_account_id == cast.acme.public_id


def test_not_oneself_nor_whom_the_agency_let_in_nor_a_stranger(cast: Cast) -> None:
    AccessToAll.objects.create(agency=cast.northlight, user=cast.tess, role="sub_account_member")
    paul = paul_in(cast)

    for person, status in ((cast.paul, 403), (cast.tess, 403), (cast.kira, 404), (cast.mia, 404), (cast.ben, 404)):
        assert paul.post(f"/people/{person.public_id}/role/", {"role": "sub_account_admin"}).status_code == status
        assert paul.post(f"/people/{person.public_id}/removal/").status_code == status
    assert Access.objects.get(user=cast.paul).role == "sub_account_admin"
    assert cast.tess.accesses.exists()


def test_changes_want_a_recent_proof(cast: Cast) -> None:
    paul = Visitor(host_of(cast.acme), cast.paul, recent=False)

    for part in ("role", "removal"):
        answer = paul.post(f"/people/{cast.tess.public_id}/{part}/", {"role": "sub_account_admin"})
        assert "/security/confirm/" in answer["Location"]
    assert Access.objects.get(user=cast.tess).role == "sub_account_member"


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_remove_each_other_one_is_left() -> None:
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    agency = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    here = agency.sub_accounts.get()
    pair = [User.objects.create_user(email=f"{uuid4().hex}@race.example", realm=agency) for _ in range(2)]
    for one in pair:
        Access.objects.create(sub_account=here, user=one, role="sub_account_admin")

    def remove(number: int) -> None:
        try:
            colleagues.remove(sub_account=here, user=pair[1 - number], by=pair[number].as_actor())
        except colleagues.NotHere:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(remove, range(2)))

    assert here.accesses.count() == 1
