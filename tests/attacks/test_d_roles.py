"""Threats D: roles and privilege escalation, beyond the matrix of tests/test_doors.py."""

from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict

from agency import ownership
from agency.access import CAPABILITIES, Can, Role
from agency.models import Agency, Membership, OwnershipOffer, Plan, User
from credits.models import Wallet
from kit.doors import all_views
from subaccounts.models import Access
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails, code_in, sign_in
from tests.test_doors import path_of

GREEDY = {
    "role": "owner", "is_staff": "1", "is_superuser": "on", "is_active": "1", "realm": "1", "agency": "1", "plan": "agency", "plan_id": "5", "credits": "9999",
    "balance": "9999", "slug": "stolen", "currency": "JPY", "trial_ends_at": "2099-01-01", "max_sub_accounts_override": "999", "max_chatbots_override": "999",
    "public_id": "00000000-0000-0000-0000-000000000000", "id": "1", "user": "1", "must_change_password": "0", "handle": "root", "created_at": "2000-01-01",
}  # fmt: skip


def test_d02_a_sub_account_member_only_looks_and_buys() -> None:
    assert CAPABILITIES[Role.SUB_ACCOUNT_MEMBER] == {Can.SEE_WORKSPACE, Can.BUY}


def test_d03_only_the_owner_may_give_the_agency_away() -> None:
    assert [role for role in Role if Can.TRANSFER_OWNERSHIP in CAPABILITIES[role]] == [Role.OWNER]


