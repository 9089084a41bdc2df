"""What happens to people once they are in: roles, reach, removal, another address (C-21, E-13, E-17, E-18)."""

from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress

from agency.models import ApiKey, AuditRecord, Membership, User
from kit.models import OutboxMessage
from subaccounts import assist, opening, reach, team
from subaccounts.models import Access, AccessToAll, Assist
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails, is_signed_in, sign_in


def page_of(user: User, part: str = "") -> str:
    return f"/users/{user.public_id}/{part}"


def post(cast: Cast, user: User, part: str, by: str = "nora", **data: Any) -> Any:
    return Visitor(PLATFORM, getattr(cast, by)).post(page_of(user, part), data)


def roles_of(user: User) -> set[str]:
    return set(user.accesses.values_list("sub_account__slug", "role").values_list("role", flat=True))


def test_the_page_of_a_person_says_who_they_are_and_what_they_reach(cast: Cast) -> None:
    mia = Visitor(PLATFORM, cast.adam).get(page_of(cast.mia)).content.decode()
    assert "Acme Plumbing" in mia
    assert "Koala Legal" in mia  # could be given
    nora = Visitor(PLATFORM, cast.nora).get(page_of(cast.nora)).content.decode()
    assert "until the ownership is transferred" in nora
    assert 'action="/users/' not in nora


@pytest.mark.parametrize("who", ["rita", "ben"])
def test_people_of_another_agency_are_not_found(cast: Cast, who: str) -> None:
    nora, stranger = Visitor(PLATFORM, cast.nora), getattr(cast, who)
    for part in ("", "address/", "removal/"):
        assert nora.get(page_of(stranger, part)).status_code == 404
    for part in ("role/", "reach/", "accounts/", "accounts/removal/", "address/", "removal/"):
        assert nora.post(page_of(stranger, part), {"role": "member", "reach": "all"}).status_code == 404
    assert nora.get(f"/users/{uuid4()}/").status_code == 404


def test_e17_an_admin_becomes_a_member_with_no_sub_account(cast: Cast) -> None:
    assert post(cast, cast.adam, "role/", role="member").status_code == 302

    assert cast.adam.memberships.get().role == "member"
    assert not cast.adam.accesses.exists()
    record = AuditRecord.objects.get(action="user.role_changed")
    assert (record.before, record.after, record.subject) == ({"role": "admin"}, {"role": "member"}, "adam@northlight.example")


def test_e17_a_member_who_was_an_admin_meanwhile_has_no_grant_of_before(cast: Cast) -> None:
    post(cast, cast.mia, "role/", role="admin")
    post(cast, cast.mia, "role/", role="member")

    assert not cast.mia.accesses.exists()


def test_e17_a_client_has_one_role_in_all_their_sub_accounts(cast: Cast) -> None:
    reach.grant(user=cast.paul, agency=cast.northlight, role="sub_account_admin", by=TESTS, to_all=True)

    post(cast, cast.paul, "role/", role="sub_account_member")

    assert roles_of(cast.paul) == {"sub_account_member"}
    assert AccessToAll.objects.get(user=cast.paul).role == "sub_account_member"


def test_e17_the_same_role_again_leaves_no_record(cast: Cast) -> None:
    post(cast, cast.adam, "role/", role="admin")

    assert not AuditRecord.objects.filter(action="user.role_changed").exists()


def test_nobody_changes_or_removes_themselves(cast: Cast) -> None:
    assert post(cast, cast.adam, "role/", by="adam", role="member").status_code == 400
    assert post(cast, cast.adam, "removal/", by="adam").status_code == 400
    assert cast.adam.memberships.get().role == "admin"


def test_e13_into_all_takes_in_those_to_come_and_not_the_agencys_own(cast: Cast) -> None:
    assert post(cast, cast.kira, "reach/", reach="all").status_code == 302
    opened = opening.open_sub_account(
        agency=cast.northlight, first_name="Sam", last_name="Reyes", slug="sunrise", has_login=False, by=TESTS
    )

    names = set(cast.kira.accesses.values_list("sub_account__slug", flat=True))
    assert names == {"koala-legal", "acme-plumbing", "sunrise"}

    post(cast, cast.kira, "reach/", reach="some")
    opening.open_sub_account(agency=cast.northlight, first_name="Late", last_name="Comer", slug="late-comer", has_login=False, by=TESTS)

    assert set(cast.kira.accesses.values_list("sub_account__slug", flat=True)) == names
    assert opened.sub_account.accesses.get().role == "sub_account_admin"


