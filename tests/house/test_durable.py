"""Early release: locks first, the disk afterwards, the caller last."""

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from kit import durable
from kit.models import OutboxMessage


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def ask(sql: str, *params: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


@pytest.fixture(autouse=True)
def careful_server(transactional_db: None) -> Iterator[None]:
    """The tests' server commits without the disk; here it waits, as in production."""
    ask("SELECT set_config('synchronous_commit', 'on', false)")
    yield
    ask("SELECT set_config('synchronous_commit', 'off', false)")


class TestEarlyRelease:
    def test_its_commit_does_not_wait_and_the_next_one_does(self) -> None:
        with durable.early_release():
            assert setting("synchronous_commit") == "off"
        assert setting("synchronous_commit") == "on"

    def test_what_it_committed_is_on_disk_when_it_returns(self) -> None:
        committed: list[object] = []
        for _ in range(20):
            with durable.early_release():
                OutboxMessage.objects.create(topic="test", payload={})
                transaction.on_commit(lambda: committed.append(ask("SELECT pg_current_wal_insert_lsn()::text")))
            assert ask("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", committed[-1])

    def test_nothing_of_it_stays_when_it_fails(self) -> None:
        with pytest.raises(ZeroDivisionError), durable.early_release():
            OutboxMessage.objects.create(topic="never", payload={})
            raise ZeroDivisionError
        assert not OutboxMessage.objects.filter(topic="never").exists()
        assert setting("synchronous_commit") == "on"

    def test_inside_another_transaction_it_waits_with_that_one(self) -> None:
        with transaction.atomic():
            with durable.early_release():
                assert setting("synchronous_commit") == "on"
            with pytest.raises(ZeroDivisionError), durable.early_release():
                raise ZeroDivisionError
            assert ask("SELECT 1") == 1


def test_a_flush_returns_once_the_log_is_on_disk() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(durable.OFF)
        OutboxMessage.objects.create(topic="test", payload={})
    end = ask("SELECT pg_current_wal_insert_lsn()::text")
    durable.flush()
    assert ask("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", end)
