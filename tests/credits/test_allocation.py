"""Units from the pool to a client's own wallet and back."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction

from credits import checks, ledger, statement
from credits.models import Entry, Grant, LowBalance, Wallet
from kit import clock
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, reserve, use
from tests.credits.test_contention import at_once, succeeds


def allocate(client: Client, amount: int, **more: Any) -> ledger.Posted:
    return ledger.allocate(
        pool=client.books.pool, wallet=client.wallet, amount=amount, key=more.pop("key", fresh_key("allocation")), by=TESTS, **more
    )


def reclaim(client: Client, amount: int, **more: Any) -> ledger.Posted:
    return ledger.reclaim(
        wallet=client.wallet, pool=client.books.pool, amount=amount, key=more.pop("key", fresh_key("reclaim")), by=TESTS, **more
    )


def balances(client: Client) -> tuple[int, int]:
    return client.books.pool.balance, client.wallet.balance


def lots(wallet: Wallet) -> list[tuple[str, int, int, bool]]:
    return [(lot.source, lot.priority, lot.remaining, lot.transferable) for lot in wallet.grants.filter(is_open=True).order_by("id")]


@pytest.fixture
def client(books: Books) -> Client:
    return books.client()


class TestAllocate:
    def test_units_go_from_the_pool_to_the_wallet_in_one_entry_with_both_sides(self, client: Client) -> None:
        give(client.books.pool, 3342)

        posted = allocate(client, 100, memo="For the launch")

        (entry,) = posted.entries
        assert balances(client) == (3242, 100)
        assert (entry.kind, entry.amount, entry.memo, entry.reference) == ("allocation", 100, "For the launch", "purchase")
        assert (entry.from_wallet_id, entry.from_balance, entry.from_sequence) == (client.books.pool.pk, 3242, 2)
        assert (entry.to_wallet_id, entry.to_balance, entry.to_sequence) == (client.wallet.pk, 100, 1)
        assert (entry.agency_id, entry.sub_account_id, entry.by_label) == (client.books.agency, client.id, TESTS.label)
        assert checks.audit() == []

    def test_expiry_priority_and_what_binds_a_grant_travel_with_the_units_in_the_order_of_burn_down(self, client: Client) -> None:
        soon, late = clock.now() + timedelta(days=3), clock.now() + timedelta(days=30)
        give(client.books.pool, 5)
        give(client.books.pool, 5, Grant.PLAN, expires_at=late)
        give(client.books.pool, 5, Grant.PLAN, expires_at=soon)
        give(client.books.pool, 5, Grant.PROMOTION, transferable=False)

        allocate(client, 17)

        landed = list(client.wallet.grants.order_by("id").values_list("priority", "expires_at", "amount", "transferable", "source"))
        assert landed == [
            (20, None, 5, False, "allocation"),
            (30, soon, 5, True, "allocation"),
            (30, late, 5, True, "allocation"),
            (60, None, 2, True, "allocation"),
        ]
        with time_machine.travel(soon, tick=False):
            use([client.wallet], 1)
            assert balances(client) == (3, 11)
        assert checks.audit() == []

    def test_what_a_hold_reserves_is_not_available(self, client: Client) -> None:
        give(client.books.pool, 10)
        hold = reserve([client.books.pool], 4)

        with pytest.raises(ledger.InsufficientCredits) as refused:
            allocate(client, 7)
        assert (refused.value.needed, refused.value.available, balances(client)) == (7, 6, (10, 0))
        allocate(client, 6)
        ledger.commit(hold=hold, by=TESTS)

        assert balances(client) == (0, 6)
        assert checks.audit() == []

    def test_a_refusal_leaves_nothing_and_the_key_free(self, client: Client) -> None:
        key = fresh_key()
        with pytest.raises(ledger.InsufficientCredits):
            allocate(client, 1, key=key)
        assert not Entry.objects.filter(sub_account_id=client.id).exists()

        give(client.books.pool, 1)
        assert not allocate(client, 1, key=key).is_replay

    def test_what_has_expired_is_not_moved_however_late_the_sweep(self, client: Client) -> None:
        give(client.books.pool, 10, expires_at=clock.now() + timedelta(days=1))
        give(client.books.pool, 3)
        with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
            with pytest.raises(ledger.InsufficientCredits):
                allocate(client, 4)
            allocate(client, 3)
        assert balances(client) == (0, 3)

    def test_the_same_key_again_returns_the_first_result(self, client: Client) -> None:
        give(client.books.pool, 10)
        key = fresh_key()
        first, again = allocate(client, 4, key=key), allocate(client, 4, key=key, memo="once more")

        assert (again.first_id, again.is_replay, first.is_replay) == (first.first_id, True, False)
        assert balances(client) == (6, 4)

    def test_the_same_key_for_anything_else_is_refused(self, client: Client) -> None:
        give(client.books.pool, 10)
        other, key = client.books.client(), fresh_key()
        allocate(client, 4, key=key)

        for deed in (
            lambda: allocate(client, 5, key=key),
            lambda: allocate(other, 4, key=key),
            lambda: reclaim(client, 4, key=key),
            lambda: use(client.sources, 4, key=key),
        ):
            with pytest.raises(ledger.KeyReused), transaction.atomic():
                deed()
        assert balances(client) == (6, 4)

    def test_crossing_the_alert_of_the_pool_is_noticed_and_coming_back_rearms_it(self, client: Client) -> None:
        give(client.books.pool, 10)
        ledger.set_threshold(wallet=client.books.pool, low_at=5, by=TESTS)

        allocate(client, 6)
        assert LowBalance.objects.filter(wallet=client.books.pool, rearmed_at=None).count() == 1
        reclaim(client, 6)
        assert LowBalance.objects.filter(wallet=client.books.pool, rearmed_at=None).count() == 0
        assert checks.audit() == []

    @pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
    def test_an_amount_that_is_none_is_a_mistake_of_the_caller(self, client: Client, amount: int) -> None:
        for deed in (allocate, reclaim):
            with pytest.raises(ValueError, match="amount"):
                deed(client, amount)

    def test_only_between_a_pool_and_a_wallet_of_the_same_agency_and_unit(self, client: Client) -> None:
        give(client.books.pool, 10)
        pairs = [
            (client.books.pool, Books().client().wallet),
            (client.books.pool, Wallet.objects.get(owner_id=client.id, unit="basic_minute")),
            (client.books.pool, client.books.pool),
            (client.wallet, client.books.client().wallet),
        ]
        for pool, wallet in pairs:
            with pytest.raises(ValueError, match="pool"):
                ledger.allocate(pool=pool, wallet=wallet, amount=1, key=fresh_key(), by=TESTS)

    def test_it_cannot_be_voided_but_taken_back(self, client: Client) -> None:
        give(client.books.pool, 10)
        posted = allocate(client, 10)
        with pytest.raises(ledger.CannotVoid):
            ledger.void(entry_key=posted.key, key=fresh_key(), by=TESTS)


class TestReclaim:
    def test_what_is_unspent_comes_back_as_it_went(self, client: Client) -> None:
        expires_at = clock.now() + timedelta(days=9)
        give(client.books.pool, 10, Grant.PLAN, expires_at=expires_at)
        allocate(client, 10)
        use(client.sources, 3)

        posted = reclaim(client, 7)

        assert [(entry.kind, entry.from_balance, entry.to_balance) for entry in posted.entries] == [("reclaim", 0, 7)]
        back = client.books.pool.grants.get(is_open=True)
        assert (back.remaining, back.priority, back.expires_at, back.transferable) == (7, 30, expires_at, True)
        assert balances(client) == (7, 0)
        assert checks.audit() == []

    def test_starter_credits_are_never_taken(self, client: Client) -> None:
        give(client.wallet, 100, Grant.STARTER, transferable=False)
        give(client.books.pool, 10)
        allocate(client, 10)

        with pytest.raises(ledger.InsufficientCredits) as refused:
            reclaim(client, 11)
        assert refused.value.available == 10
        reclaim(client, 10)

        assert lots(client.wallet) == [("starter", 10, 100, False)]
        assert balances(client) == (10, 100)

    def test_a_present_is_not_made_transferable_by_a_round_trip(self, client: Client) -> None:
        give(client.books.pool, 10, Grant.PROMOTION, transferable=False)
        allocate(client, 10)

        assert ledger.reclaimable([client.wallet]) == {client.wallet.pk: 0}
        with pytest.raises(ledger.InsufficientCredits):
            reclaim(client, 1)
        assert lots(client.wallet) == [("allocation", 20, 10, False)]

    def test_what_a_hold_reserves_stays(self, client: Client) -> None:
        give(client.books.pool, 10)
        allocate(client, 10)
        reserve([client.wallet], 4)

        assert ledger.reclaimable([client.wallet]) == {client.wallet.pk: 6}
        with pytest.raises(ledger.InsufficientCredits):
            reclaim(client, 7)
        reclaim(client, 6)
        assert balances(client) == (6, 4)
        assert checks.audit() == []


def test_the_statement_has_a_line_for_each_side(client: Client) -> None:
    give(client.books.pool, 100)
    allocate(client, 30)
    reclaim(client, 10)

    lines = statement.page(client.books.agency, statement.Wish(client=client.id)).lines

    assert [(line.kind, line.sign, line.amount, line.balance, line.is_pool) for line in lines] == [
        ("Taken back to the pool", "−", 10, 20, False),
        ("Taken back to the pool", "+", 10, 80, True),
        ("Top-up from the pool", "−", 30, 70, True),
        ("Top-up from the pool", "+", 30, 30, False),
    ]


@pytest.mark.django_db(transaction=True)
def test_sixteen_threads_on_a_pool_with_enough_for_half_of_their_top_ups_and_spends(committed_books: Books) -> None:
    pool = committed_books.pool
    give(pool, 60, Grant.PLAN)
    give(pool, 8 * 20 - 60)
    clients = [committed_books.client() for _ in range(16)]

    def ten(number: int) -> list[bool]:
        deeds = (lambda: use([pool], 2), lambda: allocate(clients[number], 2))
        return [succeeds(deeds[turn % 2]) for turn in range(10)]

    results = at_once(16, ten)

    assert sum(map(sum, results)) == 80
    assert committed_books.pool.balance == 0
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_top_ups_take_backs_and_spends_that_cross_never_deadlock(committed_books: Books) -> None:
    clients = [committed_books.client() for _ in range(2)]
    give(committed_books.pool, 40)

    def cross(number: int) -> None:
        one = clients[number % 2]
        for turn in range(30):
            deed = (lambda: allocate(one, 2), lambda: use(one.sources, 1), lambda: reclaim(one, 1))[turn % 3]
            succeeds(deed)

    at_once(8, cross)

    used = sum(entry.amount for entry in Entry.objects.filter(agency_id=committed_books.agency, kind="ai_reply"))
    assert committed_books.pool.balance + sum(one.wallet.balance for one in clients) + used == 40
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_the_same_key_from_eight_threads_moves_once(committed_books: Books) -> None:
    one, key = committed_books.client(), fresh_key()
    give(committed_books.pool, 100)

    results = at_once(8, lambda number: allocate(one, 10, key=key))

    assert len({posted.first_id for posted in results}) == 1
    assert [posted.is_replay for posted in results].count(False) == 1
    assert balances(one) == (90, 10)
