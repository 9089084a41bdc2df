"""A worker that is killed in the middle of its spends leaves books that are right and keys that can be repeated."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from credits import checks
from credits.models import Entry
from tests.credits.conftest import Books, fresh_key, give, use

ROOT = Path(__file__).resolve().parent.parent.parent
WORKER = """
import sys, django
django.setup()
from django.db import connection, transaction
from credits import ledger
from credits.models import Wallet
from kit.actor import system

connection.settings_dict["NAME"] = sys.argv[1]
pool, prefix = Wallet.objects.get(pk=sys.argv[2]), sys.argv[3]
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


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", range(12))
def test_a_worker_killed_in_the_middle_of_its_spends(committed_books: Books, series: int) -> None:
    pool, prefix = committed_books.pool, fresh_key("killed")
    give(pool, 1000)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, connection.settings_dict["NAME"], str(pool.pk), prefix],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )  # fmt: skip
    assert worker.stdout is not None
    acknowledged = [worker.stdout.readline().strip() for _ in range(random.Random(series).randint(1, 120))]
    worker.send_signal(signal.SIGKILL)
    acknowledged += worker.stdout.read().split()
    worker.wait()

    written = set(Entry.objects.filter(agency_id=committed_books.agency, key__startswith=prefix).values_list("key", flat=True))
    assert set(acknowledged) <= written
    assert 0 < len(acknowledged) < 200, "the worker was killed too late or too early to show anything"
    assert checks.audit() == []

    for number in range(200):
        use([pool], 2, key=f"{prefix}-{number}")
    assert committed_books.pool.balance == 1000 - 400
    assert checks.audit() == []
