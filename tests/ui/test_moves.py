"""Moving units and their prices, in a browser: as many clients as may be, and names as long as they come."""

from collections.abc import Callable

import pytest

from credits import ledger
from subaccounts.models import SubAccount
from tests.cast import TESTS, Cast
from tests.ui.conftest import Sight
from tests.ui.test_sub_account_pages import LONG, assert_fine

Look = Callable[..., Sight]


@pytest.fixture
def many(cast: Cast) -> Cast:
    SubAccount.objects.filter(pk=cast.acme.pk).update(name=LONG)
    SubAccount.objects.bulk_create(
        SubAccount(agency=cast.northlight, name=f"Client {n:04}", slug=f"client-{n:04}", schema_name=f"none_{n}", fingerprint="-")
        for n in range(120)
    )
    ledger.grant(to=cast.acme.wallet("credit"), amount=10**9, source="purchase", key="t:many", by=TESTS)
    return cast


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize(
    "step",
    [
        "?source={acme}",
        "?source={acme}&to={koala}&review=1&amount_credit=999999999",
        "?source=pool&to={acme}&review=1&amount_credit=5",
        "?review=1",
    ],
)
def test_moving_units_fits_and_reads_well(many: Cast, look: Look, width: int, scheme: str, step: str) -> None:
    path = "/credits/move/" + step.format(acme=many.acme.public_id, koala=many.koala.public_id)

    assert_fine(look(path, user=many.nora, width=width, scheme=scheme))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_prices_that_were_refused_fit_and_read_well(many: Cast, look: Look, width: int, scheme: str) -> None:
    sight = look(f"/sub-accounts/{many.acme.public_id}/prices/", user=many.nora, width=width, scheme=scheme)

    sight.page.fill("#id_rate_ai_reply", "0")
    sight.page.fill("#id_markup_credit", "much")
    sight.page.click("text=Save prices")
    sight.page.wait_for_selector(".error-summary")

    assert_fine(sight)


def test_an_account_is_found_by_typing_and_shows_what_it_has(many: Cast, look: Look) -> None:
    page = look("/credits/move/?source=pool", user=many.nora).page
    page.fill("#id_amount_credit", "7")

    page.fill("#id_find_source", "greater northern")
    page.wait_for_selector("#id_source option:nth-child(3):last-child", state="attached")
    page.select_option("#id_source", label=LONG)
    page.wait_for_selector("text=1,000,000,000 credits can be moved.")
    page.fill("#id_find_to", "koala")
    page.wait_for_selector("#id_to option:nth-child(3):last-child", state="attached")
    page.select_option("#id_to", label="Koala Legal")
    page.click("text=Review the move")
    page.wait_for_selector("h1:has-text('Review the move')")
    page.click("text=Move to Koala Legal")
    page.wait_for_selector("text=7 credits arrived at Koala Legal")

    assert many.koala.wallet("credit").balance == 107


@pytest.mark.parametrize(
    "path", ["/notices/", "/credits/statements/?client={acme}", "/credits/statement/?client={acme}", "/credits/limits/"]
)
def test_lists_that_name_a_client_fit_a_narrow_screen(cast: Cast, look: Look, path: str) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(name=LONG)

    assert_fine(look(path.format(acme=cast.acme.public_id), user=cast.nora, width=390))
