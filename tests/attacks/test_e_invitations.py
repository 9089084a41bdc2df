"""Section E of the threats, invitations: links that are guessed, kept, forwarded, replayed and bent."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core import mail
from django.db import connection, transaction

from agency.models import Agency, AuditRecord, Membership, User
from config.logging import clean
from kit import clock, outbox, ratelimit
from kit.refusal import Refusal
from subaccounts import hop, invitations, lifecycle, opening
from subaccounts.invitations import Newcomer
from subaccounts.models import Access, Hop, Invitation, SubAccount
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of, person
from tests.entrance import Mails, sign_in
from tests.people.test_invitations import SELF, STRONG, follow, invite, invite_sub_account, link_in

ADDRESS = "ida@fjord.example"
IDA = Newcomer("Ida", "Berg", STRONG)


def to_acme(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {"email": ADDRESS, "role": "sub_account_member", "reach": "some", "sub_accounts": [str(cast.acme.public_id)], **changes}


def nobody_came() -> bool:
    return not User.objects.filter(email=ADDRESS).exists() and not Access.objects.filter(user__email=ADDRESS).exists()


def test_e01_a_used_link_opens_nothing(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    (sent,) = mails()
    browser, _ = follow(sent)
    assert browser.post("/invitation/", SELF).status_code == 302

    again, page = follow(sent)

    assert page.status_code == 410
    assert "accepted already" in page.content.decode()
    assert again.post("/invitation/", {**SELF, "first_name": "Eve"}).status_code == 404
    assert User.objects.filter(email=ADDRESS).count() == 1


def test_e01_a_second_window_of_the_same_link_comes_too_late(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    (sent,) = mails()
    first, second = follow(sent)[0], follow(sent)[0]

    assert first.post("/invitation/", SELF).status_code == 302
    assert second.post("/invitation/", SELF).status_code == 410


@pytest.mark.django_db(transaction=True)
def test_e01_of_twenty_at_once_exactly_one_comes_in() -> None:
    cast = Cast()
    email = f"{uuid4().hex}@race.example"
    invitation = invitations.invite(agency=cast.northlight, email=email, role="admin", inviter=cast.nora, by=TESTS)

    def come(_: int) -> bool:
        try:
            return invitations.accept(token_hash=invitation.token_hash, newcomer=IDA).is_new
        except invitations.LinkOver:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        came = list(pool.map(come, range(20)))

    assert came.count(True) == 1
    assert Membership.objects.filter(user__email=email).count() == 1
    Membership.objects.filter(user__email=email).delete()


@pytest.mark.django_db(transaction=True)
def test_d10_of_thirty_invitations_and_openings_with_one_place_left_exactly_one_gets_it() -> None:
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    agency = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    agency.max_sub_accounts_override = 1
    agency.save()

    def take(number: int) -> bool:
        slug = f"r-{uuid4().hex[:20]}"
        try:
            if number % 2:
                opening.open_sub_account(agency=agency, first_name="A", last_name="B", slug=slug, has_login=False, by=TESTS)
            else:
                email = f"{uuid4().hex}@race.example"
                invitations.invite_sub_account(agency=agency, email=email, business_name="New", slug=slug, inviter=owner, by=TESTS)
            return True
        except opening.SubAccountLimitReached:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(30) as pool:
        got = list(pool.map(take, range(30)))

    assert got.count(True) == 1
    assert opening.slots_left(agency) == 0
    assert SubAccount.objects.of(agency).clients().count() + Invitation.objects.filter(agency=agency).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "new"])
def test_d10_of_two_teams_at_once_somebody_joins_one(is_known: bool) -> None:
    """The second acceptance begins while the first is not committed yet."""
    cast, email = Cast(), f"{uuid4().hex}@race.example"
    known = person(email, "Ida", "Berg") if is_known else None
    about: dict[str, Any] = {"signed_in": known} if known else {"newcomer": IDA}
    agency = opening.open_agency(owner=person(f"owner-{email}", "Ola", "Vik"), name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    owner = Membership.objects.get(agency=agency).user
    first = invitations.invite(agency=cast.northlight, email=email, role="admin", inviter=cast.nora, by=TESTS)
    second = invitations.invite(agency=agency, email=email, role="admin", inviter=owner, by=TESTS)

    def come() -> str:
        try:
            invitations.accept(token_hash=second.token_hash, **about)
            return "in"
        except Refusal as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            invitations.accept(token_hash=first.token_hash, **about)
            coming = pool.submit(come)
            while not coming.done() and not waits_for_a_lock():
                pass
        came = coming.result()

    found = Membership.objects.filter(user__email=email)
    assert (came, [membership.agency for membership in found]) == ("in_another_team" if is_known else "sign_in_first", [cast.northlight])
    assert Invitation.objects.get(pk=second.pk).is_open
    found.delete()
    second.delete()


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("end", ["expired", "revoked", "replaced"])
def test_e02_a_link_that_is_over_has_a_page_and_opens_nothing(cast: Cast, mails: Mails, end: str) -> None:
    words = {"expired": "too old", "revoked": "withdrawn", "replaced": "a newer link"}
    with time_machine.travel(clock.now(), tick=False) as moved:
        invite(cast, **to_acme(cast))
        (sent,) = mails()
        moved.shift(timedelta(days=7, seconds=-1))
        browser, _ = follow(sent)
        moved.shift(timedelta(seconds=2 if end == "expired" else 0))
        if end == "revoked":
            invitations.revoke(invitation=Invitation.objects.get(), by=TESTS)
        if end == "replaced":
            invitations.resend(invitation=Invitation.objects.get(), inviter=cast.nora, by=TESTS)

        for page in (follow(sent)[1], browser.get("/invitation/"), browser.post("/invitation/", SELF)):
            assert page.status_code == 410
            assert words[end] in page.content.decode()
    assert nobody_came()


def test_e02_a_link_is_good_to_the_last_second_of_its_week(cast: Cast, mails: Mails) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        invite(cast, **to_acme(cast))
        moved.shift(timedelta(days=7, seconds=-1))
        browser, page = follow(mails()[0])
        assert page.status_code == 200
        assert browser.post("/invitation/", SELF).status_code == 302


def test_e02_b05_looking_uses_nothing_up(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    (sent,) = mails()
    host, path = link_in(sent)
    before = Invitation.objects.values().get()

    for _ in range(3):
        scanner = Visitor(host)
        assert scanner.head(path).status_code == 302
        assert scanner.get(path, follow=True).status_code == 200
        assert scanner.head("/invitation/").status_code == 200
        assert scanner.post(path, SELF).status_code == 405

    assert Invitation.objects.values().get() == before
    assert nobody_came()
    assert follow(sent)[0].post("/invitation/", SELF).status_code == 302


def test_e03_the_address_is_the_invitations(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    (sent,) = mails()
    browser, page = follow(sent)
    assert "readonly" in page.content.decode()
    assert browser.post("/invitation/", {**SELF, "email": "eve@evil.example"}).status_code == 403

    wrong, page = follow(sent, cast.paul)
    assert page.status_code == 403
    assert "Sign out" in page.content.decode()
    assert wrong.post("/invitation/", SELF).status_code == 403
    assert not User.objects.filter(email="eve@evil.example").exists()
    assert nobody_came()
    assert Invitation.objects.get().is_open


def test_e03_an_assisting_person_accepts_nothing(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    with pytest.raises(invitations.NotForYou):
        invitations.accept(token_hash=Invitation.objects.get().token_hash, signed_in=cast.nora)
    assert nobody_came()


def test_e04_the_token_is_stored_nowhere_and_leaves_no_trace(cast: Cast, mails: Mails, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        invite(cast, **to_acme(cast))
        (sent,) = mails()
        host, path = link_in(sent)
        token = path.strip("/").rpartition("/")[2]
        browser = Visitor(host)
        answer = browser.get(path)
        page = browser.get("/invitation/")
        Visitor("nobody.localhost:8000").get(path)
        Visitor(host, enforce_csrf_checks=True).post(path)

    assert len(token) >= 43
    assert (answer["Location"], answer["Referrer-Policy"]) == ("/invitation/", "no-referrer")
    assert "no-store" in answer["Cache-Control"]
    assert token not in page.content.decode()
    assert Invitation.objects.get().token_hash == invitations.hashed(token)
    with connection.cursor() as cursor:
        for table in ("subaccounts_invitation", "agency_auditrecord", "kit_outboxmessage", "django_session"):
            cursor.execute(f"SELECT count(*) FROM {table} AS it WHERE it::text LIKE %s", [f"%{token}%"])
            assert cursor.fetchone() == (0,), table
    assert token not in "".join(clean(record.getMessage()) for record in caplog.records)
    assert token not in clean(f"Forbidden (CSRF token missing.): {path}")


def test_e04_a_link_is_good_on_its_own_host_only(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    _, path = link_in(mails()[0])

    for host in (PLATFORM, host_of(cast.koala), host_of(cast.beacon), "northlight.localhost:8000"):
        assert Visitor(host).get(path).status_code == 404
    assert Visitor(host_of(cast.acme)).get(f"/invitation/{'x' * 43}/").status_code == 404
    assert Visitor(host_of(cast.acme)).get("/invitation/").status_code == 404


def test_e05_the_fifty_first_of_an_hour_is_too_many(cast: Cast) -> None:
    for _ in range(invitations.PER_AGENCY):
        assert ratelimit.allow(f"invitations:{cast.northlight.pk}", invitations.PER_AGENCY, invitations.HOUR)

    answer = invite(cast, **to_acme(cast))

    assert answer.status_code == 429
    assert answer["Retry-After"] == "3600"
    assert not Invitation.objects.exists()
    rita = Visitor(PLATFORM, cast.rita)
    assert rita.post("/users/invite/", {"email": ADDRESS, "role": "admin", "reach": "some"}).status_code == 302


def test_e05_nor_more_than_five_to_one_address(cast: Cast) -> None:
    invite(cast, **to_acme(cast))
    nora = Visitor(PLATFORM, cast.nora)
    link = f"/users/pending/{Invitation.objects.get().public_id}/link/"

    assert [nora.post(link).status_code for _ in range(5)] == [302, 302, 302, 302, 429]


@pytest.mark.parametrize("name", ["Visit www.evil.example", "https://evil.example", "<b>Win</b>", "me@evil.example"])
def test_e05_a_name_carries_no_link(cast: Cast, mails: Mails, name: str) -> None:
    assert invite_sub_account(cast, business_name=name).status_code == 400
    assert invite_sub_account(cast, first_name=name).status_code == 400
    assert not Invitation.objects.exists()

    invite(cast, **to_acme(cast))
    browser, _ = follow(mails()[0])
    assert browser.post("/invitation/", {**SELF, "first_name": name}).status_code == 400
    assert nobody_came()


def test_e06_d04_role_and_reach_are_the_invitations(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    browser, _ = follow(mails()[0])
    bent = {"role": "owner", "covers_all": "1", "is_staff": "1", "is_superuser": "1", "realm": "", "agency": cast.harbour.pk}
    more = {"sub_accounts": [str(cast.koala.public_id)], "opens": "{}", "credits": "9999", "invited_by": "1", "token_hash": "0" * 64}

    assert browser.post("/invitation/", {**SELF, **bent, **more}).status_code == 302

    user = User.objects.get(email=ADDRESS)
    assert (user.realm, user.is_staff, user.is_superuser) == (cast.northlight, False, False)
    assert [(one.sub_account, one.role) for one in user.accesses.all()] == [(cast.acme, "sub_account_member")]
    assert not Membership.objects.filter(user=user).exists()


def test_d04_d06_extra_fields_of_an_invitation_change_nothing(cast: Cast) -> None:
    more = {"covers_all": "1", "opens": "{}", "token_hash": "0" * 64, "accepted_at": "2020-01-01", "agency": cast.harbour.pk}
    invite(cast, **to_acme(cast, **more))
    invite_sub_account(cast, role="admin", credit_mode="reselling", is_primary="1", key="x")

    for invitation in Invitation.objects.all():
        assert (invitation.agency, invitation.covers_all, invitation.accepted_at) == (cast.northlight, False, None)
        assert invitation.token_hash != "0" * 64
    assert invite(cast, email="o@new.example", role="owner").status_code == 400


@pytest.mark.parametrize("loss", ["demoted", "removed", "deactivated", "agency deleted", "suspended"])
def test_e07_what_the_inviter_may_no_longer_give_nobody_gets(cast: Cast, mails: Mails, loss: str) -> None:
    adam = Visitor(PLATFORM, cast.adam)
    adam.post("/users/invite/", to_acme(cast))
    browser, _ = follow(mails()[0])
    if loss == "demoted":
        Membership.objects.filter(user=cast.adam).update(role="member")
    elif loss == "removed":
        Membership.objects.filter(user=cast.adam).delete()
    elif loss == "deactivated":
        User.objects.filter(pk=cast.adam.pk).update(is_active=False)
    elif loss == "agency deleted":
        Agency.objects.filter(pk=cast.northlight.pk).update(deleted_at=clock.now())
    else:
        lifecycle.suspend(sub_account=cast.acme, by=TESTS)

    answer = browser.post("/invitation/", SELF)

    assert answer.status_code in ((403, 404) if loss == "agency deleted" else (403,))
    assert nobody_came()
    assert Invitation.objects.get().accepted_at is None


def test_e07_the_plans_limit_counts_at_acceptance(cast: Cast, mails: Mails) -> None:
    invite_sub_account(cast)
    browser, _ = follow(mails()[0])
    Agency.objects.filter(pk=cast.northlight.pk).update(max_sub_accounts_override=0)

    answer = browser.post("/invitation/", SELF)

    assert answer.status_code == 409
    assert "no place" in answer.content.decode()
    assert nobody_came()
    assert Invitation.objects.get().is_open


def test_e08_somebody_of_another_agency_is_invited_like_anybody(cast: Cast, mails: Mails) -> None:
    stranger = invite(cast, email="stranger@new.example", role="admin")
    theirs = invite(cast, email="rita@harbour.example", role="admin")
    client = invite(cast, **to_acme(cast, email="ben@beacon-dental.example"))
    assert {(one.status_code, one["Location"]) for one in (stranger, theirs, client)} == {(302, "/users/pending/")}

    sent = next(one for one in mails() if one.to == ["rita@harbour.example"])
    browser, page = follow(sent)
    assert "Sign in to accept" in page.content.decode()
    assert browser.post("/invitation/", SELF).status_code == 200
    sign_in("rita@harbour.example", browser=browser)
    asked, given = browser.get("/invitation/"), browser.post("/invitation/")

    assert (asked.status_code, given.status_code) == (409, 409)
    assert "Harbour &amp; Co" in given.content.decode()
    assert [one.agency for one in cast.rita.memberships.all()] == [cast.harbour]
    nora = Visitor(PLATFORM, cast.nora).get("/users/pending/").content.decode()
    assert "rita@harbour.example" in nora
    assert "Harbour" not in nora
    ben = next(one for one in mails() if one.to == ["ben@beacon-dental.example"])
    assert follow(ben)[0].post("/invitation/", SELF).status_code == 302
    assert User.objects.filter(email="ben@beacon-dental.example").count() == 2


def test_e08_a_known_person_is_never_signed_in_by_the_link_alone(cast: Cast, mails: Mails) -> None:
    lone = person("lone@new.example", "Lone", "Wolf")
    invite(cast, email="lone@new.example", role="admin")
    browser, _ = follow(mails()[0])

    browser.post("/invitation/", {**SELF, "password1": PASSWORD})
    with pytest.raises(invitations.SignInFirst):
        invitations.accept(token_hash=Invitation.objects.get().token_hash, newcomer=IDA)

    assert "/sign-in/" in browser.get("/security/")["Location"]
    assert not lone.memberships.exists()
    lone.refresh_from_db()
    assert lone.check_password(PASSWORD)


def test_b04_every_form_wants_its_own_token(cast: Cast, mails: Mails) -> None:
    invite(cast, **to_acme(cast))
    invitation = Invitation.objects.get()
    host, path = link_in(mails()[0])
    guest = Visitor(host, enforce_csrf_checks=True)
    guest.get(path)
    nora = Visitor(PLATFORM, cast.nora, enforce_csrf_checks=True)

    assert guest.post("/invitation/", SELF).status_code == 403
    for url in (
        "/users/invite/",
        "/sub-accounts/invite/",
        *(f"/users/pending/{invitation.public_id}/{deed}/" for deed in ("link", "revocation")),
    ):
        assert nora.post(url, to_acme(cast, email="b04@new.example")).status_code == 403, url
    assert Invitation.objects.get().sent_at == invitation.sent_at
    assert nobody_came()


def test_b05_nothing_happens_by_looking(cast: Cast) -> None:
    invite(cast, **to_acme(cast))
    before = Invitation.objects.values().get()
    nora = Visitor(PLATFORM, cast.nora)

    assert nora.get(f"/users/pending/{before['public_id']}/link/").status_code == 405
    assert nora.get(f"/users/pending/{before['public_id']}/revocation/").status_code == 200
    assert nora.get("/users/invite/", to_acme(cast, email="b05@new.example")).status_code == 200
    assert Invitation.objects.values().get() == before


@pytest.mark.parametrize("name", ["{{settings.SECRET_KEY}}", "{{7*7}}", "{% load static %}", "{% include 'x' %}"])
def test_b11_stored_text_is_never_a_template(cast: Cast, mails: Mails, name: str) -> None:
    invite_sub_account(cast, business_name=name, first_name=name)
    User.objects.filter(pk=cast.nora.pk).update(first_name=name)

    (sent,) = mails()

    assert name in sent.body
    assert name in sent.subject
    page = follow(sent)[1]
    assert page.status_code == 200
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page.content.decode())[0]


@pytest.mark.parametrize("bend", ["twice", "late", "other browser", "other purpose", "no access"])
def test_c01_c02_c03_c05_the_way_to_the_new_workspace_is_a_hop_like_any_other(cast: Cast, bend: str) -> None:
    nonce = hop.new_nonce()
    host = host_of(cast.acme)
    purpose = Hop.SWITCH if bend == "other purpose" else Hop.JOIN
    user = cast.kira if bend == "no access" else cast.paul
    with time_machine.travel(clock.now(), tick=False) as moved:
        token = hop.issue(user=user, host=host, purpose=purpose, nonce_hash=hop.hashed(nonce))
        browser = Visitor(host)
        browser.cookies[hop.NONCE_COOKIE] = "other" if bend == "other browser" else nonce
        if bend == "twice":
            first = Visitor(host)
            first.cookies[hop.NONCE_COOKIE] = nonce
            assert first.post("/join/", {"token": token}).status_code == 302
        moved.shift(61 if bend == "late" else 1)

        assert browser.post("/join/", {"token": token}).status_code == 404

    assert "/sign-in/" in browser.get("/security/")["Location"]
    assert AuditRecord.objects.filter(action="join.refused", agency=cast.northlight).count() == 1


def test_c05_nobody_is_replaced_and_no_wish_gets_no_token(cast: Cast) -> None:
    paul = Visitor(host_of(cast.acme), cast.paul)

    assert (paul.get("/join/").status_code, paul.post("/join/", {"token": "x"}).status_code) == (409, 409)
    assert Visitor("northlight.localhost:8000").get(f"/join/token/?nonce={'0' * 64}")["Location"] == "/"
    assert not Hop.objects.exists()


def test_i17_an_address_adds_no_header(cast: Cast) -> None:
    for email in ("a@b.example\nBcc: c@d.example", "a@b.example, c@d.example", "<script>@b.example", "a b@c.example"):
        assert invite(cast, email=email, role="admin").status_code == 400
    outbox.deliver_due()
    assert not any("d.example" in str(one.recipients()) for one in mail.outbox)
