"""Inviting people and coming in (C-01 … C-04, E-11 … E-16), through the pages."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine

from agency.models import AuditRecord, Membership, Plan, User
from credits.models import Wallet
from kit import clock
from kit.models import OutboxMessage
from subaccounts import invitations, opening
from subaccounts.models import Access, AccessToAll, Invitation, SubAccount
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of, person
from tests.entrance import Mails, is_signed_in, sign_in

STRONG = "wharf-lantern-ochre-71"
SELF = {"first_name": "Ida", "last_name": "Berg", "password1": STRONG}


def link_in(message: Any) -> tuple[str, str]:
    """Host and path of the link in a mail."""
    (url,) = re.findall(r"^ {4}(\S+/invitation/\S+)$", message.body, re.MULTILINE)
    return urlsplit(url).netloc, urlsplit(url).path


def follow(message: Any, user: User | None = None) -> tuple[Visitor, Any]:
    """A browser that opened the link, and the page it was shown."""
    host, path = link_in(message)
    browser = Visitor(host, user)
    return browser, browser.get(path, follow=True)


def invite(cast: Cast, **wish: Any) -> Any:
    return Visitor(PLATFORM, cast.nora).post("/users/invite/", {"reach": "some", **wish})


def invite_sub_account(cast: Cast, **changes: Any) -> Any:
    wish = {"business_name": "Fjord Bakery", "slug": "fjord-bakery", "email": "ida@fjord.example", **changes}
    return Visitor(PLATFORM, cast.nora).post("/sub-accounts/invite/", wish)


def arrive(browser: Visitor, page: Any) -> Visitor:
    """Over the hop to the host of the workspace that was just opened, as a browser goes."""
    (target,) = re.findall(r'content="0;url=([^"]+)"', page.content.decode())
    there = Visitor(urlsplit(target).netloc)
    back = urlsplit(there.get("/join/")["Location"])
    assert back.netloc == browser.host
    form = browser.get(f"{back.path}?{back.query}").content.decode()
    (token,) = re.findall(r'name="token" value="([^"]+)"', form)
    answer = there.post("/join/", {"token": token})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    return there


class TestInvitingASubAccount:
    def test_c04_the_client_sets_a_password_and_the_workspace_appears(self, cast: Cast, mails: Mails) -> None:
        assert invite_sub_account(cast, first_name="Ida").status_code == 302
        strip = Visitor(PLATFORM, cast.nora).get("/sub-accounts/").content.decode()
        assert "Fjord Bakery" in strip
        assert not SubAccount.objects.filter(slug="fjord-bakery").exists()

        (sent,) = mails()
        browser, page = follow(sent)
        assert sent.to == ["ida@fjord.example"]
        assert browser.host == "northlight.localhost:8000"
        assert page.status_code == 200
        assert "Nora Lind of Northlight Digital" in page.content.decode()
        there = arrive(browser, browser.post("/invitation/", SELF))

        opened = SubAccount.objects.get(slug="fjord-bakery")
        ida = User.objects.get(email="ida@fjord.example")
        assert (opened.name, opened.agency, ida.realm) == ("Fjord Bakery", cast.northlight, cast.northlight)
        assert Access.objects.get(user=ida).role == "sub_account_admin"
        assert Wallet.objects.get(owner_id=opened.public_id, unit="credit").balance == 100
        assert there.host == host_of(opened)
        assert there.get("/").status_code == 200
        assert "Fjord Bakery" in Visitor(PLATFORM, cast.nora).get("/sub-accounts/").content.decode()
        assert is_signed_in(sign_in("ida@fjord.example", host_of(opened), STRONG)[0])
        assert {"invitation.sent", "invitation.accepted", "sub_account.opened", "access.granted"} <= set(
            AuditRecord.objects.filter(agency=cast.northlight).values_list("action", flat=True)
        )

    def test_d10_it_holds_a_place_and_a_web_address_until_it_is_over(self, cast: Cast) -> None:
        agency = cast.northlight
        agency.max_sub_accounts_override = opening.slots_left(agency) or SubAccount.objects.of(agency).clients().ready().count() + 1
        agency.save()
        invite_sub_account(cast)

        assert opening.slots_left(agency) == 0
        with pytest.raises(opening.SubAccountLimitReached):
            opening.open_sub_account(agency=agency, first_name="A", last_name="B", slug="another-one", has_login=False, by=TESTS)
        rita = Visitor(PLATFORM, cast.rita)
        taken = {"business_name": "Fjord", "slug": "fjord-bakery", "email": "x@y.example"}
        assert rita.post("/sub-accounts/invite/", taken).status_code == 409

        invitations.revoke(invitation=Invitation.objects.get(), by=TESTS)
        assert opening.slots_left(agency) == 1
        assert rita.post("/sub-accounts/invite/", taken).status_code == 302
        with time_machine.travel(clock.now() + timedelta(days=7, seconds=1)):
            assert opening.slots_left(cast.northlight) == 1
            assert invite_sub_account(cast).status_code == 302

    def test_without_a_place_nothing_is_sent_and_larger_plans_are_offered(self, cast: Cast) -> None:
        agency = cast.northlight
        agency.max_sub_accounts_override = 0
        agency.save()

        answer = invite_sub_account(cast)

        assert answer.status_code == 409
        assert "See larger plans" in answer.content.decode()
        assert not Invitation.objects.exists()

    def test_e12_a_known_address_is_a_clear_error(self, cast: Cast) -> None:
        answer = invite_sub_account(cast, email="PAUL@acme-plumbing.example")

        assert answer.status_code == 409
        assert "already signs in to one of your sub-accounts" in answer.content.decode()

    def test_c03_white_label_is_part_of_some_plans(self, cast: Cast, mails: Mails) -> None:
        agency = cast.northlight
        agency.plan = Plan.objects.filter(has_white_label=False).first()
        agency.save()
        assert "Not part of your" in Visitor(PLATFORM, cast.nora).get("/sub-accounts/invite/").content.decode()
        invite_sub_account(cast, is_white_label="on", business_name="Plain", slug="plain-one", email="a@b.example")
        assert Invitation.objects.get().opens["is_white_label"] is False

        agency.plan = Plan.objects.filter(has_white_label=True).first()
        agency.save()
        invite_sub_account(cast, is_white_label="on")
        sent = mails()[-1]
        browser, page = follow(sent)
        assert "Canopy" not in page.content.decode() + sent.body + sent.subject + sent.from_email
        there = arrive(browser, browser.post("/invitation/", SELF))
        home = there.get("/").content.decode()
        assert "· Northlight Digital" in home
        assert "Canopy" not in home
        assert "Canopy" in Visitor(host_of(cast.acme)).get("/sign-in/").content.decode()

    def test_c03_white_label_that_left_the_plan_meanwhile_is_not_given(self, cast: Cast, mails: Mails) -> None:
        invite_sub_account(cast, is_white_label="on")
        agency = cast.northlight
        agency.plan = Plan.objects.filter(has_white_label=False).first()
        agency.save()
        browser, page = follow(mails()[-1])
        assert "Canopy" in page.content.decode()
        there = arrive(browser, browser.post("/invitation/", SELF))
        assert "Canopy" in there.get("/").content.decode()
        assert not SubAccount.objects.get(slug="fjord-bakery").is_white_label


class TestInvitingPeople:
    def test_e11_a_colleague_joins_the_team(self, cast: Cast, mails: Mails) -> None:
        answer = invite(cast, email="Otto@new.example", role="admin")
        assert (answer.status_code, answer["Location"]) == (302, "/users/pending/")
        (sent,) = mails()
        browser, _ = follow(sent)
        assert browser.host == PLATFORM

        assert browser.post("/invitation/", SELF).status_code == 302

        otto = User.objects.get(email="otto@new.example", realm=None)
        assert Membership.objects.get(user=otto).role == "admin"
        assert browser.get("/home/").status_code == 200

    def test_an_agency_member_reaches_what_was_chosen(self, cast: Cast, mails: Mails) -> None:
        invite(cast, email="m@new.example", role="member", reach="some", sub_accounts=[str(cast.koala.public_id)])
        (sent,) = mails()
        browser, _ = follow(sent)
        browser.post("/invitation/", SELF)

        assert sent.subject == "Nora Lind invites you to Northlight Digital"
        member = User.objects.get(email="m@new.example")
        assert [access.sub_account for access in member.accesses.all()] == [cast.koala]
        assert member.accesses.get().role == Access.GRANTED

    def test_e13_all_means_those_to_come_too(self, cast: Cast, mails: Mails) -> None:
        invite(cast, email="all@new.example", role="sub_account_member", reach="all")
        browser, _ = follow(mails()[0])
        assert browser.host == "northlight.localhost:8000"
        there = browser
        if "refresh" in (answer := browser.post("/invitation/", SELF)).content.decode():
            there = arrive(browser, answer)
        assert there.get("/").status_code == 200

        opening.open_sub_account(
            agency=cast.northlight, first_name="A", last_name="B", slug="later-one", business_name="Later", has_login=False, by=TESTS
        )

        user = User.objects.get(email="all@new.example")
        assert AccessToAll.objects.get(user=user).role == "sub_account_member"
        assert set(user.accesses.values_list("sub_account__slug", flat=True)) >= set(
            SubAccount.objects.of(cast.northlight).clients().values_list("slug", flat=True)
        )

    def test_specific_ones_lead_to_the_first_ones_own_host(self, cast: Cast, mails: Mails) -> None:
        named = [str(cast.koala.public_id), str(cast.acme.public_id)]
        invite(cast, email="two@new.example", role="sub_account_admin", reach="some", sub_accounts=named)
        browser, page = follow(mails()[0])

        assert browser.host == host_of(cast.acme)
        assert "Acme Plumbing, Koala Legal" in page.content.decode()
        assert browser.post("/invitation/", SELF)["Location"] == "/"
        assert browser.get("/").status_code == 200

    def test_a_client_needs_a_sub_account_and_nobody_is_made_owner(self, cast: Cast) -> None:
        for wish in (
            {"role": "owner"},
            {"role": "sub_account_admin", "reach": "none"},
            {"role": "sub_account_admin", "reach": "some"},
            {"role": "sub_account_admin", "reach": "some", "sub_accounts": [str(cast.beacon.public_id)]},
            {"role": "sub_account_admin", "reach": "some", "sub_accounts": ["nonsense"]},
            {"role": ""},
        ):
            assert invite(cast, email="x@new.example", **wish).status_code == 400, wish
        for refused in ({"role": "owner"}, {"role": "admin", "covers_all": True}, {"role": "sub_account_member"}):
            with pytest.raises(invitations.NotAssignable):
                invitations.invite(agency=cast.northlight, email="x@new.example", inviter=cast.nora, by=TESTS, **refused)
        assert not Invitation.objects.exists()

    def test_a_known_client_gets_access_at_once_after_a_page_that_says_whom(self, cast: Cast, mails: Mails) -> None:
        wish = {"email": "paul@acme-plumbing.example", "role": "sub_account_member", "reach": "some"}
        wish["sub_accounts"] = [str(cast.koala.public_id)]  # type: ignore[assignment]
        asked = invite(cast, **wish)
        assert "Add access for Paul Acme" in asked.content.decode()
        assert cast.paul.accesses.count() == 1

        assert invite(cast, **wish, confirmed="1")["Location"] == "/users/"

        assert cast.paul.accesses.get(sub_account=cast.koala).role == "sub_account_member"
        assert mails()[-1].to == ["paul@acme-plumbing.example"]
        assert "Koala Legal" in mails()[-1].body
        assert invite(cast, **wish, confirmed="1").status_code == 409

    def test_somebody_of_the_team_is_not_invited_again(self, cast: Cast) -> None:
        answer = invite(cast, email="mia@northlight.example", role="admin")

        assert answer.status_code == 409
        assert "in your team already" in answer.content.decode()

    def test_a_person_of_the_platform_without_a_team_signs_in_and_accepts(self, cast: Cast, mails: Mails) -> None:
        person("lone@new.example", "Lone", "Wolf")
        invite(cast, email="lone@new.example", role="admin")
        browser, page = follow(mails()[0])
        (way,) = re.findall(r'href="(/sign-in/\?[^"]+)"', page.content.decode())
        assert browser.post("/invitation/", SELF).status_code == 200
        assert not Membership.objects.filter(user__email="lone@new.example").exists()

        answer = browser.post(way.replace("&amp;", "&"), {"login": "lone@new.example", "password": PASSWORD}, follow=True)
        assert "You are signed in as Lone Wolf" in answer.content.decode()
        assert browser.post("/invitation/").status_code == 302
        assert Membership.objects.get(user__email="lone@new.example").agency == cast.northlight

    def test_a_client_that_became_known_meanwhile_accepts_and_signs_in_as_ever(self, cast: Cast, mails: Mails) -> None:
        invite(cast, email="soon@new.example", role="sub_account_member", reach="some", sub_accounts=[str(cast.acme.public_id)])
        browser, _ = follow(mails()[0])
        known = person("soon@new.example", "So", "On", realm=cast.northlight)

        page = browser.get("/invitation/")
        assert "You have a password here already" in page.content.decode()
        assert browser.post("/invitation/", SELF)["Location"] == "/"

        assert known.accesses.get().sub_account == cast.acme
        assert not is_signed_in(browser)
        assert is_signed_in(sign_in("soon@new.example", host_of(cast.acme))[0])


class TestPending:
    def test_e16_it_lists_resends_and_revokes(self, cast: Cast, mails: Mails) -> None:
        invite(cast, email="late@new.example", role="member", reach="none")
        nora = Visitor(PLATFORM, cast.nora)
        page = nora.get("/users/pending/").content.decode()
        assert "late@new.example" in page
        assert "invited by Nora Lind" in page
        public_id = Invitation.objects.get().public_id
        adam = Visitor(PLATFORM, cast.adam)

        assert adam.post(f"/users/pending/{public_id}/link/").status_code == 302
        first, second = mails()
        assert link_in(first) != link_in(second)
        assert follow(first)[1].status_code == 410
        assert follow(second)[1].status_code == 200
        assert Invitation.objects.get().invited_by == cast.adam

        assert nora.get(f"/users/pending/{public_id}/revocation/").status_code == 200
        assert nora.post(f"/users/pending/{public_id}/revocation/").status_code == 302
        assert "late@new.example" not in nora.get("/users/pending/").content.decode().partition("</h1>")[2].partition("<table")[2]
        assert nora.post(f"/users/pending/{public_id}/link/").status_code == 409

    def test_another_agencys_is_not_found(self, cast: Cast) -> None:
        invite(cast, email="late@new.example", role="admin")
        public_id = Invitation.objects.get().public_id
        rita = Visitor(PLATFORM, cast.rita)

        assert rita.post(f"/users/pending/{public_id}/link/").status_code == 404
        assert rita.post(f"/users/pending/{public_id}/revocation/").status_code == 404
        assert "late@new.example" not in rita.get("/users/pending/").content.decode()

    def test_one_open_invitation_per_address_and_a_new_one_when_it_is_over(self, cast: Cast) -> None:
        wish = {"email": "late@new.example", "role": "admin"}
        invite(cast, **wish)
        assert invite(cast, **wish).status_code == 409

        with time_machine.travel(clock.now() + timedelta(days=8)):
            assert invite(cast, **wish).status_code == 302
            assert [one.has_expired for one in Invitation.objects.order_by("id")] == [True, False]

    def test_an_expired_one_can_be_sent_again(self, cast: Cast) -> None:
        invite(cast, email="late@new.example", role="admin")
        with time_machine.travel(clock.now() + timedelta(days=8)):
            nora = Visitor(PLATFORM, cast.nora)
            assert "Expired" in nora.get("/users/pending/").content.decode()
            nora.post(f"/users/pending/{Invitation.objects.get().public_id}/link/")
            assert Invitation.objects.get().is_open


def test_the_list_to_choose_from_keeps_what_was_chosen(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    query = f"find=koala&sub_accounts={cast.acme.public_id}&sub_accounts=x"

    piece = nora.get(f"/users/invite/sub-accounts/?{query}").content.decode()
    again = nora.post("/users/invite/", {"look": "1", "find": "koala", "email": "a@b.example", "sub_accounts": [str(cast.acme.public_id)]})

    for page in (piece, again.content.decode()):
        assert re.findall(r'value="([0-9a-f-]{36})"[^>]* checked', page) == [str(cast.acme.public_id)]
        assert "Koala Legal" in page
        assert "Northlight Digital</label>" not in page
    assert "a@b.example" in again.content.decode()


def test_events_are_told(cast: Cast, mails: Mails) -> None:
    invite(cast, email="two@new.example", role="sub_account_admin", reach="some", sub_accounts=[str(cast.acme.public_id)])
    event = OutboxMessage.objects.get(topic="event", payload__type="user.invited").payload

    assert event["sub_account_id"] == str(cast.acme.public_id)
    assert event["data"]["email"] == "two@new.example"
