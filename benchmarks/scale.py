"""Ten thousand sub-accounts and five million entries of one agency: how its pages and the figures on them hold out.

    bin/bench scale         (CLIENTS=10000 ENTRIES=5000000 REQUESTS=50 by default; SMALL=1 for a tenth: a minute instead of several)

Rows are made by statements over whole sets, of the shape the product writes them in and lawful like its own; the totals come
out of the product's own fold. Pages are answered by Django in this process. Times depend on the machine and on who shares it;
processor time, less; numbers of queries and the ratio of ten times the entries to one do not.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

from benchmarks.figures import Figures

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "canopy_bench_scale"
SMALL = bool(os.environ.get("SMALL"))
CLIENTS = int(os.environ.get("CLIENTS", 1_000 if SMALL else 10_000))
ENTRIES = int(os.environ.get("ENTRIES", 500_000 if SMALL else 5_000_000))
DAYS = 92
REQUESTS = int(os.environ.get("REQUESTS", "50"))
WARM_UP = 5
CSV_LINES = min(ENTRIES // 2, 1_000_000)
NOT_FOLDED = 1_000

PAGE_GOAL_MS = 100
# Queries of a page, however much there is to show.
HOME, LIST, OTHERS = 24, 18, 30

SUB_ACCOUNTS = """
INSERT INTO subaccounts_subaccount (public_id, agency_id, name, slug, schema_name, is_primary, status, contact_first_name, contact_last_name,
    contact_email, business_name, city, state, postal_code, description, credit_mode, pool_fallback, balance_visibility,
    unavailable_message, chatbots, fingerprint, created_at)
SELECT md5(%(name)s || ' client ' || n)::uuid, %(agency)s, (ARRAY['Harbour', 'Maple', 'Orchid', 'Summit', 'Willow', 'Copper', 'Juniper'])[1 + n %% 7]
    || ' ' || (ARRAY['Dental', 'Plumbing', 'Legal', 'Cleaning', 'Fitness'])[1 + n %% 5] || ' ' || n, %(name)s || '-client-' || n,
    't_' || left(md5(%(name)s || n), 20), false, 'ready', 'Pat', 'Jones', 'pat' || n || '@client.example', '', '', '', '', '', 'manual', 'on', 'by_mode',
    '', n %% 3, 'none', now() - interval '200 days' + n * interval '1 minute'
FROM generate_series(1, %(clients)s) AS n;

INSERT INTO subaccounts_dailyfigures (sub_account_id, day, conversations, messages, replies, leads, contacts, campaign_sends, calls, seconds)
SELECT client.id, current_date - back, 3, 12, 6, 1, 1, 0, 0, 0
FROM subaccounts_subaccount AS client, generate_series(0, 29) AS back WHERE client.agency_id = %(agency)s AND NOT client.is_primary;

