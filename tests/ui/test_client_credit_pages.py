"""What a client sees of its units, seen by a browser: with balances and without, wide and narrow, with nothing and with long names."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from credits import ledger
from kit import clock
from subaccounts.models import SubAccount
from tests.cast import TESTS, Cast, host_of
from tests.credits.conftest import fresh_key, give
from tests.ui.conftest import Sight

Look = Callable[..., Sight]
LONG = "Ode Bakery and Patisserie of the Greater Northern Riverside Valley and Donaudampfschifffahrtsgesellschaftskapitän"
SHOWN = ["/credits/", "/credits/statement/", "/credits/months/", "/credits/alerts/credit/", "/usage/"]
HIDDEN = ["/usage/", "/usage/uses/", "/usage/?unit=knowledge_pack&range=7"]


def assert_fine(sight: Sight) -> None:
    assert sight.violations() == []
    assert sight.overflow() <= 0


@pytest.fixture
def busy(cast: Cast) -> SubAccount:
    """Acme under a long name, with a use that both paid and a present that expires."""
    SubAccount.objects.filter(pk=cast.acme.pk).update(name=LONG)
    acme = cast.acme
    ledger.spend(
        sources=acme.credit_sources("credit"), amount=104, key=fresh_key(), kind="ai_reply", by=TESTS, sub_account_id=acme.public_id,
        contact=LONG, bot=LONG,
    )  # fmt: skip
    give(acme.wallet("credit"), 10**12, "promotion", expires_at=clock.now() + timedelta(days=9), sub_account_id=acme.public_id)
    return acme


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_pages_of_a_client_that_sees_its_balance(look: Look, cast: Cast, busy: SubAccount, width: int, scheme: str) -> None:
    SubAccount.objects.filter(pk=busy.pk).update(balance_visibility="shown")
    for path in SHOWN:
        assert_fine(look(path, user=cast.paul, host=host_of(busy), width=width, scheme=scheme))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_pages_of_one_that_does_not(look: Look, cast: Cast, busy: SubAccount, width: int, scheme: str) -> None:
    for path in HIDDEN:
        assert_fine(look(path, user=cast.paul, host=host_of(busy), width=width, scheme=scheme))


def test_the_pages_before_anything_was_used(look: Look, cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(balance_visibility="shown")
    for path in ["/credits/statement/?kind=call", "/usage/uses/", "/credits/?unit=gold"]:
        assert_fine(look(path, user=cast.tess, host=host_of(cast.acme)))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_pages_of_grants(look: Look, cast: Cast, busy: SubAccount, width: int, scheme: str) -> None:
    for path in ["/credits/", "/credits/grants/credit/", "/credits/grants/basic_minute/", f"/sub-accounts/{busy.public_id}/grants/credit/"]:
        assert_fine(look(path, user=cast.nora, width=width, scheme=scheme))
