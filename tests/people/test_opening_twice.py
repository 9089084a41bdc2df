"""Two clicks on "Open the agency", on real connections."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from agency.models import Agency, Membership, User
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Visitor

pytestmark = pytest.mark.django_db(transaction=True)


def open_agency(owner: User, slug: str) -> int:
    try:
        wish = {"name": "Twice", "slug": slug, "time_zone": "UTC", "currency": "USD"}
        return int(Visitor(PLATFORM, owner).post("/agency/new/", wish).status_code)
    finally:
        connection.close()


def test_clicked_at_once_in_six_windows_it_is_one_agency() -> None:
    owner = User.objects.create_user(email=f"{uuid4().hex}@twice.example")
    slugs = [f"t-{uuid4().hex[:16]}" for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda slug: open_agency(owner, slug), slugs))
    assert answers == [302] * 6
    assert Membership.objects.filter(user=owner).count() == 1
    assert Agency.objects.filter(slug__in=slugs).count() == SubAccount.objects.filter(slug__in=slugs).count() == 1


def test_one_address_wanted_by_five_people_goes_to_one() -> None:
    owners = [User.objects.create_user(email=f"{uuid4().hex}@twice.example") for _ in range(5)]
    slug = f"t-{uuid4().hex[:16]}"
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda owner: open_agency(owner, slug), owners))
    assert sorted(answers) == [200] * 4 + [302]
    assert Membership.objects.filter(user__in=owners).count() == 1
    assert Agency.objects.filter(slug=slug).count() == 1
