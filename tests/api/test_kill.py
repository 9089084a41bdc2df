"""A web process that is killed between spending and answering: whoever sends the same again learns what happened, and pays once."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from agency.models import KeptAnswer, User
from credits import checks
from credits.models import Entry
from subaccounts import opening
from tests.api.program import Program, key_of
from tests.cast import PLATFORM, TESTS
from tests.credits.conftest import give

ROOT = Path(__file__).resolve().parent.parent.parent
WORKER = """
import sys, django
django.setup()
from django.db import connection
connection.settings_dict["NAME"] = sys.argv[1]
from tests.api.program import Program

program, prefix, sub_account_id = Program(sys.argv[2]), sys.argv[3], sys.argv[4]
for number in range(200):
    body = {"sub_account": sub_account_id, "unit": "credit", "amount": 2}
    answer = program.call("POST", "/spends", body, once=f"{prefix}-{number}")
    assert answer.status_code == 201, answer.content
    print(number, answer.json()["id"], flush=True)
"""


def killed_in_the_middle(secret: str, sub_account_id: str, prefix: str, series: int) -> dict[int, str]:
    """Let a process spend, kill it after some of its 200 requests; the ids of those it had answered."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "API_WRITES_PER_MINUTE": "100000"}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, connection.settings_dict["NAME"], secret, prefix, sub_account_id],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(random.Random(series).randint(5, 40))]
    worker.send_signal(signal.SIGKILL)
    lines += worker.stdout.read().splitlines()
    worker.wait()
    return {int(number): id for number, id in (line.split() for line in lines)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", [0, *(pytest.param(number, marks=pytest.mark.long) for number in range(1, 9))])
def test_a_web_process_killed_in_the_middle_of_its_spends(settings: object, series: int) -> None:
    settings.API_WRITES_PER_MINUTE = 100_000  # type: ignore[attr-defined]
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@kill.example")
    agency = opening.open_agency(owner=owner, name="Kill", slug=f"kill-{uuid4().hex[:12]}", by=TESTS)
    client = agency.sub_accounts.get()
    give(client.wallet("credit"), 1000)
    before, key, prefix = client.wallet("credit").balance, key_of(agency), uuid4().hex

    answered = killed_in_the_middle(key.secret, str(client.public_id), prefix, series)

    assert 0 < len(answered) < 200, "it was killed too late or too early to show anything"
    stored = {str(id) for id in Entry.objects.filter(sub_account_id=client.public_id, kind="metered").values_list("id", flat=True)}
    assert set(answered.values()) <= stored
    assert KeptAnswer.objects.filter(api_key=key.row).count() == len(stored), "an answer without its spend, or a spend without its answer"
    program, sent = Program(key, PLATFORM), max(answered) + 2
    body = {"sub_account": str(client.public_id), "unit": "credit", "amount": 2}
    again = {number: program.call("POST", "/spends", body, once=f"{prefix}-{number}").json()["id"] for number in range(sent)}
    assert {number: again[number] for number in answered} == answered
    assert client.wallet("credit").balance == before - 2 * sent
    assert checks.audit() == []
