"""M-02 to M-04: units between any two accounts of the agency, looked at before they move."""

import re
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from agency.models import AuditRecord
from credits import checks, ledger, prices
from credits.models import Entry, Wallet
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of

MOVE = "/credits/move/"


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def mark_up(of: SubAccount, unit: str, percent: int) -> None:
    prices.set_markup(owner_kind=Wallet.SUB_ACCOUNT, owner_id=of.public_id, unit=unit, percent=Decimal(percent), by=TESTS)


def give(to: Wallet, amount: int) -> None:
    ledger.grant(to=to, amount=amount, source="purchase", key=f"t:{uuid4()}", by=TESTS)


def review(by: Visitor, source: Any, to: Any, **amounts: Any) -> Any:
    sides = {name: getattr(side, "public_id", side) for name, side in (("source", source), ("to", to))}
    return by.get(MOVE, {**sides, "review": "1", **{f"amount_{unit}": amount for unit, amount in amounts.items()}})


def confirm(by: Visitor, reviewed: Any, *, follow: bool = True) -> Any:
    return by.post(MOVE, {"reviewed": reviewed.context["signed"]}, follow=follow)


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    """Acme pays 0.20 for a premium minute, Koala 0.25; Acme has 100 of them and the pool has 500 credits that were bought."""
    mark_up(cast.koala, "premium_minute", 25)
    give(cast.acme.wallet("premium_minute"), 100 * 60)
    give(cast.northlight.pool("credit"), 500)
    return Visitor(PLATFORM, cast.nora)


def minutes(cast: Cast) -> tuple[int, int]:
    return cast.acme.wallet("premium_minute").balance, cast.koala.wallet("premium_minute").balance


def test_m03_a_hundred_minutes_at_20_cents_are_shown_as_eighty_at_25_and_moved_so(cast: Cast, nora: Visitor) -> None:
    shown = review(nora, cast.acme, cast.koala, premium_minute=100)

    page = text(shown)
    assert "100 premium minutes → 80 premium minutes" in page
    assert "Price at Acme Plumbing $0.20 base price" in page
    assert "Price at Koala Legal $0.25 base price + 25 %" in page
    assert "Balance of Acme Plumbing 100 → 0" in page
    assert "Balance of Koala Legal 0 → 80" in page
    assert minutes(cast) == (6000, 0)

    done = text(confirm(nora, shown))

    assert "100 premium minutes left Acme Plumbing, 80 premium minutes arrived at Koala Legal." in done
    assert minutes(cast) == (0, 4800)
    record = AuditRecord.objects.get(action="credits.moved")
    assert record.subject == "100 premium minutes from Acme Plumbing to Koala Legal"
    assert record.before == {"unit": "premium_minute", "source": 6000, "destination": 0}
    assert (record.after["source"], record.after["destination"], record.after["received"]) == (0, 4800, 4800)
    assert checks.audit() == []


def test_what_stays_and_what_the_pool_adds_are_shown(cast: Cast, nora: Visitor) -> None:
    mark_up(cast.acme, "credit", 200)
    give(cast.acme.wallet("credit"), 10)
    grows = text(review(nora, cast.acme, cast.koala, credit=10))
    shrinks = text(review(nora, "pool", cast.acme, credit=100))

    assert "10 credits → 30 credits" in grows
    assert "Your pool adds 20 credits" in grows
    assert "99 credits → 33 credits" in shrinks
    assert "Stays at the pool 1 credit" in shrinks


def test_several_units_move_together_or_none_does(cast: Cast, nora: Visitor) -> None:
    give(cast.acme.wallet("credit"), 50)
    shown = review(nora, cast.acme, cast.koala, premium_minute=50, credit=50)
    ledger.adjust(wallet=cast.acme.wallet("premium_minute"), amount=-3600, reason="Taken meanwhile", key="t:gone", by=TESTS)

    answer = confirm(nora, shown)

    assert answer.status_code == 409
    assert "Acme Plumbing has 40 premium minutes that can be moved. Nothing was moved." in text(answer)
    assert cast.acme.wallet("credit").balance == 150
    assert not AuditRecord.objects.filter(action="credits.moved").exists()

    done = text(confirm(nora, review(nora, cast.acme, cast.koala, premium_minute=40, credit=50)))
    assert "50 credits and 40 premium minutes left Acme Plumbing" in done
    assert AuditRecord.objects.filter(action="credits.moved").count() == 2


