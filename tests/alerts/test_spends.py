"""From the spend itself to the notice: what the ledger writes down is what is told."""

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine

from agency.models import Notice
from credits import ledger
from kit import clock
from subaccounts import alerts
from subaccounts.models import SubAccount
from tests.alerts.conftest import give, show_balances, spend, told
from tests.cast import PLATFORM, TESTS, Cast, Visitor


def use(sub_account: SubAccount, amount: int) -> None:
    ledger.spend(
        sources=sub_account.credit_sources("credit"), amount=amount, key=str(uuid4()), kind="ai_reply", by=TESTS,
        sub_account_id=sub_account.public_id,
    )  # fmt: skip


def limit(sub_account: SubAccount, amount: int | None, *, is_hard: bool = True) -> None:
    ledger.set_pool_limit(wallet=sub_account.wallet("credit"), amount=amount, is_hard=is_hard, time_zone="Europe/Stockholm", by=TESTS)


def test_the_pool_that_begins_to_pay_is_told_once_until_the_client_has_its_own_again(cast: Cast) -> None:
    acme = cast.acme
    spend(acme.wallet("credit"), acme.wallet("credit").balance, sub_account=acme)
    for _ in range(3):
        use(acme, 5)
        alerts.sweep()
    assert told(acme.agency) == ["Acme Plumbing: own credits used up"]

    give(acme.wallet("credit"), 10)
    use(acme, 12)
    alerts.sweep()

    assert len(told(acme.agency)) == 2


def test_a_client_that_sees_its_balance_hears_of_it_too(cast: Cast) -> None:
    acme = cast.acme
    show_balances(acme)
    use(acme, acme.wallet("credit").balance + 1)
    alerts.sweep()
    assert told(acme.agency, "client") == ["Acme Plumbing: own credits used up"]


@pytest.mark.parametrize("is_hard", [True, False])
def test_a_limit_that_is_reached_is_told_once_a_month(cast: Cast, is_hard: bool) -> None:
    """Z-03"""
    acme = cast.acme
    spend(acme.wallet("credit"), acme.wallet("credit").balance, sub_account=acme)
    use(acme, 1)
    alerts.sweep()
    limit(acme, 40, is_hard=is_hard)

    use(acme, 38)
    alerts.sweep()
    assert told(acme.agency)[1:] == []
    use(acme, 1)
    for _ in range(2):
        alerts.sweep()

    assert told(acme.agency)[1:] == ["Acme Plumbing: limit of 40 credits reached"]
    assert told(acme.agency, "client") == (["Acme Plumbing: your service is limited"] if is_hard else [])
    link = Notice.objects.get(agency=acme.agency, category="limit_reached", audience="agency").link
    assert Visitor(PLATFORM, cast.nora).get(link).status_code == 200
    with time_machine.travel(clock.now() + timedelta(days=32), tick=False):
        use(acme, 40)
        alerts.sweep()
    assert len(told(acme.agency)) == 3