INSERT INTO credits_wallet (id, owner_kind, owner_id, agency_id, unit_id, balance, held, sequence)
SELECT md5(%(name)s || ' wallet ' || n || unit.code)::uuid, 'sub_account', md5(%(name)s || ' client ' || n)::uuid, %(public_id)s, unit.code, 0, 0, 0
FROM generate_series(1, %(clients)s) AS n, credits_unit AS unit;
"""
# Round by round each client uses something: in even rounds out of its own wallet, in odd ones out of the pool. So sequence numbers
# and running balances follow from the number of the entry alone.
ENTRIES_SQL = """
CREATE TEMP TABLE line ON COMMIT DROP AS
SELECT *, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || left(hash, 3) || '8' || substr(hash, 4, 11) || '0000')::uuid AS id
FROM (SELECT *, md5(key) AS hash FROM (SELECT n AS client,
    CASE WHEN round %% 2 = 0 THEN md5(%(name)s || ' wallet ' || n || 'credit')::uuid ELSE %(pool)s END AS wallet,
    CASE WHEN round %% 2 = 0 THEN round / 2 + 2 ELSE (round / 2) * %(clients)s + n + %(pool_sequence)s END AS sequence,
    CASE WHEN round %% 2 = 0 THEN 1000000 - (round / 2 + 1) * (1 + n %% 5) ELSE %(pool_balance)s - (round / 2) * %(clients)s - n END AS balance,
    CASE WHEN round %% 2 = 0 THEN md5(%(name)s || ' grant ' || n)::uuid ELSE %(pool_grant)s END AS lot,
    CASE WHEN round %% 2 = 0 THEN 1 + n %% 5 ELSE 1 END AS amount,
    date_trunc('milliseconds', now() - make_interval(days => %(days)s)
        + make_interval(secs => (round * %(clients)s::bigint + n) * (%(days)s * 86400.0 - 3600) / (%(rounds)s * %(clients)s::bigint))) AS at,
    (ARRAY['ai_reply', 'ai_reply', 'campaign_message'])[1 + n %% 3] AS kind, %(name)s || '-' || round || '-' || n AS key
FROM generate_series(%(from_round)s, %(to_round)s - 1) AS round, generate_series(1, %(clients)s) AS n) AS used) AS hashed;
INSERT INTO credits_key (key, content, entry_id, voided_by) SELECT key, hash::uuid, id, '' FROM line;
INSERT INTO credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence, to_wallet_id, grant_id, agency_id,
    sub_account_id, contact, campaign, bot, own_key, reference, memo, by_kind, by_id, by_label, on_behalf_of)
SELECT id, key, at, kind, 'credit', amount, wallet, balance, sequence, public.credits_book('used', 'credit'), lot, %(public_id)s,
    md5(%(name)s || ' client ' || client)::uuid, 'Contact ' || client, '', 'Front desk', false, '', '', 'system', '', 'benchmark', ''
FROM line;
"""
GRANTS = """
INSERT INTO credits_grant (id, wallet_id, source, priority, transferable, amount, remaining, held, created_at)
SELECT md5(%(name)s || ' grant ' || n)::uuid, md5(%(name)s || ' wallet ' || n || 'credit')::uuid, 'purchase', 60, true, 1000000,
    1000000 - %(own_rounds)s * (1 + n %% 5), 0, now() - make_interval(days => %(days)s + 1)
FROM generate_series(1, %(clients)s) AS n;
CREATE TEMP TABLE given ON COMMIT DROP AS
SELECT n, %(name)s || '-grant-' || n AS key, now() - make_interval(days => %(days)s + 1) + n * interval '1 ms' AS at
FROM generate_series(1, %(clients)s) AS n;
INSERT INTO credits_key (key, content, entry_id, voided_by)
SELECT key, md5(key)::uuid, (left(public.credits_least_id(at)::text, 15) || left(md5(key), 3) || '-8' || substr(md5(key), 4, 3) || '-'
    || substr(md5(key), 7, 8) || '0000')::uuid, '' FROM given;
INSERT INTO credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, to_wallet_id, to_balance, to_sequence, grant_id, agency_id,
    sub_account_id, contact, campaign, bot, own_key, reference, memo, by_kind, by_id, by_label, on_behalf_of)
SELECT claim.entry_id, given.key, given.at, 'grant', 'credit', 1000000, public.credits_book('sold', 'credit'),
    md5(%(name)s || ' wallet ' || n || 'credit')::uuid, 1000000, 1, md5(%(name)s || ' grant ' || n)::uuid, %(public_id)s,
    md5(%(name)s || ' client ' || n)::uuid, '', '', '', false, 'purchase', '', 'system', '', 'benchmark', ''
