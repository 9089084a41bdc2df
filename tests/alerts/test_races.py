"""Sweeps at once, and sweeps killed in the middle: nothing is lost, nothing is told twice."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from agency import notices
from agency.models import Agency, Membership, Notice, NoticeMail, Plan, User
from agency.notices import Word
from credits import ledger
from credits.models import LowBalance, Wallet
from kit.models import OutboxMessage
from subaccounts import alert_mails, alerts
from tests.alerts.conftest import alert_below, give, spend

ROOT = Path(__file__).resolve().parents[2]
CROSSINGS = 40
SWEEP = """
import sys, django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from subaccounts import alert_mails, alerts
deal_with = alerts._deal_with
def loudly(*arguments):
    done = deal_with(*arguments)
    print(done, flush=True)
    return done
alerts._deal_with = loudly
alerts.sweep()
alert_mails.send_due()
"""


@pytest.fixture
def agency(transactional_db: None) -> Iterator[Agency]:
    """An agency in rows that other connections see, whose pool fell below its threshold forty times."""
    for model in (LowBalance,):
        model.objects.filter(noticed_at=None).delete()
    owner = User.objects.create_user(email="races@alerts.example")
    made = Agency.objects.create(name="Races", slug="alert-races", plan=Plan.objects.first())
    Membership.objects.create(agency=made, user=owner, role="owner")
    ledger.open_wallets(Wallet.AGENCY, made.public_id)
    give(made.pool("credit"), 100)
    alert_below(made.pool("credit"), 50)
    for _ in range(CROSSINGS - 1):
        spend(made.pool("credit"), 60)
        give(made.pool("credit"), 60)
    spend(made.pool("credit"), 60)
    yield made
    NoticeMail.objects.filter(agency=made).delete()
    made.delete()
    owner.delete()


def at_once(count: int, function: object) -> None:
    def run() -> None:
        try:
            function()  # type: ignore[operator]
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check(agency: Agency) -> None:
    assert Notice.objects.filter(agency=agency).count() == CROSSINGS
    assert not LowBalance.objects.filter(wallet=agency.pool("credit"), noticed_at=None).exists()
    sent = NoticeMail.objects.get(agency=agency)
    assert sent.sent_at is not None
    assert OutboxMessage.objects.filter(key__startswith=f"notices:{sent.public_id}:").count() == 1


def test_eight_sweeps_at_once_tell_each_crossing_once(agency: Agency) -> None:
    at_once(8, alerts.sweep)
    at_once(8, alert_mails.send_due)
    check(agency)


def test_the_same_news_from_eight_threads_is_one_notice_in_one_mail(agency: Agency) -> None:
    word = Word("Races: something", "It happened.", "/credits/")

    def tell() -> None:
        notices.tell(agency=agency, audience=Notice.AGENCY, category="stopped", key="races", word=word)

    at_once(8, tell)

    assert Notice.objects.filter(agency=agency, key="races:agency").count() == 1
    assert NoticeMail.objects.filter(agency=agency).count() == 1


@pytest.mark.parametrize("series", range(3))
def test_a_sweep_killed_in_the_middle_loses_and_doubles_nothing(agency: Agency, series: int) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    worker = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(connection.settings_dict["NAME"])], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert worker.stdout is not None
    for _ in range(random.Random(series).randint(1, CROSSINGS - 5)):
        worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert 0 < Notice.objects.filter(agency=agency).count() < CROSSINGS, "the sweep was killed too late to show anything"

    for _ in range(2):
        alerts.sweep()
        alert_mails.send_due()

    check(agency)
