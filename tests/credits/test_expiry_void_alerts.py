from datetime import timedelta

import pytest
import time_machine

from credits import ledger
from credits.books import EXPIRED, book
from credits.models import Entry, Grant, LowBalance
from kit import clock
from tests.credits.conftest import TESTS, Books, fresh_key, give, reserve, use


def in_days(days: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(days=days), tick=False)


class TestExpiry:
    def test_expired_credits_are_never_spendable_however_late_the_job(self, books: Books) -> None:
        give(books.pool, 10, expires_at=clock.now() + timedelta(days=1))
        give(books.pool, 2)
        with in_days(2), pytest.raises(ledger.InsufficientCredits) as refusal:
            use([books.pool], 3)
        assert refusal.value.available == 2

    def test_expired_credits_go_to_the_expired_book_visibly(self, books: Books) -> None:
        """Z-04"""
        lot = give(books.pool, 10, expires_at=clock.now() + timedelta(days=1))
        use([books.pool], 4)
        with in_days(2):
            ledger.expire_due()
            ledger.expire_due()
        entry = Entry.objects.get(kind="expiry", agency_id=books.agency)
        assert (entry.amount, entry.grant_id, entry.to_wallet_id) == (6, lot.pk, book(EXPIRED, "credit"))
        assert books.pool.balance == 0

    def test_what_was_held_in_time_can_be_committed_and_the_rest_expires(self, books: Books) -> None:
        lot = give(books.pool, 10, expires_at=clock.now() + timedelta(days=1))
        later = clock.now() + timedelta(days=3)
        held, given_up = reserve([books.pool], 3, expires_at=later), reserve([books.pool], 2, expires_at=later)
        with in_days(2):
            ledger.expire_due()
            assert books.pool.balance == 5
            ledger.commit(hold=held, by=TESTS)
            ledger.release(hold=given_up, by=TESTS)
            with pytest.raises(ledger.InsufficientCredits):
                use([books.pool], 1)
        lot.refresh_from_db()
        assert (books.pool.balance, lot.remaining) == (0, 0)


class TestVoid:
    def test_a_void_gives_back_to_the_very_grants(self, books: Books) -> None:
        """Law 8"""
        client = books.client()
        lots = [give(client.wallet, 3, "starter"), give(client.wallet, 4), give(books.pool, 10)]
        use(client.sources, 9, key="reply-9")

        ledger.void(entry_key="reply-9", key="void-9", by=TESTS, memo="Wrong contact")

        assert [Grant.objects.get(pk=lot.pk).remaining for lot in lots] == [3, 4, 10]
        assert (client.wallet.balance, books.pool.balance) == (7, 10)

    def test_a_void_happens_once(self, books: Books) -> None:
        give(books.pool, 10)
        use([books.pool], 4, key="reply-8")
        first = ledger.void(entry_key="reply-8", key="void-8", by=TESTS)
        assert ledger.void(entry_key="reply-8", key="void-8", by=TESTS).first_id == first.first_id
        for entry_key in ("reply-8", "void-8", "never"):
            with pytest.raises(ledger.CannotVoid):
                ledger.void(entry_key=entry_key, key=fresh_key(), by=TESTS)
        assert books.pool.balance == 10

    def test_a_grant_can_be_taken_back_while_it_is_whole(self, books: Books) -> None:
        give(books.pool, 10, key="mistake")
        ledger.void(entry_key="mistake", key="void-mistake", by=TESTS)
        give(books.pool, 10, key="begun")
        use([books.pool], 1)
        with pytest.raises(ledger.CannotVoid):
            ledger.void(entry_key="begun", key="void-begun", by=TESTS)
        assert books.pool.balance == 9

    def test_what_comes_back_to_an_expired_grant_expires(self, books: Books) -> None:
        give(books.pool, 10, expires_at=clock.now() + timedelta(days=1))
        use([books.pool], 10, key="reply-7")
        with in_days(2):
            ledger.void(entry_key="reply-7", key="void-7", by=TESTS)
            assert books.pool.balance == 10
            ledger.expire_due()
        assert books.pool.balance == 0


class TestLowBalance:
    """Law 9"""

    def test_one_row_per_crossing_and_again_after_it_was_back(self, books: Books) -> None:
        give(books.pool, 100)
        ledger.set_threshold(wallet=books.pool, low_at=50, by=TESTS)
        rows = LowBalance.objects.filter(wallet=books.pool).order_by("id")

        use([books.pool], 50)
        assert not rows.exists()
        use([books.pool], 1)
        use([books.pool], 1)
        assert [(row.threshold, row.balance) for row in rows] == [(50, 49)]
        give(books.pool, 10)
        use([books.pool], 20)
        assert [row.rearmed_at is None for row in rows.all()] == [False, True]

    def test_a_committed_hold_crosses_too(self, books: Books) -> None:
        give(books.pool, 10)
        ledger.set_threshold(wallet=books.pool, low_at=5, by=TESTS)
        ledger.commit(hold=reserve([books.pool], 6), by=TESTS)
        assert LowBalance.objects.get(wallet=books.pool).balance == 4

    def test_a_new_threshold_alerts_at_once_and_none_disarms(self, books: Books) -> None:
        give(books.pool, 10)
        ledger.set_threshold(wallet=books.pool, low_at=20, by=TESTS)
        assert LowBalance.objects.filter(wallet=books.pool, rearmed_at=None).count() == 1
        ledger.set_threshold(wallet=books.pool, low_at=None, by=TESTS)
        assert not LowBalance.objects.filter(wallet=books.pool, rearmed_at=None).exists()