FROM given JOIN credits_key AS claim USING (key);
UPDATE credits_wallet AS wallet SET balance = lot.remaining, sequence = %(own_rounds)s + 1
FROM credits_grant AS lot WHERE lot.wallet_id = wallet.id AND wallet.agency_id = %(public_id)s AND wallet.owner_kind = 'sub_account';
UPDATE credits_wallet SET balance = balance - %(pool_used)s, sequence = sequence + %(pool_used)s WHERE id = %(pool)s;
UPDATE credits_grant SET remaining = remaining - %(pool_used)s WHERE id = %(pool_grant)s;
"""


def url() -> str:
    """The benchmark's own database on the server of DATABASE_URL."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{DATABASE}")) if parts.netloc else f"{parts.scheme}:///{DATABASE}?{parts.query}"


def main() -> int:
    """Makes the database, measures in a process that works in it, drops it."""
    server = os.environ["DATABASE_URL"]
    environment = {**os.environ, "CANOPY_ENV": "test", "DJANGO_SETTINGS_MODULE": "benchmarks.settings", "DATABASE_URL": url()}
    environment["DATABASE_STATEMENT_TIMEOUT_MS"] = "1800000"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        try:
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
            return subprocess.run([sys.executable, "-m", "benchmarks.scale", "--inside"], cwd=ROOT, env=environment, check=False).returncode
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)".encode())


# --- Inside: with Django, in the database ---------------------------------------------------------------------------------


