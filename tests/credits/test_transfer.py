"""Units between any two accounts of an agency, at different prices."""

from contextlib import suppress
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from credits import checks, conversion, ledger
from credits.books import CONVERTED, book
from credits.models import LARGEST, Entry, Grant, Wallet
from kit import clock
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, reserve, use
from tests.credits.test_contention import at_once, succeeds

SAME = Fraction(1)


def move(source: Wallet, to: Wallet, amount: int, ratio: Fraction = SAME, **more: Any) -> ledger.Moved:
    pool = Wallet.objects.get(owner_kind=Wallet.AGENCY, owner_id=source.agency_id, unit=source.unit_id)
    key = more.pop("key", fresh_key("transfer"))
    return ledger.transfer(source=source, to=to, pool=pool, amount=amount, ratio=ratio, key=key, by=TESTS, **more)


def figures(moved: ledger.Moved) -> tuple[int, int, int]:
    return moved.taken, moved.received, moved.from_pool


def units_of(books: Books) -> int:
    """All an agency has, with what its conversions left over."""
    own = sum(Wallet.objects.filter(agency_id=books.agency).values_list("balance", flat=True))
    return own + books.pool.converted


@pytest.fixture
def pair(books: Books) -> tuple[Client, Client]:
    return books.client(), books.client()


class TestSamePrice:
    def test_between_pool_and_client_one_entry_has_both_sides(self, books: Books) -> None:
        client = books.client()
        give(books.pool, 100)

        moved = move(books.pool, client.wallet, 40, memo="For spring")

        (entry,) = moved.entries
        assert figures(moved) == (40, 40, 0)
        assert (entry.kind, entry.from_balance, entry.to_balance, entry.sub_account_id) == ("transfer", 60, 40, client.id)
        assert (entry.reference, entry.memo) == ("purchase", "For spring")
        assert client.wallet.grants.get().source == Grant.TRANSFER
        assert figures(move(client.wallet, books.pool, 15)) == (15, 15, 0)
        assert checks.audit() == []

    def test_between_two_clients_each_has_a_line_of_its_own_and_sees_no_other_balance(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 100)

        leaves, arrives = move(one.wallet, other.wallet, 40).entries

        assert (leaves.sub_account_id, leaves.from_balance, leaves.to_balance) == (one.id, 60, None)
        assert (arrives.sub_account_id, arrives.from_balance, arrives.to_balance) == (other.id, None, 40)
        assert one.books.pool.converted == 0
        assert checks.audit() == []


class TestOtherPrice:
    def test_a_hundred_minutes_at_20_cents_are_eighty_at_25(self, db: None) -> None:
        books = Books("premium_minute")
        one, other = books.client(), books.client()
        give(one.wallet, 100 * 60)

        moved = move(one.wallet, other.wallet, 100 * 60, Fraction(20, 25))

        assert figures(moved) == (6000, 4800, 0)
        assert (one.wallet.balance, other.wallet.balance, books.pool.converted) == (0, 4800, 1200)
        assert checks.audit() == []

    def test_the_remainder_stays_at_the_source(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 12)

        assert figures(move(one.wallet, other.wallet, 12, Fraction(3, 10))) == (10, 3, 0)
        assert (one.wallet.balance, other.wallet.balance) == (2, 3)

    def test_expiry_priority_and_what_binds_a_lot_travel_through_the_book(self, books: Books) -> None:
        client, soon = books.client(), clock.now() + timedelta(days=3)
        give(books.pool, 50)
        give(books.pool, 25, Grant.PLAN, expires_at=soon)
        give(books.pool, 10, Grant.PROMOTION, transferable=False)

        move(books.pool, client.wallet, 60, Fraction(4, 5))

        landed = list(client.wallet.grants.order_by("id").values_list("priority", "expires_at", "amount", "transferable", "source"))
        assert landed == [(20, None, 8, False, "transfer"), (30, soon, 20, True, "transfer"), (60, None, 20, True, "transfer")]
        assert checks.audit() == []
        with time_machine.travel(soon, tick=False):
            ledger.expire_due()
        assert client.wallet.balance == 28

    def test_there_and_back_gives_back_what_was_left_over(self, books: Books) -> None:
        client = books.client()
        give(books.pool, 100)

        move(books.pool, client.wallet, 100, Fraction(4, 5))
        assert (client.wallet.balance, books.pool.converted) == (80, 20)
        move(client.wallet, books.pool, 80, Fraction(5, 4))

        assert (books.pool.balance, client.wallet.balance, books.pool.converted) == (100, 0, 0)
        assert checks.audit() == []

    def test_the_pool_adds_what_a_growing_conversion_lacks_and_units_stay_what_they_are(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 100)
        give(one.books.pool, 30, Grant.PROMOTION, transferable=False)
        give(one.books.pool, 100)

        moved = move(one.wallet, other.wallet, 100, Fraction(3, 2))

        assert figures(moved) == (100, 150, 50)
        assert (one.books.pool.balance, other.wallet.balance) == (80, 150)
        assert ledger.reclaimable([other.wallet]) == {other.wallet.pk: 120}
        assert checks.audit() == []

    def test_a_pool_that_cannot_cover_refuses_in_words(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 100)
        give(one.books.pool, 49)

        with pytest.raises(ledger.PoolCannotCover, match="pool has not enough") as refused:
            move(one.wallet, other.wallet, 100, Fraction(3, 2))

        assert (refused.value.needed, refused.value.available) == (50, 49)
        assert (one.wallet.balance, other.wallet.balance, one.books.pool.balance) == (100, 0, 49)


