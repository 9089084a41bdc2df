"""How fast credits are spent from one pool that all clients of an agency share.

Each figure is a ratio of two rates measured in one run on one server, alternately, the median of the rounds: what a
machine can do differs, what a design costs does not. pgbench drives the SQL, processes of ours the Django service.

    bin/bench ledger        (ROUNDS=3 SECONDS=3 ENTRIES=1000000 by default)
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg

from benchmarks.figures import Figures
from config import embedded
from config.embedded import Embedded
from kit import durable

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = float(os.environ.get("SECONDS", "3"))
ENTRIES = int(os.environ.get("ENTRIES", "1000000"))
DATABASE = "canopy_bench_ledger"
CLIENTS = 8
PROCESSES = 16
POOLS = 64
KILLS = 12

# Where a commit waits: not at all, as for a disk in memory; or for a flush of a millisecond, as on a cloud's disk.
MEMORY = {"synchronous_commit": "off", "commit_delay": "0"}
CLOUD = {"synchronous_commit": "on", "commit_delay": "1000", "commit_siblings": "0"}

ENTRY = """INSERT INTO {table} (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence, to_wallet_id, agency_id,
    sub_account_id, contact, campaign, bot, own_key, reference, memo, by_kind, by_id, by_label, on_behalf_of)
    VALUES (uuidv7(), gen_random_uuid()::text, clock_timestamp(), 'ai_reply', 'credit', 1, {wallet}, 1, 1, public.credits_book('used', 'credit'),
    {wallet}, {wallet}, 'Pat Jones', '', 'Front desk', false, '', '', 'system', '', 'benchmark', '');"""
MESSAGE = "INSERT INTO bench_message (id, conversation_id, at, text) VALUES (uuidv7(), gen_random_uuid(), now(), repeat('word ', 40));"
ARGUMENTS = """ARRAY[{wallet}]::uuid[], 1, gen_random_uuid()::text, gen_random_uuid(), uuidv7(), clock_timestamp(), {until}
    'ai_reply', {wallet}, 'Pat Jones', '', 'Front desk', false, '', '', 'system', '', 'benchmark', ''"""
ONE = "(:pool)::uuid"
ANY = "md5('pool ' || random(1, :pools))::uuid"

SCRIPTS = {
    "bare insert": ENTRY.format(table="bench_entry", wallet=ONE),
    "ORM style": f"""BEGIN;
        SELECT id, balance FROM bench_wallet WHERE id = {ONE} FOR UPDATE;
        UPDATE bench_wallet SET balance = balance - 1 WHERE id = {ONE};
        {ENTRY.format(table="bench_entry", wallet=ONE)}
        COMMIT;""",
    "one function": f"SELECT outcome FROM public.credits_draw({ARGUMENTS.format(wallet=ONE, until='NULL,')});",
    "64 pools": f"SELECT outcome FROM public.credits_draw({ARGUMENTS.format(wallet=ANY, until='NULL,')});",
    "early release": f"CALL public.credits_spend_alone({ARGUMENTS.format(wallet=ONE, until='')}, NULL, NULL, NULL);",
    "batch of 100": f"""SELECT count(*) FROM public.credits_draw_many(ARRAY[{ONE}]::uuid[], array_fill(1::bigint, ARRAY[100]),
        ARRAY(SELECT gen_random_uuid()::text FROM generate_series(1, 100)), ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 100)),
        ARRAY(SELECT uuidv7() FROM generate_series(1, 100)), array_fill('Pat Jones'::text, ARRAY[100]), array_fill(''::text, ARRAY[100]),
        clock_timestamp(), 'campaign_message', {ONE}, 'Spring offer', '', '', 'system', '', 'benchmark', '');""",
    "message, ORM style": f"""BEGIN;
        {MESSAGE}
        SELECT id, balance FROM bench_wallet WHERE id = {ONE} FOR UPDATE;
        UPDATE bench_wallet SET balance = balance - 1 WHERE id = {ONE};
        {ENTRY.format(table="bench_entry", wallet=ONE)}
        COMMIT;""",
    "message, plain function": f"""BEGIN;
        {MESSAGE}
        SELECT outcome FROM public.credits_draw({ARGUMENTS.format(wallet=ONE, until="NULL,")});
        COMMIT;""",
    "message, early release": f"""BEGIN;
        {durable.OFF};
        {MESSAGE}
        SELECT outcome FROM public.credits_draw({ARGUMENTS.format(wallet=ONE, until="NULL,")});
        COMMIT;
        SELECT pg_logical_emit_message(false, 'canopy', '', true);""",
    "early release, 64 pools": f"CALL public.credits_spend_alone({ARGUMENTS.format(wallet=ANY, until='')}, NULL, NULL, NULL);",
}


def url() -> str:
    """The benchmark's own database on the server of DATABASE_URL."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{DATABASE}")) if parts.netloc else f"{parts.scheme}:///{DATABASE}?{parts.query}"


