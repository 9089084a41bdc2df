"""An agency asks its people for a second factor."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP

from agency.models import Agency, AuditRecord, User
from kit.models import OutboxMessage
from subaccounts import second_factors
from tests.cast import PASSWORD, PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails

PAGE = "/settings/security/"


def with_app(user: User) -> User:
    TOTP.activate(user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    return user


def asking(cast: Cast) -> Visitor:
    """Nora's browser, with a second factor that she has shown."""
    browser = Visitor(PLATFORM, with_app(cast.nora))
    session = browser.session
    session["account_authentication_methods"] += [{"method": "mfa", "type": "totp", "at": 0}]
    session.save()
    return browser


def test_the_owner_asks_the_team_and_each_of_them_is_told(cast: Cast, mails: Mails) -> None:
    assert asking(cast).post(PAGE, {"team": "on"}).status_code == 302
    assert cast.northlight.team_needs_mfa
    assert not cast.northlight.clients_need_mfa
    told = {message.to[0]: message.body for message in mails()}
    assert set(told) == {"nora@northlight.example", "adam@northlight.example", "mia@northlight.example"}
    assert "You have one already" in told["nora@northlight.example"]
    assert "lead you through it" in told["adam@northlight.example"]
    record = AuditRecord.objects.get(action="agency.second_factor_policy_changed")
    assert (record.before["team_needs_mfa"], record.after["team_needs_mfa"]) == (False, True)


def test_clients_are_told_in_their_agencys_name_and_find_their_workspace(cast: Cast, mails: Mails) -> None:
    asking(cast).post(PAGE, {"clients": "on"})
    told = {message.to[0]: message for message in mails()}
    assert set(told) == {"paul@acme-plumbing.example", "tess@acme-plumbing.example", "kira@koala-legal.example"}
    message = told["paul@acme-plumbing.example"]
    assert "Northlight Digital" in message.from_email
    assert "http://acme-plumbing.localhost" in message.body
    assert "Canopy" not in message.body


def test_saving_again_tells_nobody_again(cast: Cast, mails: Mails) -> None:
    browser = asking(cast)
    for wish in ({"team": "on"}, {"team": "on", "clients": "on"}, {"team": "on", "clients": "on"}):
        browser.post(PAGE, wish)
    assert len(mails()) == 3 + 3
    assert AuditRecord.objects.filter(action="agency.second_factor_policy_changed").count() == 2


def test_nobody_is_told_of_what_was_taken_back(cast: Cast, mails: Mails) -> None:
    browser = asking(cast)
    browser.post(PAGE, {"team": "on"})
    browser.post(PAGE, {})
    assert mails() == []


def test_many_people_are_told_step_by_step(cast: Cast, mails: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_factors, "MAILED_AT_ONCE", 2)
    second_factors.ask(agency=cast.northlight, team=True, clients=False, by=TESTS)
    assert len({message.to[0] for message in mails()}) == len(mails()) == 3
    assert not OutboxMessage.objects.filter(topic=second_factors.TOPIC, delivered_at=None).exists()


def test_whoever_asks_others_for_one_has_one(cast: Cast) -> None:
    answer = Visitor(PLATFORM, cast.adam).post(PAGE, {"team": "on"})
    assert "of your own first" in answer.content.decode()
    assert not cast.northlight.team_needs_mfa


def test_switching_off_takes_none(cast: Cast) -> None:
    Agency.objects.filter(pk=cast.northlight.pk).update(clients_need_mfa=True)
    assert Visitor(PLATFORM, cast.adam).post(PAGE, {}).status_code == 302
    assert not cast.northlight.clients_need_mfa


def test_the_page_counts_who_has_none_and_names_only_the_team(cast: Cast) -> None:
    with_app(cast.paul)
    page = asking(cast).get(PAGE).content.decode()
    assert "2 of 3 have none yet: Adam Okoye, Mia Torres." in page
    assert "2 of 3 have none yet. You cannot see which" in " ".join(page.split())
    assert "Kira" not in page
    assert "Tess" not in page


def test_the_page_wants_a_recent_proof(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.nora, recent=False)
    assert browser.get(PAGE).headers["Location"].startswith("/security/confirm/")
    assert browser.post(PAGE, {"team": "on"}).headers["Location"].startswith("/security/confirm/")
    assert not cast.northlight.team_needs_mfa


# --- a second factor that was lost


def reset_page(user: User) -> str:
    return f"/users/{user.public_id}/second-factor/"


@pytest.mark.parametrize(("who", "host"), [("adam", PLATFORM), ("paul", "acme")])
def test_a_lost_second_factor_is_reset_and_its_person_told(cast: Cast, mails: Mails, who: str, host: str) -> None:
    person = with_app(getattr(cast, who))
    theirs = Visitor(PLATFORM if host == PLATFORM else host_of(cast.acme), person)
    assert theirs.get("/security/").status_code == 200
    page = Visitor(PLATFORM, cast.nora).get(f"/users/{person.public_id}/").content.decode()
    assert reset_page(person) in page
    assert Visitor(PLATFORM, cast.nora).post(reset_page(person)).status_code == 302
    assert not Authenticator.objects.filter(user=person).exists()
    assert theirs.get("/security/").status_code == 302
    assert getattr(cast, who).check_password(PASSWORD)
    (message,) = mails()
    assert message.to == [person.email]
    assert "Nora Lind of Northlight Digital has reset" in message.body
    assert ("Canopy" in message.body) == (who == "adam")
    assert AuditRecord.objects.filter(action="person.second_factor_reset", subject=person.email, agency=cast.northlight).count() == 1


def test_nobody_resets_the_owners_or_their_own_or_a_strangers(cast: Cast) -> None:
    for user in (cast.nora, cast.adam, cast.rita):
        with_app(user)
    adam = Visitor(PLATFORM, cast.adam)
    answers = [adam.post(reset_page(user)).status_code for user in (cast.nora, cast.adam, cast.rita)]
    assert answers == [403, 403, 404]
    assert "cannot be reset here" in adam.get(reset_page(cast.nora)).content.decode()
    assert Visitor(PLATFORM, cast.mia).post(reset_page(cast.adam)).status_code == 403
    assert Visitor(PLATFORM, cast.nora, recent=False).post(reset_page(cast.adam)).status_code == 302
    assert Authenticator.objects.filter(type="totp").count() == 3