def test_figures_that_changed_meanwhile_are_shown_anew_and_nothing_moves(cast: Cast, nora: Visitor) -> None:
    shown = review(nora, cast.acme, cast.koala, premium_minute=100)
    mark_up(cast.koala, "premium_minute", 100)

    answer = confirm(nora, shown)

    assert answer.status_code == 409
    assert "Prices or balances have changed since you looked" in text(answer)
    assert "100 premium minutes → 50 premium minutes" in text(answer)
    assert minutes(cast) == (6000, 0)
    confirm(nora, answer)
    assert minutes(cast) == (0, 3000)


def test_a_price_that_changed_on_both_sides_alike_is_shown_anew_too(cast: Cast, nora: Visitor) -> None:
    shown = review(nora, cast.acme, cast.koala, premium_minute=10)
    unit = cast.acme.wallet("premium_minute").unit
    unit.base_prices.filter(currency="USD").update(price=Decimal("0.40"))

    assert confirm(nora, shown).status_code == 409
    assert minutes(cast) == (6000, 0)


def test_a_balance_that_changed_without_changing_the_figures_is_no_reason_to_refuse(cast: Cast, nora: Visitor) -> None:
    shown = review(nora, cast.acme, cast.koala, premium_minute=10)
    give(cast.acme.wallet("premium_minute"), 60)

    assert confirm(nora, shown).status_code == 200
    assert minutes(cast) == (6000 + 60 - 600, 480)


def test_without_a_base_price_it_works_and_says_so(cast: Cast, nora: Visitor) -> None:
    type(cast.northlight).objects.update(currency="SEK")
    shown = review(nora, cast.acme, cast.koala, premium_minute=100)

    assert "No base price in SEK base price + 25 %" in text(shown)
    confirm(nora, shown)
    assert minutes(cast) == (0, 4800)


def test_the_form_offers_every_account_by_search_and_needs_no_script(cast: Cast, nora: Visitor) -> None:
    page = nora.get(MOVE, {"source": cast.acme.public_id, "find_to": "koal"})
    choices = [name for _, name in page.context["form"].fields["to"].choices]

    assert choices == ["Choose an account", "The pool", "Koala Legal"]
    assert page.context["form"]["source"].value() == str(cast.acme.public_id)
    assert "100 premium minutes can be moved." in text(page)
    assert f"{MOVE}?source={cast.acme.public_id}" in nora.get("/sub-accounts/").content.decode()
    assert f"{MOVE}?source={cast.acme.public_id}" in nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()


def test_the_picker_and_the_review_cost_the_same_with_many_clients(cast: Cast, nora: Visitor, django_assert_max_num_queries: Any) -> None:
    made = [
        SubAccount(agency=cast.northlight, name=f"Client {n:04}", slug=f"client-{n:04}", schema_name=f"none_{n}", fingerprint="-")
        for n in range(500)
    ]
    SubAccount.objects.bulk_create(made)
    with django_assert_max_num_queries(20):
        page = nora.get(MOVE)
    assert len(page.context["form"].fields["to"].choices) < 60
    with django_assert_max_num_queries(24):
        assert review(nora, cast.acme, cast.koala, premium_minute=1).status_code == 200


def test_the_statement_tells_of_both_sides(cast: Cast, nora: Visitor) -> None:
    confirm(nora, review(nora, cast.acme, cast.koala, premium_minute=100))

    lines = text(nora.get("/credits/statement/"))
    assert lines.count("Moved") >= 2


def test_it_is_for_owner_and_admin(cast: Cast, nora: Visitor) -> None:
    assert review(Visitor(PLATFORM, cast.adam), cast.acme, cast.koala, premium_minute=1).status_code == 200
    assert Visitor(PLATFORM, cast.mia).get(MOVE).status_code == 403
    assert Visitor(host_of(cast.acme), cast.paul).get(MOVE).status_code == 404


def test_a_wallet_that_would_be_too_full(cast: Cast, nora: Visitor) -> None:
    give(cast.koala.wallet("credit"), 10**15 - 110)
    give(cast.acme.wallet("credit"), 50)
    entries = Entry.objects.count()

    answer = confirm(nora, review(nora, cast.acme, cast.koala, credit=50))

    assert answer.status_code == 409
    assert "more than a wallet can hold" in text(answer)
    assert Entry.objects.count() == entries