def test_e13_somebody_who_goes_into_all_can_be_shut_out_of_one(cast: Cast) -> None:
    reach.grant(user=cast.kira, agency=cast.northlight, role="sub_account_admin", by=TESTS, to_all=True)

    post(cast, cast.kira, "accounts/removal/", sub_account=str(cast.acme.public_id))

    assert list(cast.kira.accesses.values_list("sub_account__slug", flat=True)) == ["koala-legal"]
    assert not AccessToAll.objects.filter(user=cast.kira).exists()


def test_s10_a_member_gets_exactly_what_is_ticked(cast: Cast) -> None:
    post(cast, cast.mia, "accounts/", sub_account=[str(cast.koala.public_id)])
    assert set(cast.mia.accesses.values_list("sub_account__slug", "role")) == {("acme-plumbing", "member"), ("koala-legal", "member")}

    post(cast, cast.mia, "accounts/removal/", sub_account=[str(cast.koala.public_id), str(cast.acme.public_id)])
    assert not cast.mia.accesses.exists()


@pytest.mark.parametrize("wrong", ["beacon", "primary", "nothing", "nonsense"])
def test_a03_only_what_is_offered_can_be_ticked(cast: Cast, wrong: str) -> None:
    primary = cast.northlight.sub_accounts.get(is_primary=True)
    ids = {"beacon": [str(cast.beacon.public_id)], "primary": [str(primary.public_id)], "nothing": [], "nonsense": ["x"]}
    before = set(cast.kira.accesses.values_list("pk", flat=True))

    answer = post(cast, cast.kira, "accounts/", sub_account=ids[wrong])

    assert answer.status_code == 302
    assert set(cast.kira.accesses.values_list("pk", flat=True)) == before
    assert "Beacon" not in Visitor(PLATFORM, cast.nora).get(page_of(cast.kira)).content.decode()


def test_a_client_keeps_the_others_and_never_loses_the_last(cast: Cast) -> None:
    reach.grant(user=cast.paul, agency=cast.northlight, role="sub_account_admin", by=TESTS, sub_accounts=[cast.koala])

    assert post(cast, cast.paul, "accounts/removal/", sub_account=str(cast.acme.public_id)).status_code == 302
    assert list(cast.paul.accesses.values_list("sub_account__slug", flat=True)) == ["koala-legal"]

    assert post(cast, cast.paul, "accounts/removal/", sub_account=str(cast.koala.public_id)).status_code == 409
    assert cast.paul.accesses.exists()


def test_e18_removal_says_what_ends_and_ends_it(cast: Cast) -> None:
    ApiKey.objects.create(agency=cast.northlight, name="Reports", prefix="cn_live_abcd", secret_hash="0" * 64, created_by=cast.mia)
    begun = assist.begin(user=cast.mia, sub_account=cast.acme)
    browser, _ = sign_in("mia@northlight.example")
    page = Visitor(PLATFORM, cast.nora).get(page_of(cast.mia, "removal/")).content.decode()
    assert "any assist of theirs ends" in page
    assert "Reports" in page

    assert post(cast, cast.mia, "removal/").status_code == 302

    assert not is_signed_in(browser)
    assert not Membership.objects.filter(user=cast.mia).exists()
    assert not Access.objects.filter(user=cast.mia).exists()
    assert Assist.objects.get(pk=begun.pk).ended_at is not None
    assert ApiKey.objects.get(name="Reports").revoked_at is None
    event = OutboxMessage.objects.filter(topic="event", payload__type="user.removed").get()
    assert event.payload["data"]["email"] == "mia@northlight.example"
    assert AuditRecord.objects.get(action="user.removed").subject == "mia@northlight.example"


def test_e18_a_removed_client_reaches_nothing_and_cannot_sign_in(cast: Cast) -> None:
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))

    post(cast, cast.paul, "removal/")

    assert not is_signed_in(browser)
    again, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    assert not is_signed_in(again)
    assert "Paul" not in Visitor(PLATFORM, cast.nora).get("/users/?q=paul").context["page"].rows
    assert post(cast, cast.paul, "removal/").status_code == 404


