"""Threats D: roles and privilege escalation, beyond the matrix of tests/test_doors.py."""

from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict

from agency.access import CAPABILITIES, Can, Role
from agency.models import Agency, Membership, Plan, User
from credits.models import Wallet
from kit.doors import all_views
from subaccounts.models import Access
from tests.cast import PLATFORM, Cast, Visitor, host_of
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
