"""Sweeps at once, and sweeps killed in the middle: nothing is lost, nothing is told twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from django.db import connection, transaction

from agency import notices
from agency.models import Agency, Membership, Notice, NoticeMail, Plan, User
from agency.notices import Word
from credits import ledger
from credits.models import LowBalance, Wallet
from kit import clock
from kit.models import OutboxMessage
from subaccounts import alert_mails, alerts
from tests.alerts.conftest import alert_below, give, spend

ROOT = Path(__file__).resolve().parents[2]
CROSSINGS = 40
SWEEP = """
import sys, time, django
django.setup()
from django.db import connection, transaction
from agency import notices
from kit import mail
from subaccounts import alert_mails, alerts

connection.settings_dict["NAME"] = sys.argv[1]
module, name, left = {"tell": notices, "send": mail}[sys.argv[2]], sys.argv[2], int(sys.argv[3])
function = getattr(module, name)

def and_hang(**arguments):
    global left
    done, left = function(**arguments), left - 1
    if left == 0:
        print("in the middle", flush=True)
        time.sleep(120)
    return done

setattr(module, name, and_hang)
alerts.sweep()
alert_mails.send_due()
"""


@pytest.fixture
def agency(transactional_db: None) -> Iterator[Agency]:
    """An agency in rows that other connections see, whose pool fell below its threshold forty times."""
    LowBalance.objects.filter(noticed_at=None).update(noticed_at=clock.now())  # what other tests have left is not swept here
    owner = User.objects.create_user(email="races@alerts.example")
    with transaction.atomic():
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


def at_once(threads_wanted: int, function: Callable[[], object]) -> None:
    """Whatever goes wrong in a thread goes wrong in the test."""

    def run(_: int) -> None:
        try:
            function()
        finally:
            connection.close()

    with ThreadPoolExecutor(threads_wanted) as threads:
        list(threads.map(run, range(threads_wanted)))


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


def test_different_news_from_eight_threads_share_one_mail(agency: Agency) -> None:
    numbers = count()

    def tell() -> None:
        number = next(numbers)
        word = Word(f"Races: news {number}", "It happened.", "/credits/")
        notices.tell(agency=agency, audience=Notice.AGENCY, category="stopped", key=f"races:{number}", word=word)

    at_once(8, tell)

    mail = NoticeMail.objects.get(agency=agency)
    assert mail.notices.count() == 8


@pytest.mark.parametrize(("step", "number"), [("tell", 1), ("tell", 17), ("tell", CROSSINGS), ("send", 1)])
def test_a_sweep_killed_in_the_middle_of_a_row_loses_and_doubles_nothing(agency: Agency, step: str, number: int) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", SWEEP, str(connection.settings_dict["NAME"]), step, str(number)]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "in the middle\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert Notice.objects.filter(agency=agency).count() == (number - 1 if step == "tell" else CROSSINGS)
    assert not NoticeMail.objects.filter(agency=agency).exclude(sent_at=None).exists()

    for _ in range(2):
        with transaction.atomic():
            released(agency)
        alerts.sweep()
        alert_mails.send_due()

    check(agency)


def released(agency: Agency) -> None:
    """The server needs a moment to see that the killed one is gone, and keeps its rows locked until then."""
    list(LowBalance.objects.select_for_update().filter(wallet=agency.pool("credit")))
    list(NoticeMail.objects.select_for_update(of=("self",)).filter(agency=agency))
