"""Many at once, on a real PostgreSQL, each with a connection of its own."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from django.db import connection
from django.db.transaction import TransactionManagementError

from credits import checks, ledger
from credits.models import Entry
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, reserve, use

Result = TypeVar("Result")


def at_once(threads: int, deed: Callable[[int], Result]) -> list[Result]:
    """Run `deed(0) … deed(threads - 1)` in threads that start together."""
    start = Barrier(threads)

    def run(number: int) -> Result:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            return deed(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def succeeds(deed: Callable[[], object]) -> bool:
    try:
        deed()
    except ledger.InsufficientCredits:
        return False
    return True


@pytest.mark.django_db(transaction=True)
def test_sixteen_threads_on_a_pool_with_enough_for_half(committed_books: Books) -> None:
    pool = committed_books.pool
    give(pool, 8 * 25)

    results = at_once(16, lambda number: [succeeds(lambda: use([pool], 1)) for _ in range(25)])

    assert sum(map(sum, results)) == 8 * 25
    assert committed_books.pool.balance == 0
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_holds_of_many_clients_never_reserve_more_than_there_is(committed_books: Books) -> None:
    give(committed_books.pool, 40)
    clients = [committed_books.client() for _ in range(16)]

    def try_five(number: int) -> int:
        held = 0
        for _ in range(5):
            try:
                hold = reserve(clients[number].sources, 1)
            except ledger.InsufficientCredits:
                continue
            held += 1
            ledger.commit(hold=hold, by=TESTS)
        return held

    assert sum(at_once(16, try_five)) == 40
    assert (committed_books.pool.balance, committed_books.pool.held) == (0, 0)
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_the_same_key_from_eight_threads_posts_once(committed_books: Books) -> None:
    """Law 5"""
    pool, key = committed_books.pool, fresh_key()
    give(pool, 100)

    results = at_once(8, lambda number: use([pool], 3, key=key))

    assert len({posted.first_id for posted in results}) == 1
    assert [posted.is_replay for posted in results].count(False) == 1
    assert Entry.objects.filter(agency_id=committed_books.agency, key=key).count() == 1
    assert committed_books.pool.balance == 97


@pytest.mark.django_db(transaction=True)
def test_the_same_key_for_different_wallets_posts_once(committed_books: Books) -> None:
    clients = [committed_books.client() for _ in range(8)]
    for client in clients:
        give(client.wallet, 5)
    key = fresh_key()

    def attempt(number: int) -> bool:
        try:
            use([clients[number].wallet], 1, key=key)
        except ledger.KeyReused:
            return False
        return True

    assert at_once(8, attempt).count(True) == 1
    assert sum(client.wallet.balance for client in clients) == 39


def cross(clients: list[Client], deeds: int, seed: int) -> None:
    """Spends, holds, grants and voids that cross from wallet to pool in every order."""
    dice = random.Random(seed)
    for _ in range(deeds):
        client = dice.choice(clients)
        choice = dice.random()
        try:
            if choice < 0.5:
                key = fresh_key()
                use(client.sources, dice.randint(1, 6), key=key)
                if choice < 0.1:
                    ledger.void(entry_key=key, key=f"void {key}", by=TESTS)
            elif choice < 0.8:
                hold = reserve(client.sources, dice.randint(1, 6))
                (ledger.commit if choice < 0.7 else ledger.release)(hold=hold, by=TESTS)
            elif choice < 0.9:
                give(client.wallet, dice.randint(1, 5))
            else:
                give(client.books.pool, dice.randint(1, 10))
        except ledger.InsufficientCredits:
            continue


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deeds", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_wallet_and_pool_crossing_never_deadlocks(committed_books: Books, deeds: int) -> None:
    clients = [committed_books.client() for _ in range(4)]
    give(committed_books.pool, 1000)

    at_once(8, lambda number: cross(clients, deeds // 8, number))

    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_a_spend_of_its_own_does_the_same_without_waiting_for_the_disk(committed_books: Books) -> None:
    pool = committed_books.pool
    give(pool, 20)

    def alone(number: int) -> bool:
        return succeeds(lambda: ledger.spend_alone(sources=[pool], amount=1, key=fresh_key(), kind="ai_reply", by=TESTS))

    assert sum(sum(ones) for ones in at_once(8, lambda number: [alone(number) for _ in range(5)])) == 20
    assert committed_books.pool.balance == 0
    assert checks.audit() == []


@pytest.mark.django_db
def test_a_spend_of_its_own_refuses_to_be_part_of_another_transaction(books: Books) -> None:
    with pytest.raises(TransactionManagementError):
        ledger.spend_alone(sources=[books.pool], amount=1, key=fresh_key(), kind="ai_reply", by=TESTS)