def inside() -> int:
    import django

    django.setup()
    logging.disable(logging.INFO)
    figures = Figures()
    began = time.perf_counter()
    large = make_agency("large", ENTRIES)
    figures.note("sub-accounts", CLIENTS)
    figures.note("entries", ENTRIES)
    figures.note("time to make them", time.perf_counter() - began, "s")
    small = make_agency("small", ENTRIES // 10)
    fold(figures)
    # Made thirty times over in one transaction, rows of months lie among their dead; months of days would have left them none.
    execute("VACUUM FULL subaccounts_monthlyfigures")
    execute("VACUUM ANALYZE")
    spend_on(large)
    spend_on(small)
    sizes(figures)
    sums(figures, large, small)
    pages(figures, large)
    memory_of_csv(figures, large)
    audit(figures)
    return figures.status()


def execute(sql: str, values: dict[str, Any] | None = None) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def make_agency(name: str, entries: int) -> Any:
    """An agency with `CLIENTS` sub-accounts whose uses over `DAYS` days are `entries` entries."""
    from allauth.account.models import EmailAddress
    from django.db import transaction

    from agency.models import Plan, User
    from credits import ledger
    from credits.models import Grant
    from kit.actor import system
    from subaccounts import opening

    owner = User.objects.create_user(email=f"owner@{name}.example", password="a benchmark's password", first_name="Nora", last_name="Lind")
    EmailAddress.objects.create(user=owner, email=owner.email, verified=True, primary=True)
    agency = opening.open_agency(owner=owner, name=f"{name} agency", slug=name, time_zone="Europe/Stockholm", by=system("benchmark"))
    agency.plan = Plan.objects.get(code="agency")
    agency.save(update_fields=["plan"])
    grant = ledger.grant(to=agency.pool("credit"), amount=10**10, source=Grant.PLAN, key=f"{name} plan", by=system("benchmark"), priority=1)
    rounds = entries // CLIENTS
    pool = agency.pool("credit")
    about: dict[str, Any] = {
        "name": name, "agency": agency.pk, "public_id": agency.public_id, "clients": CLIENTS, "days": DAYS, "rounds": rounds,
        "pool": pool.pk, "pool_sequence": pool.sequence, "pool_balance": pool.balance, "pool_grant": grant.pk,
        "own_rounds": (rounds + 1) // 2, "pool_used": rounds // 2 * CLIENTS,
    }  # fmt: skip
    execute(
        "SELECT public.credits_open_month((date_trunc('month', now()) - make_interval(months => m))::date) FROM generate_series(1, 5) AS m"
    )
    execute("SET work_mem = '64MB'; SET synchronous_commit = off")
    execute(SUB_ACCOUNTS, about)
    # Nothing refers to a row that is not there, and looking that up five times for each of millions takes longer than writing them.
    execute("SET session_replication_role = replica")
    step = max(1, 250_000 // CLIENTS)
    for first in range(0, rounds, step):
        with transaction.atomic():
            execute(ENTRIES_SQL, {**about, "from_round": first, "to_round": min(rounds, first + step)})
    with transaction.atomic():
        execute(GRANTS, about)
    execute("SET session_replication_role = origin")
    return agency


def fold(figures: Figures) -> None:
    from credits.models import Entry
    from subaccounts import credit_use

    execute("ANALYZE")
    began, folded = time.perf_counter(), 0
    while some := credit_use.sweep():
        folded += some
    seconds = time.perf_counter() - began
    figures.note("entries folded into totals", folded)
    figures.note("fold", folded / seconds, "entries/s")
    assert folded >= Entry.objects.count(), "some of the entries were not folded"


def spend_on(agency: Any) -> None:
    """What a minute brings: lines that no fold has seen yet."""
    from credits import ledger
    from kit.actor import system
    from subaccounts.models import SubAccount

    clients = list(SubAccount.objects.filter(agency=agency, is_primary=False)[:10])
    for number, client in enumerate(clients):
        uses = [ledger.Use(f"late {agency.slug} {number} {n}", 1) for n in range(NOT_FOLDED // len(clients))]
        sources = client.credit_sources("credit")
        ledger.spend_many(sources=sources, uses=uses, kind="campaign_message", by=system("benchmark"), sub_account_id=client.public_id)


def sizes(figures: Figures) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relname LIKE 'credits_entry%'),"
            " sum(pg_total_relation_size(oid)) FILTER (WHERE relname LIKE 'credits_%total' OR relname = 'credits_fold')"
            " FROM pg_class WHERE relkind = 'r'"
        )
        entries, totals = cursor.fetchone()
    figures.note("entries on disk", float(entries) / 2**20, "MB")
    figures.note("totals on disk", float(totals) / 2**20, "MB")
    figures.note("totals ÷ entries on disk", float(totals / entries), "×")


def sums(figures: Figures, large: Any, small: Any) -> None:
    """The sums of the dashboard, of ten times the entries and of one, alternately."""
    from kit import clock
    from subaccounts import credit_use, overview

    def dashboard(agency: Any) -> Callable[[], object]:
        month = clock.month_start(agency.time_zone).date()
        return lambda: (overview.used_by_client(agency), credit_use.of_pool_by_unit(agency, month))

    took: dict[str, list[float]] = {"large": [], "small": []}
    for _ in range(25):
        for name, agency in (("large", large), ("small", small)):
            took[name].append(timed(dashboard(agency)))
    for name, times in took.items():
        figures.note(f"dashboard sums, {ENTRIES if name == 'large' else ENTRIES // 10:,} entries", 1000 * median(times), "ms")
    figures.at_most("dashboard sums with 10 × the entries ÷ with 1 ×", median(took["large"]) / median(took["small"]), 1.2, "×")


def timed(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def visitor(agency: Any) -> Any:
    from django.conf import settings
    from django.test import Client

    client = Client(headers={"host": settings.BASE_DOMAIN})
    client.force_login(agency.memberships.get(role="owner").user, backend=settings.AUTHENTICATION_BACKENDS[0])
    session = client.session
    session["_host"] = settings.BASE_DOMAIN
    session.save()
    return client


def pages(figures: Figures, agency: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from config import web_server

    web_server.settle()
    browser = visitor(agency)
    for name, address, budget in addresses(agency):
        for _ in range(WARM_UP):
            response = browser.get(address)
            assert response.status_code == 200, f"{address} answered {response.status_code}"
        with CaptureQueriesContext(connection) as captured:
            browser.get(address)
        queries = captured.captured_queries
        worked, took = cpu_ms(), [1000 * timed(lambda address=address: browser.get(address)) for _ in range(REQUESTS)]  # type: ignore[misc]
        for who, spent in cpu_ms().items():
            figures.note(f"{name}, processor time of {who}", (spent - worked[who]) / REQUESTS, "ms")
        figures.note(f"{name}, p50", median(took), "ms")
        figures.at_most(f"{name}, p95", quantiles(took, n=20)[-1], PAGE_GOAL_MS, "ms")
        figures.at_most(f"{name}, queries", len(queries), budget, "queries")
        slowest = sorted(queries, key=lambda query: -float(query["time"]))[:2]
        for query in slowest if os.environ.get("SHOW") else []:
            print("   ", query["time"], query["sql"][:3000], flush=True)


def cpu_ms() -> dict[str, float]:
    """What this process, and the server's where it runs on this machine, have worked: other programs do not count as they do in times."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), inet_server_addr() IS NULL")
        pid, is_here = cursor.fetchone()
    python = {"Python": 1000 * time.process_time()}
    return python | ({"PostgreSQL": 1000 * sum(psutil.Process(pid).cpu_times()[:2])} if is_here else {})


def addresses(agency: Any) -> list[tuple[str, str, int]]:
    """Name, address and budget of the pages; a deep page is the one that a hundred steps lead to."""
    from django.urls import reverse

    from kit import clock
    from subaccounts import listing
    from subaccounts.models import SubAccount

    clients = reverse("sub_account_list")
    month = clock.month_start(agency.time_zone).date()
    first = listing.page(agency, SubAccount.objects.of(agency), listing.Wish(sort="-credits"), month=month)
    deep = SubAccount.objects.filter(agency=agency).order_by("name")[CLIENTS // 2]
    client = SubAccount.objects.filter(agency=agency, is_primary=False).order_by("-pk")[7]
    used = f"{clients}?sort=-credits"
    return [
        ("agency home", reverse("agency_home"), HOME),
        ("sub-accounts", clients, LIST),
        ("sub-accounts by credits used", used, LIST),
        ("sub-accounts by credits used, next page", used + f"&cursor={first.next_cursor}", LIST),
        ("sub-accounts searched", f"{clients}?q=orchid+legal", LIST),
        ("sub-accounts, halfway", f"{clients}?cursor={deep.public_id}", LIST),
        ("a sub-account", reverse("sub_account", args=[client.public_id]), OTHERS),
        ("credits", reverse("credits_home"), OTHERS),
        ("usage, 30 days", reverse("credits_usage"), OTHERS),
        ("usage, 90 days", reverse("credits_usage") + "?range=90", OTHERS),
        ("credits of a client", reverse("client_credits", args=[client.public_id]), OTHERS),
        ("limits", reverse("credits_limits"), OTHERS),
        ("statement", reverse("credits_statement"), OTHERS),
        ("statement of a client", reverse("credits_statement") + f"?client={client.public_id}", OTHERS),
    ]


def memory_of_csv(figures: Figures, agency: Any) -> None:
    """The statement of a million lines as a file: what it adds to the process."""
    from django.urls import reverse

    process, browser = psutil.Process(), visitor(agency)
    idle = most = process.memory_info().rss
    began, lines = time.perf_counter(), 0
    response = browser.get(reverse("credits_statement_csv"))
    for part in response.streaming_content:
        lines += part.count(b"\n")
        if lines % 1000 < 5:
            most = max(most, process.memory_info().rss)
        if lines >= CSV_LINES:
            break
    response.close()
    figures.note(f"CSV of {lines:,} lines", time.perf_counter() - began, "s")
    figures.at_most("memory of that CSV above idle", (most - idle) / 2**20, 60, "MB")


def audit(figures: Figures) -> None:
    from credits import checks

    began = time.perf_counter()
    findings = checks.audit()
    figures.note("audit of the books", time.perf_counter() - began, "s")
    figures.at_most("what it finds", len(findings), 0, "findings")
    for finding in findings[:5]:
        print("   ", finding, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    wish = parser.parse_args()
    sys.exit(inside() if wish.inside else main())
