"""Servers and workers dying under load. Each storm has a PostgreSQL and a Redis of its own and ends only what it started."""

import http.client
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.embedded import Embedded
from tests.house.server import Server

pytestmark = pytest.mark.long

MAILS = 2000
KILLS = 15


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Embedded, Server]]:
    servers = Embedded(f"storm-{os.getpid()}")
    servers.start()
    server = Server(
        tmp_path, servers, CANOPY_ENV="development", MAILBOX_DIR=str(tmp_path / "mail"), SMTP_HOST="", BASE_DOMAIN="localhost:8000"
    )
    server.migrate()
    yield servers, server
    server.close()
    servers.stop()
    servers.erase()


def count(server: Server, where: str) -> int:
    with psycopg.connect(server.environment["DATABASE_URL"], autocommit=True) as database:
        row = database.execute(f"SELECT count(*) FROM kit_outboxmessage WHERE {where}".encode()).fetchone()
    return int(row[0]) if row else -1


def received(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for file in folder.glob("*.log"):
        found.update(re.findall(r"^Message-ID: <outbox-(\d+)@", file.read_text(errors="replace"), re.MULTILINE))
    return found


PUT = """
import django; django.setup()
from django.db import transaction
from kit import mail
from django.core.mail import EmailMessage
for batch in range(%d):
    with transaction.atomic():
        for n in range(50):
            mail.send_message(EmailMessage("Hello", "text", None, ["paul@acme-plumbing.example"]), key=f"storm-{batch}-{n}")
"""


def put_mails(server: Server, how_many: int) -> None:
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", PUT % (how_many // 50)], env=environment, check=True, capture_output=True)


def test_killed_workers_and_a_dying_redis_lose_no_mail(machine, tmp_path):
    """R01, R02: 15 × kill -9 of the worker and 5 of Redis while 2,000 mails leave; each arrives."""
    servers, server = machine
    chance = random.Random(20261120)
    worker = server.start("worker")
    server.start("beat")
    filling = threading.Thread(target=put_mails, args=(server, MAILS))
    filling.start()
    for kill in range(KILLS):
        time.sleep(chance.uniform(3.0, 6.0))
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        if kill % 3 == 0:
            os.kill(int(servers.redis_pid.read_text()), signal.SIGKILL)
            servers._start_redis()
        worker = server.start("worker")
    filling.join()
    last_kill = time.monotonic()
    while count(server, "delivered_at IS NULL"):
        assert time.monotonic() - last_kill < 120, (count(server, "delivered_at IS NULL"), server.log())
        time.sleep(0.5)

    arrived = received(tmp_path / "mail")
    assert count(server, "delivered_at IS NOT NULL") == MAILS
    assert count(server, "given_up_at IS NOT NULL") == 0
    assert len(arrived) == MAILS, "a mail was lost"
    # Between handing a mail over and committing that it left there is a moment nobody can close; the Message-ID tells the two apart.
    assert sum(arrived.values()) - MAILS <= KILLS * 4


class Load:
    """Visitors asking for the sign-in page until told to stop; remembers status and time of every answer."""

    def __init__(self, port: int, visitors: int = 4) -> None:
        self.answers: list[tuple[float, int]] = []
        self.port = port
        self.is_over = threading.Event()
        self.visitors = [threading.Thread(target=self._ask) for _ in range(visitors)]

    def __enter__(self) -> "Load":
        for visitor in self.visitors:
            visitor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for visitor in self.visitors:
            visitor.join()

    def _ask(self) -> None:
        while not self.is_over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("GET", "/sign-in/", headers={"Host": "localhost:8000", "Connection": "close"})
                status = connection.getresponse().status
            except OSError:
                status = 0
            finally:
                connection.close()
            self.answers.append((time.monotonic(), status))
            time.sleep(0.02)

    def seen(self) -> set[int]:
        return {status for _, status in self.answers}


def test_a_restarting_postgresql_is_503_and_then_well_again(machine):
    """R03: five immediate restarts under load; never a 500, and pages again within two seconds of PostgreSQL accepting."""
    servers, server = machine
    server.start("web")
    server.wait_for((200, "ok"), "/healthz")
    returns = []
    with Load(server.port) as load:
        for _ in range(5):
            time.sleep(2)
            servers._postgres("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(servers.data))
            time.sleep(0.5)
            servers._start_postgres()
            accepting = time.monotonic()
            time.sleep(4)
            returns.append(next(at for at, status in load.answers if at > accepting and status == 200) - accepting)

    assert load.seen() <= {200, 503}, Counter(status for _, status in load.answers)
    assert 200 in load.seen()
    assert max(returns) <= 2.0, returns
    late = [status for at, status in load.answers if at > accepting + 2]
    assert set(late) == {200}


def test_a_dying_redis_leaves_the_pages_up(machine):
    """R02: five kills of Redis under load; no page fails."""
    servers, server = machine
    server.start("web")
    server.wait_for((200, "ok"), "/healthz")
    with Load(server.port) as load:
        for _ in range(5):
            time.sleep(1)
            os.kill(int(servers.redis_pid.read_text()), signal.SIGKILL)
            time.sleep(1)
            servers._start_redis()

    assert load.seen() == {200}, Counter(status for _, status in load.answers)