@pytest.mark.parametrize("who", ["adam", "rita"])
def test_d03_a_second_owner_cannot_exist(cast: Cast, who: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.update_or_create(agency=cast.northlight, user=getattr(cast, who), defaults={"role": "owner"})


def test_d04_settings_take_only_their_own_fields(cast: Cast) -> None:
    kept = [field.name for field in Agency._meta.fields if field.name not in ("name", "time_zone")]
    before = model_to_dict(cast.northlight, kept)
    answer = Visitor(PLATFORM, cast.nora).post("/settings/", {**GREEDY, "name": "Northlight", "time_zone": "UTC"})
    assert answer.status_code == 302
    assert model_to_dict(cast.northlight, kept) == before


def test_d04_signing_up_takes_only_its_own_fields(cast: Cast, mails: Mails) -> None:
    greedy = {**GREEDY, "first_name": "Eve", "email": "eve@example.com", "password1": "a-sturdy-one-4711"}
    browser = Visitor(PLATFORM)
    browser.post("/sign-up/", greedy)
    eve = User.objects.get(email="eve@example.com")
    assert not (eve.is_staff)
    assert not (eve.is_superuser)
    assert not (eve.realm)
    assert not (eve.memberships.exists())
    browser.post("/confirm-email/", {"code": code_in(mails()[-1])})
    browser.post("/agency/new/", {**GREEDY, "name": "Eve", "slug": "eve-and-sons", "time_zone": "UTC", "currency": "USD"})
    agency = Agency.objects.get(slug="eve-and-sons")
    assert agency.plan.code == "starter"
    assert agency.max_sub_accounts_override is None
    assert agency.pool("credit").balance == settings.TRIAL_POOL_CREDITS


@pytest.mark.parametrize("who", ["nora", "paul"])
def test_d04_no_form_anywhere_takes_a_right_or_a_limit(cast: Cast, who: str) -> None:
    user = getattr(cast, who)
    host, urlconf = (PLATFORM, settings.ROOT_URLCONF) if user.realm is None else (host_of(cast.acme), settings.WORKSPACE_URLCONF)
    before = rights()
    for route, pattern in all_views(urlconf):
        Visitor(host, user).post(path_of(route, pattern), GREEDY)
    assert rights() == before


def about_people(cast: Cast) -> dict[str, dict[str, Any]]:
    """What the Owner posts about people, with the fields each form has."""
    adam, mia, paul = (f"/users/{user.public_id}/" for user in (cast.adam, cast.mia, cast.paul))
    return {
        f"{adam}role/": {"role": "member"},
        f"{mia}role/": {"role": "admin"},
        f"{paul}role/": {"role": "sub_account_member"},
        f"{paul}reach/": {"reach": "all"},
        f"{mia}accounts/": {"sub_account": str(cast.koala.public_id)},
        f"{mia}accounts/removal/": {"sub_account": str(cast.acme.public_id)},
        f"{paul}address/": {"email": "taken-over@example.com", "confirmed": "on"},
        f"{mia}removal/": {},
        f"{paul}removal/": {},
    }


OWNERS = ("/ownership/", "/ownership/withdrawal/", "/agency/deletion/")


def test_d04_what_is_posted_about_people_changes_what_was_meant_and_nothing_else(cast: Cast) -> None:
    nora, koala = Visitor(PLATFORM, cast.nora), str(cast.koala.public_id)
    more = {**GREEDY, "to_all": "on", "is_primary": "on", "granted": "owner"}
    before = rights()
    mia, paul = f"/users/{cast.mia.public_id}/", f"/users/{cast.paul.public_id}/"

    nora.post(f"{mia}accounts/", {**more, "sub_account": koala})
    nora.post(f"{paul}accounts/", {**more, "sub_account": koala})
    after = rights()
    assert {key: value for key, value in after.items() if key != "clients"} == {
        key: value for key, value in before.items() if key != "clients"
    }
    assert sorted(set(after["clients"]) - set(before["clients"])) == sorted(
        [(cast.koala.pk, cast.mia.pk, "member"), (cast.koala.pk, cast.paul.pk, "sub_account_admin")]
    )
    nora.post(f"{paul}address/", {**more, "email": "new@acme-plumbing.example", "confirmed": "on"})
    changed = [pair for pair in zip(after["people"], rights()["people"], strict=True) if pair[0] != pair[1]]
    assert [(old[0], new[0]) for old, new in changed] == [("paul@acme-plumbing.example", "new@acme-plumbing.example")]
    assert changed[0][0][1:] == changed[0][1][1:]

    edit = {
        **more,
        "name": "Acme Plumbing",
        "balance_visibility": "by_mode",
        "members_may_buy": "on",
        "status": "removed",
        "pool_fallback": "off",
    }
    nora.post(f"/sub-accounts/{cast.acme.public_id}/edit/", edit)
    assert (cast.acme.status, cast.acme.pool_fallback, cast.acme.slug) == ("ready", "on", "acme-plumbing")


@pytest.mark.parametrize("role", ["owner", "staff", "sub_account_admin", "", "admin\x00"])
def test_d04_d06_no_form_makes_an_owner_or_a_role_of_another_kind(cast: Cast, role: str) -> None:
    before = rights()
    for user in (cast.adam, cast.mia, cast.nora):
        Visitor(PLATFORM, cast.nora).post(f"/users/{user.public_id}/role/", {"role": role})
    if role != "sub_account_admin":
        Visitor(PLATFORM, cast.nora).post(f"/users/{cast.paul.public_id}/role/", {"role": role})
    assert rights() == before


def test_d05_a_grant_acts_on_the_next_request_and_only_where_it_was_given(cast: Cast) -> None:
    mia, nora = Visitor(PLATFORM, cast.mia), Visitor(PLATFORM, cast.nora)
    koala = f"/sub-accounts/{cast.koala.public_id}/"
    assert mia.get(koala).status_code == 404

    nora.post(f"/users/{cast.mia.public_id}/accounts/", {"sub_account": str(cast.koala.public_id)})
    assert mia.get(koala).status_code == 200
    assert mia.get(f"/sub-accounts/{cast.beacon.public_id}/").status_code == 404

    nora.post(f"/users/{cast.mia.public_id}/accounts/removal/", {"sub_account": str(cast.koala.public_id)})
    assert mia.get(koala).status_code == 404


@pytest.mark.parametrize("who", ["mia", "paul", "tess"])
def test_d05_nobody_below_lets_themselves_in(cast: Cast, who: str) -> None:
    user = getattr(cast, who)
    before = rights()
    for host in (PLATFORM, host_of(cast.acme)):
        for part, data in (("accounts/", {"sub_account": str(cast.koala.public_id)}), ("reach/", {"reach": "all"})):
            answer = Visitor(host, user).post(f"/users/{user.public_id}/{part}", data)
            assert answer.status_code in (403, 404) or "/sign-in/" in answer.headers["Location"]
    assert rights() == before


def test_d06_the_owner_is_neither_demoted_nor_removed_by_anybody(cast: Cast) -> None:
    before = rights()
    for who in ("nora", "adam"):
        browser = Visitor(PLATFORM, getattr(cast, who))
        assert browser.post(f"/users/{cast.nora.public_id}/role/", {"role": "member"}).status_code == 400
        assert browser.post(f"/users/{cast.nora.public_id}/removal/").status_code == 400
    assert rights() == before
    assert Membership.objects.get(agency=cast.northlight, role="owner").user == cast.nora


def test_d07_on_a_workspaces_host_there_is_no_management_of_the_agency(cast: Cast) -> None:
    browser = Visitor(host_of(cast.acme), cast.paul)
    for path in [*about_people(cast), *OWNERS, "/users/", "/users.csv", "/ownership/offer/", "/settings/roles/"]:
        assert browser.get(path).status_code == 404, path
        assert browser.post(path).status_code == 404, path


@pytest.mark.parametrize("who", ["mia", "paul", "tess", "kira", "ben", "rita", None])
def test_d08_what_the_owner_posts_about_people_nobody_else_can_replay(cast: Cast, who: str | None) -> None:
    before = rights()
    browser = Visitor(PLATFORM, getattr(cast, who) if who else None)
    for path, data in about_people(cast).items():
        answer = browser.post(path, data)
        if who == "rita":
            assert answer.status_code == 404
        else:
            assert answer.status_code == 403 or "/sign-in/" in answer.headers["Location"]
    assert rights() == before


@pytest.mark.parametrize("who", ["adam", "mia", "paul", "tess", "kira", "ben", "rita", None])
def test_d03_d08_what_is_the_owners_nobody_else_can_replay(cast: Cast, who: str | None) -> None:
    ownership.offer(agency=cast.northlight, to=cast.mia, owner=cast.nora, by=TESTS)
    before = rights()
    browser = Visitor(PLATFORM, getattr(cast, who) if who else None)
    for path in OWNERS:
        answer = browser.post(path, {"to": str(cast.adam.public_id), "name": "Northlight Digital"})
        if who == "rita":
            assert answer.status_code in (200, 404)
        else:
            assert answer.status_code == 403 or "/sign-in/" in answer.headers["Location"]
    assert rights() == before
    assert cast.northlight.deleted_at is None
    assert OwnershipOffer.objects.get().settled_at is None


def rights() -> dict[str, list[Any]]:
    return {
        "people": list(
            User.objects.order_by("pk").values_list("email", "realm", "is_staff", "is_superuser", "is_active", "must_change_password")
        ),
        "team": list(Membership.objects.order_by("pk").values_list("agency", "user", "role")),
        "clients": list(Access.objects.order_by("pk").values_list("sub_account", "user", "role")),
        "agencies": list(Agency.objects.order_by("pk").values("slug", "plan", "currency", "trial_ends_at", "max_sub_accounts_override")),
        "money": list(Wallet.objects.order_by("pk").values_list("pk", "balance", "held")),
    }


def test_d06_a_person_is_once_in_an_agency(cast: Cast) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(agency=cast.northlight, user=cast.nora, role="member")


@pytest.mark.parametrize("who", ["paul", "tess", "kira", "ben"])
def test_d07_a_client_is_nobody_on_the_platform(cast: Cast, who: str) -> None:
    browser = Visitor(PLATFORM, getattr(cast, who))
    for path in ("/settings/", "/settings/roles/", "/billing/plan/", "/security/"):
        assert "/sign-in/" in browser.get(path).headers["Location"]


POSTS: list[tuple[str, dict[str, Any]]] = [
    ("/settings/", {"name": "Taken over", "time_zone": "UTC"}),
    ("/billing/plan/", {"plan": "starter"}),
]


@pytest.mark.parametrize(("path", "data"), POSTS)
@pytest.mark.parametrize("who", ["mia", "paul", "tess", "kira", "ben", None])
def test_d08_what_the_owner_posts_nobody_below_can_replay(cast: Cast, path: str, data: dict[str, Any], who: str | None) -> None:
    before = model_to_dict(cast.northlight)
    answer = Visitor(PLATFORM, getattr(cast, who) if who else None).post(path, data)
    assert answer.status_code == 403 or "/sign-in/" in answer.headers["Location"]
    assert model_to_dict(cast.northlight) == before


@pytest.mark.parametrize(("path", "data"), POSTS)
def test_d08_a_rival_owner_changes_only_their_own(cast: Cast, path: str, data: dict[str, Any]) -> None:
    before = model_to_dict(cast.northlight)
    Visitor(PLATFORM, cast.rita).post(path, data)
    assert model_to_dict(cast.northlight) == before


def test_d12_there_is_no_staff_area_on_a_workspace(cast: Cast) -> None:
    for path in ("/admin/", "/admin/login/", "/staff/"):
        assert Visitor(host_of(cast.acme)).get(path).status_code == 404
    assert not [route for route, _ in all_views(settings.WORKSPACE_URLCONF) if "admin" in route]


def test_d12_staff_without_an_agency_see_no_agency(cast: Cast) -> None:
    User.objects.create_superuser(email="root@example.com", password="a-sturdy-one-4711")
    browser, answer = sign_in("root@example.com", password="a-sturdy-one-4711")
    assert answer.status_code == 302
    for path in ("/settings/", "/billing/plan/"):
        assert browser.get(path).headers["Location"] == "/agency/new/"
    assert Plan.objects.count() == 5
