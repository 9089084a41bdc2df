"""The agency's pages about its clients, seen by a browser: nobody is shut out, nothing sticks out."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from agency.models import User
from subaccounts import figures, lifecycle, opening
from subaccounts.models import SubAccount
from tests.cast import TESTS, Cast, host_of
from tests.ui.conftest import Sight

Look = Callable[..., Sight]

LONG = "Ode Bakery and Patisserie of the Greater Northern Riverside Valley and Donaudampfschifffahrtsgesellschaftskapitän, Inc."


def assert_fine(sight: Sight) -> None:
    assert sight.violations() == []
    assert sight.overflow() <= 0


@pytest.fixture
def a_long_name(cast: Cast) -> SubAccount:
    SubAccount.objects.filter(pk=cast.acme.pk).update(name=LONG, contact_email=f"{'x' * 60}@{'y' * 60}.example")
    figures.add(cast.acme, messages=1234567, conversations=2, leads=12)
    return cast.acme


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "page",
    [
        "/home/",
        "/sub-accounts/",
        "/sub-accounts/new/",
        "",
        "edit/",
        "allocation/",
        "allocation/?act=top_up&unit=credit&amount=7000",
        "suspension/",
    ],
)
def test_the_pages_can_be_used_by_everybody(look: Look, cast: Cast, a_long_name: SubAccount, page: str, width: int, scheme: str) -> None:
    path = page if page.startswith("/") else f"/sub-accounts/{a_long_name.public_id}/{page}"

    assert_fine(look(path, user=cast.nora, width=width, scheme=scheme))


@pytest.mark.parametrize("page", ["/home/", "/sub-accounts/", "/sub-accounts/?q=nobody"])
def test_a_new_agency_and_an_empty_result(look: Look, cast: Cast, page: str) -> None:
    owner = User.objects.create_user(email="fresh@owner.example", first_name="Fresh", last_name="Owner")
    opening.open_agency(owner=owner, name="Fjord Media", slug="fjord-media", by=TESTS)

    assert_fine(look(page, user=owner))


def test_a_member_of_the_team(look: Look, cast: Cast) -> None:
    assert_fine(look("/home/", user=cast.mia))


def test_at_the_limit(look: Look, cast: Cast) -> None:
    agency = cast.northlight
    agency.max_sub_accounts_override = 1
    agency.save()

    assert_fine(look("/sub-accounts/new/", user=cast.nora))


@pytest.mark.parametrize("policy", ["read_only", "lockout"])
def test_a_suspended_client(look: Look, cast: Cast, policy: str) -> None:
    lifecycle.suspend(sub_account=cast.acme, policy=policy, note="x" * 150, by=TESTS)

    assert_fine(look("/", user=cast.paul, host=host_of(cast.acme), width=390))
    assert_fine(look(f"/sub-accounts/{cast.acme.public_id}/", user=cast.nora, width=390))


def test_typing_an_amount_shows_both_balances_before_and_after(look: Look, cast: Cast) -> None:
    page = look(f"/sub-accounts/{cast.acme.public_id}/allocation/", user=cast.nora).page

    page.fill("#id_top_up_amount", "40")
    page.locator("#top_up_preview", has_text="960").wait_for()
    shown = page.text_content("#top_up_preview")
    page.fill("#id_top_up_amount", "4000")
    page.locator("#top_up_preview", has_text="The pool has 1,000 credits").wait_for()
    page.fill("#id_top_up_amount", "40")
    page.get_by_role("button", name="Top up").click()
    page.get_by_text("is topped up with 40 credits").wait_for()

    assert shown == "Pool 1,000 → 960, Acme Plumbing 100 → 140"
    assert cast.acme.wallet("credit").balance == 140


def test_typing_a_name_suggests_its_web_address_and_keeps_what_was_typed(look: Look, cast: Cast) -> None:
    page = look("/sub-accounts/new/", user=cast.nora).page

    page.fill("#id_business_name", "Ode Bakery")
    page.press("#id_business_name", "Tab")
    expect(page.locator("#id_slug")).to_have_value("ode-bakery")
    page.fill("#id_slug", "my-own")
    page.fill("#id_business_name", "Another Name")
    page.press("#id_business_name", "Tab")
    page.wait_for_timeout(300)

    assert page.input_value("#id_slug") == "my-own"


def test_a_suggestion_that_comes_late_does_not_replace_what_was_typed(look: Look, cast: Cast) -> None:
    """The web address cannot be changed later: what the person typed while the suggestion was on its way stays."""
    page = look("/sub-accounts/new/", user=cast.nora).page
    page.fill("#id_business_name", "Ode Bakery")
    page.evaluate("document.querySelector('#id_slug').value = ''")
    with page.expect_response(lambda response: "web-address" in response.url):
        page.evaluate("""() => {
            document.querySelector('#id_business_name').dispatchEvent(new Event('change', {bubbles: true}));
            document.querySelector('#id_slug').value = 'ode';
        }""")
    page.wait_for_timeout(200)

    assert page.input_value("#id_slug") == "ode"


def test_one_name_without_a_space_leaves_the_other_columns_in_sight(look: Look, cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(name="W" * 120)

    table = look("/sub-accounts/", user=cast.nora).page.locator(".table-wrap")

    assert table.evaluate("wrap => wrap.scrollWidth - wrap.clientWidth") <= 0
