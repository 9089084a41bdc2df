"""J06: a process killed in the middle of replies leaves no reply without its credit and no credit without its reply."""

import os
import random
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import time_machine
from django.db import connection

from credits import checks, ledger
from credits.models import Entry
from kit import clock
from subaccounts.models import DailyFigures, SubAccount
from subaccounts.tenancy import enter
from tests.workspace.test_contention import bot, nothing_is_held, own
from workspace import replies, visitors
from workspace.models import Chatbot, Message

__all__ = ["bot", "own"]

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = 60
WORKER = """
import sys, django
django.setup()
from uuid import UUID
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from workspace import replies, visitors
from workspace.models import Chatbot

sub_account = SubAccount.objects.get(pk=sys.argv[2])
with enter(sub_account):
    bot, visitor = Chatbot.objects.get(), visitors.meet(sub_account, visitors.hashed("visitor"))
    for number in range(int(sys.argv[3])):
        replies.reply(sub_account=sub_account, chatbot=bot, contact=visitor, message_id=UUID(int=number), text="What are your opening hours?")
        print(number, flush=True)
"""


@pytest.mark.long
@pytest.mark.parametrize("series", range(12))
def test_j06_killed_in_the_middle_of_replies(own: SubAccount, bot: Chatbot, series: int) -> None:
    command = [sys.executable, "-c", WORKER, connection.settings_dict["NAME"], str(own.pk), str(QUESTIONS)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout is not None
    answered = [int(worker.stdout.readline()) for _ in range(random.Random(series).randint(1, QUESTIONS - 15))]
    worker.send_signal(signal.SIGKILL)
    answered += [int(line) for line in worker.stdout.read().split()]
    worker.wait()
    assert 0 < len(answered) < QUESTIONS, "the worker was killed too late or too early to show anything"
    agree(own, at_least=len(answered))

    with time_machine.travel(clock.now() + replies.HELD_FOR + timedelta(minutes=1)):
        ledger.expire_due()
        assert nothing_is_held(own)
        with enter(own):
            visitor = visitors.meet(own, visitors.hashed("visitor"))
            for number in range(QUESTIONS):  # the browser tries again with the same ids
                told = replies.reply(
                    sub_account=own, chatbot=bot, contact=visitor, message_id=UUID(int=number), text="What are your opening hours?"
                )
                assert told.message is not None
    agree(own, at_least=QUESTIONS)
    with enter(own):
        assert Message.objects.count() == 2 * QUESTIONS
    assert nothing_is_held(own)
    assert checks.audit() == []


def agree(own: SubAccount, *, at_least: int) -> None:
    """As many replies as entries that paid for them, one each, and as many as the figures say."""
    with enter(own):
        paid_by = sorted(Message.objects.filter(role=Message.BOT).values_list("entry_key", flat=True))
    entries = sorted(Entry.objects.filter(sub_account_id=own.public_id, kind="ai_reply").values_list("key", flat=True))
    assert paid_by == entries
    assert len(entries) >= at_least
    assert sum(DailyFigures.objects.filter(sub_account=own).values_list("replies", flat=True)) == len(entries)
