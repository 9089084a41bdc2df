from datetime import timedelta

import pytest
import time_machine

from credits import ledger
from credits.models import Hold
from kit import clock
from tests.credits.conftest import TESTS, Books, give, reserve, use


def test_what_is_held_cannot_be_spent(books: Books) -> None:
    """Z-01"""
    give(books.pool, 10)
    reserve([books.pool], 8)
    with pytest.raises(ledger.InsufficientCredits) as refusal:
        use([books.pool], 3)
    assert refusal.value.available == 2
    assert (books.pool.balance, books.pool.available) == (10, 2)


def test_a_hold_may_draw_on_wallet_and_pool(books: Books) -> None:
    client = books.client()
    give(client.wallet, 3)
    give(books.pool, 10)

    posted = ledger.commit(hold=reserve(client.sources, 5), by=TESTS)

    assert [entry.amount for entry in posted.entries] == [3, 2]
    assert (client.wallet.balance, books.pool.balance) == (0, 8)


def test_a_part_may_be_committed_and_the_rest_is_let_go(books: Books) -> None:
    give(books.pool, 600)
    ledger.commit(hold=reserve([books.pool], 600, kind="call"), by=TESTS, amount=61)
    assert (books.pool.balance, books.pool.held) == (539, 0)


def test_a_commit_outside_the_hold_is_a_mistake(books: Books) -> None:
    give(books.pool, 10)
    held = reserve([books.pool], 5)
    for amount in (-1, 0, 6):
        with pytest.raises(ValueError):
            ledger.commit(hold=held, by=TESTS, amount=amount)


def test_a_commit_says_what_the_hold_could_not_know_yet(books: Books) -> None:
    give(books.pool, 10)
    client = books.client()
    held = reserve(client.sources, 1, sub_account_id=client.id, bot="Front desk")
    entry = ledger.commit(hold=held, by=TESTS, contact="Pat").entries[0]
    assert (entry.contact, entry.bot, entry.sub_account_id, entry.key) == ("Pat", "Front desk", client.id, held.key)


def test_a_closed_hold_stays_closed(books: Books) -> None:
    give(books.pool, 10)
    released, committed = reserve([books.pool], 2), reserve([books.pool], 2)
    ledger.release(hold=released, by=TESTS)
    ledger.commit(hold=committed, by=TESTS)
    with pytest.raises(ledger.HoldClosed):
        ledger.commit(hold=released, by=TESTS)
    with pytest.raises(ledger.HoldClosed):
        ledger.release(hold=committed, by=TESTS)
    assert books.pool.balance == 8


def test_a_hold_whose_time_is_over_is_let_go(books: Books) -> None:
    give(books.pool, 10)
    held = reserve([books.pool], 4)
    with time_machine.travel(clock.now() + timedelta(minutes=6), tick=False):
        ledger.expire_due()
    held.refresh_from_db()
    assert (held.state, books.pool.available) == (Hold.EXPIRED, 10)
    with pytest.raises(ledger.HoldClosed):
        ledger.commit(hold=held, by=TESTS)
