"""Base prices, markups, and what one use costs."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from credits import prices, rates
from credits.models import BasePrice, Rate, Wallet
from tests.credits.conftest import TESTS, Books, Client


@pytest.fixture
def client(books: Books) -> Client:
    BasePrice.objects.update_or_create(unit_id="credit", currency="USD", defaults={"price": Decimal("0.05")})
    return books.client()


def mark_up(of: Books | Client, percent: str | None) -> None:
    owner_kind, owner_id = (Wallet.AGENCY, of.agency) if isinstance(of, Books) else (Wallet.SUB_ACCOUNT, of.id)
    prices.set_markup(
        owner_kind=owner_kind, owner_id=owner_id, unit="credit", percent=None if percent is None else Decimal(percent), by=TESTS
    )


def price(client: Client, currency: str = "USD") -> Decimal | None:
    return prices.price("credit", currency, agency_id=client.books.agency, sub_account_id=client.id)


class TestPrices:
    def test_a_clients_own_markup_comes_before_its_agencys_and_that_before_none(self, client: Client) -> None:
        assert price(client) == Decimal("0.05")
        mark_up(client.books, "20")
        assert price(client) == Decimal("0.06")
        mark_up(client, "12.5")
        assert price(client) == Decimal("0.05625")
        mark_up(client, "0")
        assert price(client) == Decimal("0.05")
        mark_up(client, None)
        assert price(client) == Decimal("0.06")
        assert prices.price("credit", "USD", agency_id=client.books.agency) == Decimal("0.05"), "the pool is at the base price"

    def test_a_markup_is_of_one_agency_only(self, client: Client) -> None:
        mark_up(Books(), "300")
        mark_up(client.books.client(), "200")
        assert price(client) == Decimal("0.05")

    def test_without_a_base_price_there_is_no_price_but_a_ratio(self, client: Client) -> None:
        mark_up(client, "25")
        assert price(client, "XTS") is None
        assert prices.ratio(Decimal(0), prices.markup("credit", agency_id=client.books.agency, sub_account_id=client.id)) == Fraction(4, 5)

    @pytest.mark.parametrize("percent", ["-0.01", "10000.01", "1.005", "NaN"])
    def test_what_is_no_markup_is_a_mistake_of_the_caller(self, client: Client, percent: str) -> None:
        with pytest.raises((ValueError, ArithmeticError)):
            mark_up(client, percent)

    def test_many_clients_are_one_query(self, client: Client, django_assert_num_queries: Any) -> None:
        other = client.books.client()
        mark_up(client.books, "20")
        mark_up(other, "30")
        with django_assert_num_queries(1):
            found = prices.markups(client.books.agency, [client.id, other.id])
        assert found == {client.id: {"credit": Decimal(20)}, other.id: {"credit": Decimal(30)}}


def cost(kind: str, quantity: int | Decimal = 1, *, client: Client) -> int:
    return rates.cost(kind, quantity, agency_id=client.books.agency, sub_account_id=client.id).amount


def ask(owner_kind: str, amount: int | None, *, client: Client, kind: str = "ai_reply") -> None:
    owner_id = client.id if owner_kind == Rate.SUB_ACCOUNT else client.books.agency
    rates.set_rate(
        owner_kind=owner_kind,
        owner_id=None if owner_kind == Rate.PLATFORM else owner_id,
        kind=kind,
        amount=amount,
        by=TESTS,
        agency_id=client.books.agency,
    )


class TestRates:
    def test_what_the_platform_asks_to_begin_with(self, client: Client) -> None:
        found = {kind: rates.cost(kind, agency_id=client.books.agency, sub_account_id=client.id) for kind in rates.KINDS}
        assert found == {
            "ai_reply": rates.Cost("credit", 1),
            "own_key": rates.Cost("credit", 0),
            "campaign_message": rates.Cost("credit", 1),
            "call_basic": rates.Cost("basic_minute", 1),
            "call_premium": rates.Cost("premium_minute", 1),
            "knowledge": rates.Cost("knowledge_pack", 1),
        }

    def test_calls_count_by_the_second_and_a_second_that_has_begun_counts(self, client: Client) -> None:
        assert [cost("call_basic", Decimal(seconds), client=client) for seconds in ("0.2", "60", "61.2", "3600")] == [1, 60, 62, 3600]
        ask(Rate.AGENCY, 90, client=client, kind="call_basic")
        assert [cost("call_basic", seconds, client=client) for seconds in (1, 2, 60)] == [2, 3, 90]

    def test_a_clients_own_rate_comes_before_its_agencys_and_none_is_below_the_floor(self, client: Client) -> None:
        ask(Rate.AGENCY, 3, client=client)
        assert cost("ai_reply", client=client) == 3
        ask(Rate.SUB_ACCOUNT, 2, client=client)
        assert cost("ai_reply", 50, client=client) == 100
        ask(Rate.PLATFORM, 5, client=client)
        assert cost("ai_reply", client=client) == 5
        ask(Rate.DEAL, 1, client=client)
        assert cost("ai_reply", client=client) == 2
        ask(Rate.SUB_ACCOUNT, None, client=client)
        assert cost("ai_reply", client=client) == 3

    @pytest.mark.parametrize("owner_kind", [Rate.AGENCY, Rate.SUB_ACCOUNT])
    def test_an_agency_does_not_sell_below_the_floor(self, client: Client, owner_kind: str) -> None:
        ask(Rate.DEAL, 4, client=client)
        with pytest.raises(rates.BelowFloor) as refused:
            ask(owner_kind, 3, client=client)
        assert refused.value.floor == 4
        ask(owner_kind, 4, client=client)

    def test_only_ones_own_key_may_be_free(self, client: Client) -> None:
        ask(Rate.PLATFORM, 0, client=client, kind="own_key")
        assert cost("own_key", client=client) == 0
        for kind in rates.KINDS.keys() - {"own_key"}:
            with pytest.raises(ValueError, match="rate"):
                ask(Rate.PLATFORM, 0, client=client, kind=kind)

    def test_a_missing_row_of_the_platform_gives_nothing_away(self, client: Client) -> None:
        Rate.objects.all().delete()
        assert [cost(kind, client=client) for kind in ("ai_reply", "own_key", "knowledge")] == [1, 0, 1]
        assert cost("call_basic", 61, client=client) == 61

    def test_the_rates_of_others_do_not_matter_and_it_is_one_query(self, client: Client, django_assert_num_queries: Any) -> None:
        ask(Rate.AGENCY, 9, client=Books().client())
        ask(Rate.SUB_ACCOUNT, 9, client=client.books.client())
        with django_assert_num_queries(1):
            assert cost("ai_reply", client=client) == 1
