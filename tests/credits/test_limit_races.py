"""A client's limit under sixteen threads that all want what is left of it."""

import random
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from time import sleep

import pytest
from django.db import transaction

from credits import checks, ledger
from credits.ledger import Use
from credits.models import Crossing, Entry, PoolLimit
from kit import clock
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, limit, reserve, use
from tests.credits.test_contention import at_once


def one(client: Client) -> int:
    try:
        use(client.sources, 1)
    except ledger.PoolLimitReached:
        return 0
    return 1


def alone(client: Client) -> int:
    try:
        ledger.spend_alone(sources=client.sources, amount=1, key=fresh_key(), kind="ai_reply", by=TESTS)
    except ledger.PoolLimitReached:
        return 0
    return 1


def reserved(client: Client) -> int:
    try:
        ledger.commit(hold=reserve(client.sources, 1), by=TESTS)
    except ledger.PoolLimitReached:
        return 0
    return 1


def batch(client: Client) -> int:
    results = ledger.spend_many(sources=client.sources, uses=[Use(fresh_key(), 1) for _ in range(7)], kind="campaign_message", by=TESTS)
    return sum(isinstance(result, ledger.Posted) for result in results)


WAYS: dict[str, list[Callable[[Client], int]]] = {
    "spend": [one],
    "alone": [alone],
    "hold": [reserved],
    "batch": [batch],
    "mixed": [one, alone, reserved, batch],
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("own", [0, 13])
def test_sixteen_spenders_use_exactly_the_limit(committed_books: Books, way: str, own: int) -> None:
    give(committed_books.pool, 1000)
    client = committed_books.client()
    if own:
        give(client.wallet, own)
    limit(client, 100)
    ways = WAYS[way]

    used = at_once(16, lambda number: sum(ways[(number + turn) % len(ways)](client) for turn in range(12)))

    assert sum(used) == 100 + own
    assert (committed_books.pool.balance, committed_books.pool.held, client.wallet.balance) == (900, 0, 0)
    assert PoolLimit.objects.get(pk=client.wallet.pk).used == 100
    assert Crossing.objects.filter(wallet=client.wallet, rearmed_at=None, kind=Crossing.LIMIT).count() == 1
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_a_limit_that_is_set_in_the_middle_counts_what_was_and_binds_what_comes(committed_books: Books) -> None:
    give(committed_books.pool, 10_000)
    client = committed_books.client()
    give(client.wallet, 1)
    use(client.sources, 2)  # so that the look at its wallet finds nothing to tell, and no spend locks it

    def turn(number: int) -> int:
        if number == 0:
            limit(client, 150)
            return 0
        return sum((one, reserved)[number % 2](client) for _ in range(20))

    used = sum(at_once(16, turn)[1:])

    assert used + 1 == PoolLimit.objects.get(pk=client.wallet.pk).used >= 150
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_the_last_of_the_month_and_the_first_of_the_next_are_told_apart_by_all(committed_books: Books) -> None:
    give(committed_books.pool, 10_000)
    client = committed_books.client()
    limit(client, 50)
    use(client.sources, 50)
    over = clock.now()
    PoolLimit.objects.filter(pk=client.wallet.pk).update(month_began_at=over - timedelta(days=30), month_ends_at=over)

    used = at_once(16, lambda number: sum(one(client) for _ in range(10)))

    assert sum(used) == PoolLimit.objects.get(pk=client.wallet.pk).used == 50
    assert checks.audit() == []


def cross(clients: list[Client], deeds: int, seed: int) -> None:
    """Everything that locks a wallet, a limit and a pool, in every order."""
    dice = random.Random(seed)
    for _ in range(deeds):
        client = dice.choice(clients)
        choice = dice.random()
        try:
            if choice < 0.4:
                use(client.sources, dice.randint(1, 4), key=(key := fresh_key()))
                if choice < 0.12:
                    ledger.void(entry_key=key, key=fresh_key("void"), by=TESTS)
            elif choice < 0.7:
                with transaction.atomic():
                    hold = reserve(client.sources, dice.randint(1, 4))
                if choice < 0.6:
                    ledger.commit(hold=hold, by=TESTS, amount=dice.randint(1, hold.amount))
                else:
                    ledger.release(hold=hold, by=TESTS)
            elif choice < 0.76:
                batch(client)
            elif choice < 0.84:
                give(client.wallet, dice.randint(1, 6))
            elif choice < 0.9:
                ledger.allocate(pool=client.books.pool, wallet=client.wallet, amount=2, key=fresh_key(), by=TESTS)
            elif choice < 0.94:
                give(client.books.pool, 10)
            else:
                zone = dice.choice(["Europe/Stockholm", "UTC"])
                limit(client, dice.choice([None, 5, 40, 4000]), is_hard=dice.random() < 0.7, time_zone=zone)
        except ledger.InsufficientCredits:
            continue


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deeds", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_wallet_limit_and_pool_crossing_never_deadlocks(committed_books: Books, deeds: int) -> None:
    clients = [committed_books.client() for _ in range(4)]
    give(committed_books.pool, 1000)
    for client in clients[:2]:
        limit(client, 50)

    at_once(8, lambda number: cross(clients, deeds // 8, number))

    assert checks.audit() == []
    assert Entry.objects.filter(agency_id=committed_books.agency).count() > deeds / 4


@pytest.mark.django_db(transaction=True)
def test_another_time_zone_and_a_spend_wait_for_each_other_in_one_order(committed_books: Books) -> None:
    """The new month begins at its limit, so an alert is written, which refers to the wallet that the spend has locked."""
    give(committed_books.pool, 100)
    client = committed_books.client()
    limit(client, 5, is_hard=False)
    next_month = clock.now() + timedelta(days=40)
    reserve(client.sources, 5, expires_at=next_month + timedelta(days=1))
    is_locked = Event()

    def turn(number: int) -> None:
        with clock.at(next_month):
            if number:
                is_locked.wait(timeout=10)
                use(client.sources, 1)
                return
            with transaction.atomic():
                ledger.set_time_zone(agency_id=committed_books.agency, time_zone="Asia/Tokyo", by=TESTS)
                is_locked.set()
                sleep(0.5)  # the spend has begun by then, and waits

    at_once(2, turn)

    stored = PoolLimit.objects.get(pk=client.wallet.pk)
    assert (stored.used, stored.time_zone) == (6, "Asia/Tokyo")
    assert checks.audit() == []
