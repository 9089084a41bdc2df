"""Entries lie in a partition per month; no boundary of one may stop a spend or let a key post twice."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from credits import checks, ledger
from credits.models import Entry
from tests.credits.conftest import TESTS, Books, fresh_key, give, use

NEW_YEAR = datetime(2041, 1, 1, tzinfo=UTC)


def partition_of(entry: Entry) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM credits_entry WHERE id = %s", [entry.pk])
        return str(cursor.fetchone()[0])


def just(before_or_after: timedelta) -> time_machine.travel:
    return time_machine.travel(NEW_YEAR + before_or_after, tick=False)


BEFORE, AFTER = timedelta(milliseconds=-1), timedelta(0)


def test_a_key_posts_once_even_over_a_months_boundary(books: Books) -> None:
    key = fresh_key()
    with just(BEFORE):
        give(books.pool, 10)
        ledger.open_months()
        first = use([books.pool], 3, key=key)
    with just(AFTER):
        again = use([books.pool], 3, key=key)
        with pytest.raises(ledger.KeyReused):
            use([books.pool], 4, key=key)
        later = use([books.pool], 1)

    assert (again.first_id, again.is_replay, books.pool.balance) == (first.first_id, True, 6)
    assert (partition_of(first.entries[0]), partition_of(later.entries[0])) == ("credits_entry_2040_12", "credits_entry_2041_01")


def test_a_spend_does_not_fail_because_nobody_made_the_months_partition(books: Books) -> None:
    with just(AFTER):
        give(books.pool, 10)
        posted = use([books.pool], 3)
    assert partition_of(posted.entries[0]) == "credits_entry_default"
    assert books.pool.balance == 7


def test_what_came_before_its_partition_is_moved_into_it(books: Books) -> None:
    with just(BEFORE):
        give(books.pool, 10)
        december = use([books.pool], 3)
    with just(AFTER):
        january = use([books.pool], 3)
        ledger.open_months(ahead=0)

    assert partition_of(january.entries[0]) == "credits_entry_2041_01"
    assert partition_of(december.entries[0]) == "credits_entry_default"
    assert checks.audit() == []


def test_months_are_made_ahead_and_once(books: Books) -> None:
    with just(AFTER):
        assert (ledger.open_months(ahead=2), ledger.open_months(ahead=2)) == (3, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT public.credits_open_month(%s)", [date(2041, 3, 31)])
        assert cursor.fetchone() == (False,)


def test_this_month_and_the_next_two_are_there_from_the_start(books: Books) -> None:
    assert ledger.open_months(ahead=2) == 0


def test_an_allocation_posts_once_even_over_a_months_boundary(books: Books) -> None:
    client, key = books.client(), fresh_key()
    with just(BEFORE):
        give(books.pool, 6)
        give(books.pool, 4)
        ledger.open_months()
        first = ledger.allocate(pool=books.pool, wallet=client.wallet, amount=8, key=key, by=TESTS)
    with just(AFTER):
        again = ledger.allocate(pool=books.pool, wallet=client.wallet, amount=8, key=key, by=TESTS)
        with pytest.raises(ledger.KeyReused):
            ledger.allocate(pool=books.pool, wallet=client.wallet, amount=2, key=key, by=TESTS)
        back = ledger.reclaim(wallet=client.wallet, pool=books.pool, amount=8, key=fresh_key(), by=TESTS)

    assert (again.first_id, again.is_replay, len(again.entries)) == (first.first_id, True, 2)
    assert {partition_of(entry) for entry in first.entries} == {"credits_entry_2040_12"}
    assert {partition_of(entry) for entry in back.entries} == {"credits_entry_2041_01"}
    assert (books.pool.balance, client.wallet.balance) == (10, 0)


def test_a_void_finds_what_was_posted_in_another_month(books: Books) -> None:
    with just(BEFORE):
        give(books.pool, 10)
        use([books.pool], 3, key="reply in december")
    with just(AFTER):
        ledger.void(entry_key="reply in december", key="void in january", by=TESTS)
    assert books.pool.balance == 10
