"""A worker that is killed in the middle of its spends leaves books that are right and keys that can be repeated."""

import os
import random
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection

from credits import checks, ledger
from credits.models import Entry, PoolLimit
from kit import clock
from tests.credits.conftest import Books, fresh_key, give, limit, use

ROOT = Path(__file__).resolve().parent.parent.parent
PREPARE = """
import sys, django
django.setup()
from datetime import timedelta
from django.db import connection, transaction
from credits import ledger
from credits.models import Wallet
from kit import clock
from kit.actor import system

connection.settings_dict["NAME"] = sys.argv[1]
pool, prefix = Wallet.objects.get(pk=sys.argv[2]), sys.argv[3]
"""
SPENDS = """
for number in range(200):
    key = f"{prefix}-{number}"
    if number % 3 == 0:
        ledger.spend(sources=[pool], amount=2, key=key, kind="ai_reply", by=system("worker"))
    elif number % 3 == 1:
        ledger.spend_many(sources=[pool], uses=[ledger.Use(key, 2)], kind="ai_reply", by=system("worker"))
    else:
        with transaction.atomic():
            ledger.spend(sources=[pool], amount=2, key=key, kind="ai_reply", by=system("worker"))
    print(key, flush=True)
"""
HOLDS = """
for number in range(200):
    key = f"{prefix}-{number}"
    hold = ledger.hold(
        sources=[pool], amount=2, key=key, kind="ai_reply", by=system("worker"), expires_at=clock.now() + timedelta(minutes=5)
    )
    with transaction.atomic():
        ledger.commit(hold=hold, by=system("worker"))
    print(key, flush=True)
"""

BATCHES = """
own = Wallet.objects.get(pk=sys.argv[4])
for number in range(0, 200):
    uses = [ledger.Use(f"{prefix}-{number}", 1), ledger.Use(f"{prefix}-{number}b", 1)]
    ledger.spend_many(sources=[own, pool], uses=uses, kind="ai_reply", by=system("worker"))
    print(uses[0].key, flush=True)
"""


def killed_in_the_middle(code: str, books: Books, prefix: str, series: int, own: str = "") -> list[str]:
    """Run the worker, kill it after some of its 200 deeds; the keys it had acknowledged."""
    worker = subprocess.Popen(
        [sys.executable, "-c", PREPARE + code, connection.settings_dict["NAME"], str(books.pool.pk), prefix, own],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )  # fmt: skip
    assert worker.stdout is not None
    acknowledged = [worker.stdout.readline().strip() for _ in range(random.Random(series).randint(1, 120))]
    worker.send_signal(signal.SIGKILL)
    acknowledged += worker.stdout.read().split()
    worker.wait()
    assert 0 < len(acknowledged) < 200, "the worker was killed too late or too early to show anything"
    written = set(Entry.objects.filter(agency_id=books.agency, key__startswith=prefix).values_list("key", flat=True))
    assert set(acknowledged) <= written
    return acknowledged


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", range(12))
def test_a_worker_killed_in_the_middle_of_its_spends(committed_books: Books, series: int) -> None:
    prefix = fresh_key("killed")
    give(committed_books.pool, 1000)

    killed_in_the_middle(SPENDS, committed_books, prefix, series)

    assert checks.audit() == []
    for number in range(200):
        use([committed_books.pool], 2, key=f"{prefix}-{number}")
    assert committed_books.pool.balance == 1000 - 400
    assert checks.audit() == []


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", range(12))
def test_j06_a_worker_killed_between_reserving_and_paying_leaves_nothing_reserved(committed_books: Books, series: int) -> None:
    prefix = fresh_key("killed")
    give(committed_books.pool, 1000)

    killed_in_the_middle(HOLDS, committed_books, prefix, series)
    with time_machine.travel(clock.now() + timedelta(minutes=6), tick=False):
        ledger.expire_due()

    paid = Entry.objects.filter(agency_id=committed_books.agency, key__startswith=prefix).count()
    assert (committed_books.pool.balance, committed_books.pool.held) == (1000 - 2 * paid, 0)
    assert checks.audit() == []


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", range(12))
def test_a_worker_killed_in_a_batch_leaves_its_clients_limit_right(committed_books: Books, series: int) -> None:
    prefix, client = fresh_key("killed"), committed_books.client()
    give(committed_books.pool, 1000)
    limit(client, 500)

    killed_in_the_middle(BATCHES, committed_books, prefix, series, own=str(client.wallet.pk))

    written = Entry.objects.filter(sub_account_id=client.id).count()
    assert PoolLimit.objects.get(pk=client.wallet.pk).used == written == 1000 - committed_books.pool.balance
    assert checks.audit() == []