def test_changes_of_people_want_a_recent_proof(cast: Cast) -> None:
    stale = Visitor(PLATFORM, cast.nora, recent=False)

    for part, data in (("role/", {"role": "member"}), ("removal/", {}), ("accounts/removal/", {"sub_account": str(cast.acme.public_id)})):
        assert "/security/confirm/" in stale.post(page_of(cast.mia, part), data)["Location"]
    assert cast.mia.accesses.exists()


# --- the address a client signs in with


def change_address(cast: Cast, email: str, by: str = "nora", who: str = "paul", confirmed: bool = True) -> Any:
    return post(cast, getattr(cast, who), "address/", by=by, email=email, **({"confirmed": "on"} if confirmed else {}))


def test_c21_the_new_address_opens_the_old_one_does_not_and_both_are_told(cast: Cast, mails: Mails) -> None:
    paul = cast.paul
    browser, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))

    asked = change_address(cast, "Boss@Acme-Plumbing.example", confirmed=False)
    assert "boss@acme-plumbing.example" in asked.content.decode()
    assert User.objects.get(pk=paul.pk).email == "paul@acme-plumbing.example"
    assert change_address(cast, "Boss@Acme-Plumbing.example").status_code == 302

    assert not is_signed_in(browser)
    assert not is_signed_in(sign_in("paul@acme-plumbing.example", host_of(cast.acme))[0])
    assert is_signed_in(sign_in("boss@acme-plumbing.example", host_of(cast.acme))[0])
    assert list(EmailAddress.objects.filter(user=paul).values_list("email", "verified", "primary")) == [
        ("boss@acme-plumbing.example", True, True)
    ]
    told = [message.to[0] for message in mails() if "another e-mail address" in message.subject]
    assert sorted(told) == ["boss@acme-plumbing.example", "paul@acme-plumbing.example"]
    record = AuditRecord.objects.get(action="user.address_changed")
    assert (record.before["email"], record.after["email"]) == ("paul@acme-plumbing.example", "boss@acme-plumbing.example")


def test_c21_an_address_is_one_person_of_the_realm_and_nobody_learns_of_other_realms(cast: Cast) -> None:
    taken = change_address(cast, "KIRA@koala-legal.example")
    assert taken.status_code == 409
    assert "Somebody else signs in" in taken.content.decode()

    assert change_address(cast, "ben@beacon-dental.example").status_code == 302
    assert User.objects.filter(email="ben@beacon-dental.example").count() == 2


def test_c21_only_clients_have_it_changed(cast: Cast) -> None:
    assert change_address(cast, "new@northlight.example", who="mia").status_code == 404
    with pytest.raises(team.NotHere):
        team.change_address(user=cast.mia, agency=cast.northlight, email="new@northlight.example", by=TESTS)
    with pytest.raises(team.NotHere):
        team.change_address(user=cast.ben, agency=cast.northlight, email="new@northlight.example", by=TESTS)


def test_c21_what_is_no_address_is_said_so(cast: Cast) -> None:
    for typed in ("", "nobody", "a@b", "x" * 300 + "@example.com"):
        answer = change_address(cast, typed)
        assert answer.status_code == 200
        assert "kit/error_summary.html" in [template.name for template in answer.templates]


# --- who buys


def test_e10_an_agency_keeps_members_from_buying_at_once(cast: Cast) -> None:
    tess, paul = Visitor(host_of(cast.acme), cast.tess), Visitor(host_of(cast.acme), cast.paul)
    assert "buy" in tess.get("/").wsgi_request.capabilities
    edit = f"/sub-accounts/{cast.acme.public_id}/edit/"
    form = Visitor(PLATFORM, cast.nora).get(edit).context["form"]
    assert form.initial["members_may_buy"]

    answer = Visitor(PLATFORM, cast.nora).post(edit, {"name": "Acme Plumbing", "balance_visibility": "by_mode"})

    assert answer.status_code == 302
    assert "buy" not in tess.get("/").wsgi_request.capabilities
    assert "buy" in paul.get("/").wsgi_request.capabilities