class TestNoUnitsOutOfNothing:
    def test_a_high_markup_and_a_move_to_the_pool_bring_nothing(self, books: Books) -> None:
        client = books.client()
        give(books.pool, 100)
        for _ in range(5):
            move(books.pool, client.wallet, 100)  # no markup yet
            move(client.wallet, books.pool, 100, Fraction(10))  # 900 % now

        assert (books.pool.balance, client.wallet.balance) == (100, 0)
        assert checks.audit() == []

    def test_what_expires_does_not_come_back_for_ever(self, books: Books) -> None:
        client, soon = books.client(), clock.now() + timedelta(days=3)
        give(books.pool, 1000, Grant.PLAN, expires_at=soon)
        move(books.pool, client.wallet, 1000, Fraction(1, 10))
        give(client.wallet, 900)

        moved = move(client.wallet, books.pool, 1000, Fraction(10))

        assert (moved.received, books.pool.converted) == (1000, 0)
        assert checks.audit() == []

    def test_a_present_does_not_become_moneys_worth(self, books: Books) -> None:
        client = books.client()
        give(books.pool, 100, Grant.PROMOTION, transferable=False)
        move(books.pool, client.wallet, 100, Fraction(1, 10))
        assert (client.wallet.balance, books.pool.converted) == (10, 0)

        with pytest.raises(ledger.InsufficientCredits):
            move(client.wallet, books.pool, 1, Fraction(10))

    def test_starter_credits_never_leave(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 100, Grant.STARTER, transferable=False)
        give(one.wallet, 10)

        with pytest.raises(ledger.InsufficientCredits) as refused:
            move(one.wallet, other.wallet, 11)
        assert (refused.value.available, one.wallet.balance) == (10, 110)
        move(one.wallet, other.wallet, 10)
        assert one.wallet.grants.get(is_open=True).source == "starter"

    @settings(max_examples=40, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_g15_no_sequence_of_moves_and_markups_adds_a_unit(self, data: st.DataObject, db: None) -> None:
        with transaction.atomic():
            books = Books()
            clients = [books.client() for _ in range(3)]
            give(books.pool, 1000)
            give(clients[0].wallet, 500, expires_at=clock.now() + timedelta(days=9))
            give(clients[1].wallet, 300)
            give(clients[2].wallet, 100, Grant.STARTER, transferable=False)
            markups = [Fraction(1)] * 3
            total = units_of(books)
            for _ in range(data.draw(st.integers(1, 12))):
                act = data.draw(st.sampled_from(["transfer", "transfer", "markup", "allocate", "reclaim"]))
                spot, other = data.draw(st.permutations([0, 1, 2, None]))[:2]
                amount = data.draw(st.integers(1, 600))
                if act == "markup" and spot is not None:
                    markups[spot] = 1 + Fraction(data.draw(st.sampled_from([0, 1, 33, 100, 2500, 90000])), 100)
                elif act == "transfer":
                    source, to = (books.pool if at is None else clients[at].wallet for at in (spot, other))
                    prices = [Fraction(1) if at is None else markups[at] for at in (spot, other)]
                    before = source.balance, to.balance
                    try:
                        moved = move(source, to, amount, prices[0] / prices[1])
                    except (ledger.InsufficientCredits, conversion.NothingArrives):
                        continue
                    assert moved.taken <= amount
                    assert moved.received * prices[1] <= moved.taken * prices[0]
                    source.refresh_from_db()
                    to.refresh_from_db()
                    assert (source.balance, to.balance) == (before[0] - moved.taken, before[1] + moved.received)
                elif spot is not None:
                    deed = ledger.allocate if act == "allocate" else ledger.reclaim
                    with suppress(ledger.InsufficientCredits):
                        deed(pool=books.pool, wallet=clients[spot].wallet, amount=amount, key=fresh_key(), by=TESTS)
                assert units_of(books) <= total, act
                total = units_of(books)
            assert checks.audit() == []
            transaction.set_rollback(True)


class TestRefusals:
    def test_the_same_key_again_returns_the_first_result_and_for_anything_else_is_refused(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 100)
        give(one.books.pool, 100)
        key = fresh_key()
        first = move(one.wallet, other.wallet, 40, Fraction(3, 2), key=key)
        again = move(one.wallet, other.wallet, 40, Fraction(1, 2), key=key)

        assert (figures(first), first.first_id, again.is_replay) == (figures(again), again.first_id, True)
        with pytest.raises(ledger.KeyReused):
            move(one.wallet, other.wallet, 41, key=key)
        assert (one.wallet.balance, other.wallet.balance, one.books.pool.balance) == (60, 60, 80)

    def test_only_between_two_accounts_of_one_agency_and_unit(self, pair: tuple[Client, Client]) -> None:
        one, _ = pair
        stranger = Books().client()
        give(one.wallet, 10)
        minutes = Wallet.objects.get(owner_id=one.id, unit="basic_minute")
        used = Wallet.objects.get(pk=book(CONVERTED, "credit"))
        for to in (one.wallet, stranger.wallet, minutes, used, stranger.books.pool):
            with pytest.raises(ValueError, match="account"):
                move(one.wallet, to, 1)
        with pytest.raises(ValueError, match="account"):
            ledger.transfer(
                source=one.wallet, to=stranger.wallet, pool=stranger.books.pool, amount=1, ratio=SAME, key=fresh_key(), by=TESTS
            )
        assert one.wallet.balance == 10

    def test_no_price_is_below_the_pools(self, pair: tuple[Client, Client]) -> None:
        one, _ = pair
        for source, to, ratio in ((one.wallet, one.books.pool, Fraction(1, 2)), (one.books.pool, one.wallet, Fraction(2))):
            with pytest.raises(ValueError, match="price"):
                move(source, to, 1, ratio)

    def test_g03_more_than_a_wallet_can_hold_is_refused(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, LARGEST)
        give(other.wallet, 1)

        with pytest.raises(ledger.WalletFull), transaction.atomic():
            move(one.wallet, other.wallet, LARGEST)
        with pytest.raises(ledger.WalletFull), transaction.atomic():
            give(one.wallet, 1)
        assert (one.wallet.balance, other.wallet.balance) == (LARGEST, 1)

    def test_what_a_hold_reserves_stays(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 10)
        reserve([one.wallet], 4)

        with pytest.raises(ledger.InsufficientCredits):
            move(one.wallet, other.wallet, 7)
        move(one.wallet, other.wallet, 6)
        assert checks.audit() == []

    def test_it_cannot_be_voided(self, pair: tuple[Client, Client]) -> None:
        one, other = pair
        give(one.wallet, 10)
        posted = move(one.wallet, other.wallet, 10)
        with pytest.raises(ledger.CannotVoid):
            ledger.void(entry_key=posted.key, key=fresh_key(), by=TESTS)


class TestAdjust:
    def adjust(self, wallet: Wallet, amount: int, **more: Any) -> ledger.Posted:
        reason = more.pop("reason", "Invoice 12 was wrong")
        return ledger.adjust(wallet=wallet, amount=amount, reason=reason, key=more.pop("key", fresh_key("adjust")), by=TESTS)

    def test_upwards_is_a_grant_with_its_reason(self, books: Books) -> None:
        (entry,) = self.adjust(books.pool, 40).entries

        assert (entry.kind, entry.memo, entry.to_balance, entry.from_wallet_id) == (
            "adjustment", "Invoice 12 was wrong", 40, book("issued", "credit"),
        )  # fmt: skip
        assert books.pool.grants.get().source == Grant.ADJUSTMENT
        assert checks.audit() == []

    def test_downwards_takes_any_grant_in_the_order_of_burn_down(self, pair: tuple[Client, Client]) -> None:
        one, _ = pair
        give(one.wallet, 10)
        give(one.wallet, 5, Grant.STARTER, transferable=False)

        entries = self.adjust(one.wallet, -8).entries

        assert [(entry.amount, entry.to_wallet_id, entry.sub_account_id) for entry in entries] == [
            (5, book("voided", "credit"), one.id),
            (3, book("voided", "credit"), one.id),
        ]
        assert one.wallet.balance == 7
        assert checks.audit() == []

    def test_not_below_what_is_free(self, pair: tuple[Client, Client]) -> None:
        one, _ = pair
        give(one.wallet, 10)
        reserve([one.wallet], 4)

        with pytest.raises(ledger.InsufficientCredits) as refused:
            self.adjust(one.wallet, -7)
        assert (refused.value.available, one.wallet.balance) == (6, 10)

    def test_the_same_key_again_adjusts_once(self, books: Books) -> None:
        key = fresh_key()
        assert [self.adjust(books.pool, 5, key=key).is_replay for _ in range(3)] == [False, True, True]
        with pytest.raises(ledger.KeyReused):
            self.adjust(books.pool, -5, key=key)
        assert books.pool.balance == 5

    @pytest.mark.parametrize(("amount", "reason"), [(0, "Nothing at all"), (5, "why"), (5, "    x    "), (LARGEST + 1, "Far too much")])
    def test_what_is_no_adjustment_is_a_mistake_of_the_caller(self, books: Books, amount: int, reason: str) -> None:
        with pytest.raises(ValueError, match="a"):
            self.adjust(books.pool, amount, reason=reason)
        assert not Entry.objects.filter(agency_id=books.agency).exists()


@pytest.mark.django_db(transaction=True)
def test_transfers_that_cross_never_deadlock_and_never_make_units(committed_books: Books) -> None:
    one, other, pool = committed_books.client(), committed_books.client(), committed_books.pool
    for wallet in (one.wallet, other.wallet, pool):
        give(wallet, 100)

    def cross(number: int) -> None:
        for turn in range(20):
            deed = (
                lambda: move(one.wallet, other.wallet, 7, Fraction(4, 5)),
                lambda: move(other.wallet, one.wallet, 7, Fraction(5, 4)),
                lambda: use([one.wallet, pool], 1),
                lambda: move(pool, one.wallet, 3, Fraction(1, 2)),
                lambda: move(one.wallet, pool, 3, Fraction(2)),
            )[(turn + number) % 5]
            succeeds(deed)

    at_once(8, cross)

    used = sum(entry.amount for entry in Entry.objects.filter(agency_id=committed_books.agency, kind="ai_reply"))
    assert units_of(committed_books) + used == 300
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_the_same_key_from_eight_threads_transfers_once(committed_books: Books) -> None:
    one, other, key = committed_books.client(), committed_books.client(), fresh_key()
    give(one.wallet, 100)

    results = at_once(8, lambda number: move(one.wallet, other.wallet, 10, Fraction(1, 2), key=key))

    assert [moved.is_replay for moved in results].count(False) == 1
    assert {figures(moved) for moved in results} == {(10, 5, 0)}
    assert (one.wallet.balance, other.wallet.balance) == (90, 5)