def pgbench() -> str:
    found = shutil.which("pgbench")
    return found or str(embedded._postgres_binaries() / "pgbench")


def execute(sql: str) -> None:
    with psycopg.connect(url(), autocommit=True) as connection:
        connection.execute(sql.encode())


def make_database() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
    os.environ["DATABASE_URL"] = url()
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"], check=True)


def wait_like(storage: dict[str, str]) -> None:
    """Every connection from now on commits like this."""
    for name, value in storage.items():
        execute(f"ALTER DATABASE {DATABASE} SET {name} = '{value}'")
    with psycopg.connect(url()) as connection:
        seen = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in storage}
    if any(found != (storage[name],) for name, found in seen.items()):
        raise SystemExit(f"the server does not wait as asked: {seen}")


def fill(pool: str, pools: list[str]) -> None:
    """The pools, each with one grant that lasts for the whole run, and the plain tables that others are measured on."""
    execute(f"""
        INSERT INTO credits_wallet (id, owner_kind, owner_id, agency_id, unit_id, balance, held, sequence)
            SELECT id, 'agency', id, id, 'credit', 1000000000, 0, 1 FROM unnest('{{{",".join([pool, *pools])}}}'::uuid[]) AS id;
        INSERT INTO credits_grant (id, wallet_id, source, priority, transferable, amount, remaining, held, created_at)
            SELECT gen_random_uuid(), id, 'plan', 30, true, 1000000000, 1000000000, 0, now() FROM credits_wallet WHERE owner_kind = 'agency';
        CREATE TABLE bench_wallet (id uuid PRIMARY KEY, balance bigint CHECK (balance >= 0)) WITH (fillfactor = 50);
        INSERT INTO bench_wallet SELECT id, balance FROM credits_wallet WHERE owner_kind = 'agency';
        CREATE TABLE bench_message (id uuid PRIMARY KEY, conversation_id uuid, at timestamptz, text text);
        CREATE INDEX ON bench_message (conversation_id, at);
        CREATE TABLE bench_entry (LIKE credits_entry INCLUDING CONSTRAINTS);
        ALTER TABLE bench_entry ADD PRIMARY KEY (id);
        CREATE INDEX ON bench_entry (agency_id, id);
        CREATE INDEX ON bench_entry (sub_account_id, id);
        CREATE INDEX ON bench_entry (from_wallet_id, from_sequence);
        CREATE INDEX ON bench_entry (key);
    """)


def rate(script: Path, pool: str) -> float:
    """Transactions per second of `CLIENTS` connections."""
    command = [pgbench(), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(max(1, round(SECONDS)))]
    command += ["-D", f"pool={pool}", "-D", f"pools={POOLS}", "-f", str(script), url()]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", result.stdout)
    if found is None or "number of failed transactions: 0 " not in result.stdout:
        raise SystemExit(f"{script.stem} failed: {result.stderr[-1000:]}")
    return float(found[1])


