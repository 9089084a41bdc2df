"""What a spend costs that comes through the API: key, limit, kept answer and all, beside the same spend by a call of the service.

Each figure is a ratio of two rates measured in one run on one server, alternately, the median of the rounds; and what is lost when
PostgreSQL is killed under programs that spend.

    bin/bench api        (ROUNDS=3 SECONDS=3 by default)
"""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from statistics import median
from threading import Thread
from time import perf_counter, sleep
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks import ledger as base
from benchmarks.figures import Figures
from config.embedded import Embedded

PROCESSES = 8
BATCH = 100
KILLS = 4
BUSY = {"API_WRITES_PER_MINUTE": "100000000", "PYTHONWARNINGS": "ignore:No directory at", "LOG_LEVEL": "WARNING"}


def prepare() -> tuple[str, str]:
    """An agency with a pool that lasts; its key and the id of its own sub-account."""
    import django

    django.setup()
    from django.db import connection

    from agency import api_keys
    from agency.models import User
    from credits import ledger
    from kit.actor import system
    from subaccounts import opening

    by = system("benchmark")
    ledger.open_months()
    owner = User.objects.create_user(email="owner@bench.example")
    agency = opening.open_agency(owner=owner, name="Bench", slug="bench", by=by)
    client = agency.sub_accounts.get()
    ledger.grant(to=client.wallet("credit"), amount=1_000_000_000, source="purchase", key="bench", by=by)
    secret = api_keys.make(agency=agency, name="Bench", scopes=["credits:spend"], by=by).secret
    connection.close()
    return secret, str(client.public_id)


def _program(secret: str) -> Callable[[str, dict[str, Any]], bool]:
    import json

    from django.conf import settings
    from django.test import Client

    client = Client(headers={"host": settings.BASE_DOMAIN, "authorization": f"Bearer {secret}"})

    def send(path: str, body: dict[str, Any]) -> bool:
        headers = {"idempotency-key": body.pop("once", "") or str(uuid4())}
        answer = client.post(f"/api/v1{path}", json.dumps(body), content_type="application/json", headers=headers)
        return answer.status_code == 201

    return send


def _work(way: str, secret: str, sub_account_id: str, start: Any, seconds: float, counts: Any) -> None:
    import django

    django.setup()
    from django.db import connection

    from kit import durable
    from kit.actor import system
    from subaccounts import metering
    from subaccounts.models import SubAccount

    by, send = system("benchmark"), _program(secret)
    sub_account = SubAccount.objects.select_related("agency__plan").get(public_id=sub_account_id)

    def service() -> int:
        with durable.early_release():
            charge = metering.Charge("metered", "credit", 1)
            metering.spend(sub_account=sub_account, charge=charge, about=metering.About(), key=str(uuid4()), by=by)
        return 1

    def through() -> int:
        return int(send("/spends", {"sub_account": sub_account_id, "unit": "credit", "amount": 1}))

    def batch() -> int:
        return BATCH * send("/spends/batch", {"sub_account": sub_account_id, "unit": "credit", "uses": [{"amount": 1}] * BATCH})

    deed = {"service": service, "API": through, "API, batches": batch}[way]
    deed()
    start.wait()
    count, end = 0, perf_counter() + seconds
    while perf_counter() < end:
        count += deed()
    counts.put(count)
    connection.close()


def rate(way: str, secret: str, sub_account_id: str) -> float:
    spawn = get_context("spawn")
    start, counts = spawn.Barrier(PROCESSES), spawn.Queue()
    arguments = (way, secret, sub_account_id, start, base.SECONDS, counts)
    workers = [spawn.Process(target=_work, args=arguments) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    total = sum(counts.get(timeout=180) for _ in workers)
    for worker in workers:
        worker.join()
    return total / base.SECONDS


def _spend_until_killed(secret: str, sub_account_id: str, kill: int, acknowledged: list[str]) -> None:
    from django.db import connection
    from django.db.utils import InterfaceError, OperationalError

    send = _program(secret)
    with suppress(OperationalError, InterfaceError):
        while True:
            once = f"{kill}-{uuid4()}"
            if not send("/spends", {"once": once, "sub_account": sub_account_id, "unit": "credit", "amount": 1, "reference": once}):
                break
            acknowledged.append(once)
    connection.close()


def lost_in_kills() -> tuple[int, int, int]:
    """Acknowledged spends that were gone after kill -9 of PostgreSQL, answers kept without their spend or the reverse, and how many
    were acknowledged in all.
    """
    from django.conf import settings
    from django.db import connection

    server = Embedded("bench-api-kill")
    server.start()
    acknowledged: list[str] = []
    before = dict(connection.settings_dict)
    try:
        os.environ["DATABASE_URL"] = server.database_url
        base.make_database()
        target = base.url()
        found = psycopg.conninfo.conninfo_to_dict(target)
        connection.settings_dict.update(
            NAME=found["dbname"],
            HOST=found.get("host", ""),
            PORT=found.get("port", ""),
            USER=found.get("user", ""),
            PASSWORD=found.get("password", ""),
        )
        settings.API_WRITES_PER_MINUTE = 100_000_000
        secret, sub_account_id = prepare()
        for kill in range(KILLS):
            threads = [Thread(target=_spend_until_killed, args=(secret, sub_account_id, kill, acknowledged)) for _ in range(PROCESSES)]
            for thread in threads:
                thread.start()
            sleep(1 + kill * 0.5)
            base.kill_postgres(server.data)
            for thread in threads:
                thread.join()
            server.start()
        with psycopg.connect(target) as plain:
            kept = plain.execute("SELECT count(*) FROM credits_entry WHERE reference = ANY (%s)", [acknowledged]).fetchone()
            spent = plain.execute("SELECT count(*) FROM credits_entry WHERE kind = 'metered'").fetchone()
            answers = plain.execute("SELECT count(*) FROM agency_keptanswer WHERE status = 201").fetchone()
    finally:
        connection.settings_dict.update(before)
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
    if not kept or not spent or not answers:
        raise SystemExit("PostgreSQL does not say what is there")
    return len(acknowledged) - kept[0], abs(spent[0] - answers[0]), len(acknowledged)


def main() -> int:
    figures = Figures()
    os.environ.update(BUSY)
    server = os.environ["DATABASE_URL"]
    base.make_database()
    secret, sub_account_id = prepare()
    base.wait_like(base.CLOUD)
    measured: dict[str, list[float]] = {"service": [], "API": [], "API, batches": []}
    for _ in range(base.ROUNDS):
        for way, values in measured.items():
            values.append(rate(way, secret, sub_account_id))
    rates = {way: median(values) for way, values in measured.items()}
    for way, value in rates.items():
        figures.note(f"{PROCESSES} processes on one wallet, 1 ms flush, {way}", value, "spends a second")
    # A request adds the key, the limit, the scope, the kept answer and JSON: about a dozen queries to the three of the service.
    figures.at_least("spends through the API ÷ through the service", rates["API"] / rates["service"], 0.2)
    figures.at_least(f"in batches of {BATCH} through the API ÷ through the service", rates["API, batches"] / rates["service"], 3)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {base.DATABASE} WITH (FORCE)".encode())

    lost, torn, acknowledged = lost_in_kills()
    figures.note("acknowledged spends in the kills", acknowledged)
    figures.at_most(f"acknowledged spends lost in {KILLS} kill -9 of PostgreSQL", lost, 0, "")
    figures.at_most("answers kept without their spend, or spends without their answer", torn, 0, "")
    return figures.status()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main())
