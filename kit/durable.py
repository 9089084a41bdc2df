"""Transactions that give back their row locks before the disk has them, and return only when it has."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

OFF = "SET LOCAL synchronous_commit = off"


@contextmanager
def early_release() -> Iterator[None]:
    """One transaction; also a decorator. Its locks are free once it is committed in memory, so a row that many want is not kept
    over a wait for the disk; the caller goes on once it is on disk, so what is acknowledged is never lost.

    Between the two, others may read what a crash would undo. They lose nothing: whatever they commit comes after it in the
    log, so it is on disk only together with it. Inside another transaction it is a plain savepoint of that one.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with transaction.atomic():
        _execute(OFF)
        yield
    flush()


def flush() -> None:
    """Return once everything that was committed before is on disk: for answers that repeat what another call may have just written."""
    _execute("SELECT pg_logical_emit_message(false, 'canopy', '', true)")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