def rates(names: list[str], pool: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        scripts = {name: Path(folder) / f"{name}.sql" for name in names}
        for name, path in scripts.items():
            # pgbench takes one statement per semicolon and wants each on lines of its own.
            path.write_text(re.sub(r";\s*", ";\n", " ".join(SCRIPTS[name].split())))
        measured: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                measured[name].append(rate(scripts[name], pool))
    return {name: median(values) for name, values in measured.items()}


# --- Through Django -----------------------------------------------------------------------------------------------------


def _work(way: str, pool_id: str, start: Any, seconds: float, counts: Any) -> None:
    import django

    django.setup()
    from django.db import connection, transaction

    from credits import ledger
    from credits.models import Entry, Wallet
    from kit import clock
    from kit.actor import system
    from kit.ids import uuid7

    by = system("benchmark")
    pool = Wallet.objects.get(pk=pool_id)
    common: dict[str, Any] = {"contact": "Pat Jones", "bot": "Front desk"}

    def naive() -> None:
        with transaction.atomic():
            wallet = Wallet.objects.select_for_update().get(pk=pool_id)
            wallet.balance -= 1
            wallet.save(update_fields=["balance"])
            Entry.objects.create(
                key=str(uuid7()), at=clock.now(), kind="ai_reply", unit_id="credit", amount=1, from_wallet=wallet, from_balance=wallet.balance,
                to_wallet_id=ledger.book("used", "credit"), agency_id=wallet.agency_id, by_kind="system", by_label="benchmark", **common,
            )  # fmt: skip

    def service() -> None:
        ledger.spend(sources=[pool], amount=1, key=str(uuid7()), kind="ai_reply", by=by, **common)

    def alone() -> None:
        ledger.spend_alone(sources=[pool], amount=1, key=str(uuid7()), kind="ai_reply", by=by, **common)

    deed: Callable[[], None] = {"naive ORM": naive, "service": service, "service, early release": alone}[way]
    deed()
    start.wait()
    count, end = 0, perf_counter() + seconds
    while perf_counter() < end:
        deed()
        count += 1
    counts.put(count)
    connection.close()


def django_rate(way: str, pool: str) -> float:
    spawn = get_context("spawn")
    start, counts = spawn.Barrier(PROCESSES), spawn.Queue()
    workers = [spawn.Process(target=_work, args=(way, pool, start, SECONDS, counts)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    total = sum(counts.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    return total / SECONDS


# --- The statement ------------------------------------------------------------------------------------------------------


def fill_statement(pool: str) -> None:
    """One pool with `ENTRIES` lines in this month's partition, spread over a fortnight, 500 clients, 5,000 contacts and 30 campaigns.

    One in a thousand is a grant, one in 5,000 a call; the last tenth has no premium minute, so that looking for one goes far.
    """
    execute(f"""
        SET synchronous_commit = off;
        INSERT INTO credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence, to_wallet_id, agency_id,
            sub_account_id, contact, campaign, bot, own_key, reference, memo, by_kind, by_id, by_label, on_behalf_of)
        SELECT uuidv7(make_interval(secs => -(({ENTRIES} - n)::float * 1209600 / {ENTRIES}))), 'filled ' || n, now(),
            CASE WHEN n % 1000 = 0 THEN 'grant' WHEN n % 5000 = 1 THEN 'call' WHEN n % 3 = 0 THEN 'campaign_message' ELSE 'ai_reply' END,
            CASE WHEN n % 700 = 1 AND n < {ENTRIES} * 0.9 THEN 'premium_minute' ELSE 'credit' END, 1,
            '{pool}', 1, n, public.credits_book('used', 'credit'), '{pool}', md5('client ' || n % 500)::uuid, 'Pat Jones ' || n % 5000,
            CASE WHEN n % 3 = 0 THEN 'Spring offer ' || n % 30 ELSE '' END, 'Front desk',
            n % 40 = 0, '', '', 'system', '', 'benchmark', ''
        FROM generate_series(1, {ENTRIES}) AS n;
        UPDATE credits_wallet SET sequence = {ENTRIES} WHERE id = '{pool}';
    """)
    execute("VACUUM ANALYZE credits_entry")


def statement_milliseconds(pool_id: str) -> dict[str, float]:
    """Database time (planning and execution) of pages of each filter, the newest and in the middle; medians of 20."""
    import django

    django.setup()
    from django.db import connection

    from credits import statement
    from credits.models import Entry, Wallet
    from kit.ids import moment_of

    pool = Wallet.objects.get(pk=pool_id)
    agency = pool.agency_id
    assert agency is not None
    middle, last = (
        Entry.objects.filter(agency_id=agency, from_sequence=number).values_list("pk", flat=True)[0] for number in (ENTRIES // 2, 60)
    )
    client = Entry.objects.get(pk=middle).sub_account_id
    old = {"since": moment_of(last), "until": moment_of(middle)}
    wishes = {
        "everything": statement.Wish(),
        "a client": statement.Wish(client=client),
        "days": statement.Wish(**old),
        "a contact": statement.Wish(contact="Pat Jones 77"),
        "a campaign": statement.Wish(campaign="Spring offer 9"),
        "a kind there is much of": statement.Wish(kind="campaign_message"),
        "a kind there is little of": statement.Wish(kind="call"),
        "grants": statement.Wish(kind="grant"),
        "own AI key": statement.Wish(own_key=True),
        "without own AI key": statement.Wish(own_key=False),
        "a unit": statement.Wish(unit="premium_minute"),
        "the pool": statement.Wish(wallet=statement.POOL),
        "own wallets, of which there are none": statement.Wish(wallet=statement.OWN),
        "a client and own wallets": statement.Wish(client=client, wallet=statement.OWN),
        "a contact of a client": statement.Wish(contact="Pat Jones 77", client=client),
        "all filters": statement.Wish(
            client=client, kind="call", unit="credit", wallet="pool", campaign="Spring offer 9", contact="Pat Jones 9", own_key=False, **old
        ),
    }
    pages: dict[str, Callable[[], object]] = {}
    for name, wish in wishes.items():
        pages[f"{name}, newest"] = partial(statement.page, agency, wish)
        pages[f"{name}, middle"] = partial(statement.page, agency, wish, before=middle)
    pages["everything, end"] = partial(statement.page, agency, statement.Wish(), before=last)
    pages["everything, newer ones"] = partial(statement.page, agency, statement.Wish(), after=middle)
    pages["by sequence, newest"] = partial(statement.of_wallet, pool)
    pages["by sequence, end"] = partial(statement.of_wallet, pool, before=60)
    spent: list[float] = []

    def explained(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        run(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params, many, context)
        plan = context["cursor"].fetchone()[0][0]
        spent.append(plan["Planning Time"] + plan["Execution Time"])
        return run(sql, params, many, context)

    medians = {}
    with connection.execute_wrapper(explained):
        for name, page in pages.items():
            runs = []
            for _ in range(20):
                spent.clear()
                page()
                runs.append(sum(spent))
            medians[name] = median(runs)
    connection.close()
    return medians


# --- Killed -------------------------------------------------------------------------------------------------------------


def kill_postgres(data: Path) -> None:
    """kill -9 for the server and each of its processes, as a machine that loses its power."""
    server = int((data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for process in (server, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    sleep(0.2)
    # Where nobody collects dead processes (a container), the number in this file still seems to be alive.
    (data / "postmaster.pid").unlink()


def spend_until_killed(target: str, pool: str, acknowledged: list[str]) -> None:
    with suppress(psycopg.OperationalError), psycopg.connect(target, autocommit=True) as connection:
        while True:
            key = str(uuid4())
            arguments = ARGUMENTS.format(wallet=f"'{pool}'", until="").replace("gen_random_uuid()::text", f"'{key}'", 1)
            connection.execute(f"CALL public.credits_spend_alone({arguments}, NULL, NULL, NULL)".encode())
            acknowledged.append(key)


def lost_in_kills() -> tuple[int, int]:
    """Acknowledged spends that were gone after kill -9 of PostgreSQL, and how many were acknowledged in all."""
    server = Embedded("bench-kill")
    server.start()
    acknowledged: list[str] = []
    try:
        os.environ["DATABASE_URL"] = server.database_url
        make_database()
        target = url()
        pool = str(uuid4())
        fill(pool, [])
        for kill in range(KILLS):
            threads = [Thread(target=spend_until_killed, args=(target, pool, acknowledged)) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            sleep(0.3 + kill * 0.1)
            kill_postgres(server.data)
            for thread in threads:
                thread.join()
            server.start()
        with psycopg.connect(target) as connection:
            found = connection.execute(
                "SELECT count(*) FROM credits_key JOIN credits_entry ON credits_entry.id = entry_id WHERE credits_key.key = ANY (%s)",
                [acknowledged],
            ).fetchone()
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
    return len(acknowledged) - (found[0] if found else 0), len(acknowledged)


def main() -> int:
    figures = Figures()
    server = os.environ["DATABASE_URL"]
    make_database()
    with psycopg.connect(url()) as connection:
        ids = connection.execute(
            "SELECT md5('the pool')::uuid::text, array_agg(md5('pool ' || n)::uuid::text) FROM generate_series(1, %s) AS n", [POOLS]
        )
        pool, pools = ids.fetchone() or ("", [])
    fill(pool, pools)
    execute("VACUUM ANALYZE")

    wait_like(MEMORY)
    memory = rates(["bare insert", "ORM style", "one function", "64 pools"], pool)
    for name, value in memory.items():
        figures.note(f"in memory, {name}", value, "a second")
    figures.at_least("hot pool in memory, 8 clients ÷ bare insert", memory["one function"] / memory["bare insert"], 0.2)
    figures.note("the same ÷ naive ORM-style SQL", memory["one function"] / memory["ORM style"], "×")
    figures.note("hot pool in memory ÷ 64 pools", memory["one function"] / memory["64 pools"], "×")

    wait_like(CLOUD)
    cloud = rates([name for name in SCRIPTS if name != "64 pools"], pool)
    cloud["batch of 100"] *= 100
    for name, value in cloud.items():
        figures.note(f"1 ms flush, {name}", value, "a second")
    figures.at_least("hot pool, 8 clients, 1 ms flush, early release ÷ bare insert", cloud["early release"] / cloud["bare insert"], 0.65)
    figures.at_least("the same ÷ naive ORM-style SQL", cloud["early release"] / cloud["ORM style"], 7)
    figures.at_least("hot pool ÷ 64 pools", cloud["early release"] / cloud["early release, 64 pools"], 0.75)
    figures.at_least("batch of 100 ÷ bare insert, 1 ms flush", cloud["batch of 100"] / cloud["bare insert"], 4)
    message = cloud["message, ORM style"]
    figures.note(
        "spend that commits with its message, plain function ÷ naive ORM-style SQL", cloud["message, plain function"] / message, "×"
    )
    figures.at_least("the same, early release (as the product does it)", cloud["message, early release"] / message, 2)

    through = {way: django_rate(way, pool) for way in ("naive ORM", "service", "service, early release")}
    for name, value in through.items():
        figures.note(f"Django, {PROCESSES} processes, 1 ms flush, {name}", value, "a second")
    figures.at_least(
        f"through the Django service, {PROCESSES} processes ÷ naive ORM", through["service, early release"] / through["naive ORM"], 10
    )

    fill_statement(pools[0])
    for name, value in statement_milliseconds(pools[0]).items():
        figures.at_most(f"statement page among {ENTRIES:,} entries, {name}", value, 5, "ms")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())

    lost, acknowledged = lost_in_kills()
    figures.note("acknowledged spends in the kills", acknowledged)
    figures.at_most(f"acknowledged spends lost in {KILLS} kill -9 of PostgreSQL", lost, 0, "")
    return figures.status()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main())
