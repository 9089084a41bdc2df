"""Two browsers: what the Owner does about people in one acts on the next click in the other."""

from collections.abc import Callable

from django.conf import settings
from playwright.sync_api import expect

from agency.models import Membership
from tests.cast import Cast
from tests.ui.conftest import Sight

PLATFORM_URL = f"http://{settings.BASE_DOMAIN}"
Look = Callable[..., Sight]


def test_a_role_a_removal_and_a_transfer_walked_in_two_browsers(look: Look, cast: Cast) -> None:
    nora, adam = look("/users/", user=cast.nora), look("/users/", user=cast.adam)
    expect(adam.page.get_by_role("heading", name="Users")).to_be_visible()

    nora.page.get_by_role("link", name="Adam Okoye").click()
    nora.page.get_by_label("Agency Member").check()
    nora.page.get_by_role("button", name="Change role").click()
    expect(nora.page.get_by_text("Adam Okoye is Agency Member now.")).to_be_visible()
    adam.page.reload()
    expect(adam.page.get_by_role("heading", name="Users")).to_have_count(0)
    assert adam.page.get_by_text("may not").count() + adam.page.get_by_text("403").count() > 0
    adam.complaints.clear()

    nora.page.get_by_label("Agency Admin").check()
    nora.page.get_by_role("button", name="Change role").click()
    adam.page.reload()
    expect(adam.page.get_by_role("heading", name="Users")).to_be_visible()

    nora.page.goto(f"{PLATFORM_URL}/ownership/")
    assert nora.violations() == []
    nora.page.get_by_label("New Owner").select_option(label="Adam Okoye")
    nora.page.get_by_role("button", name="Offer the ownership").click()
    expect(nora.page.get_by_role("heading", name="Offered to Adam Okoye")).to_be_visible()
    adam.page.reload()
    adam.page.get_by_role("link", name="Take it or decline").click()
    assert adam.violations() == []
    adam.page.get_by_role("button", name="Become the Owner").click()
    expect(adam.page.get_by_text("You are the Owner of Northlight Digital now.")).to_be_visible()
    assert Membership.objects.get(agency=cast.northlight, role="owner").user == cast.adam

    adam.page.goto(f"{PLATFORM_URL}/users/")
    adam.page.get_by_role("link", name="Nora Lind").click()
    adam.page.get_by_role("link", name="Remove…").click()
    assert adam.violations() == []
    adam.page.get_by_role("button", name="Remove Nora Lind").click()
    expect(adam.page.get_by_text("Nora Lind is removed.")).to_be_visible()
    nora.page.goto(f"{PLATFORM_URL}/users/")
    assert "/sign-in/" in nora.page.url or nora.page.get_by_role("button", name="Sign in").count() > 0
    assert not Membership.objects.filter(user=cast.nora).exists()


def test_the_pages_about_people_are_readable_on_a_telephone_and_in_the_dark(look: Look, cast: Cast) -> None:
    paths = [
        f"/users/{cast.paul.public_id}/",
        f"/users/{cast.mia.public_id}/removal/",
        f"/users/{cast.paul.public_id}/address/",
        "/agency/deletion/",
    ]
    sight = look("/users/", user=cast.nora, width=390, scheme="dark")
    for path in ["/users/", *paths]:
        sight.page.goto(f"{PLATFORM_URL}{path}")
        assert sight.violations() == [], path
        assert sight.overflow() == 0, path
    assert sight.complaints == []
