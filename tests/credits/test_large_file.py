"""The statement of a million lines as a file: from the web server as it runs in production, in the memory of a small one."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.product import Product

LINES = int(os.environ.get("STATEMENT_LINES", "1000000"))
CLIENTS = 10_000
MOST_ABOVE_IDLE = 60 * 2**20
FILL = """
INSERT INTO public.credits_entry (id, key, at, kind, unit_id, amount, from_wallet_id, from_balance, from_sequence, to_wallet_id, agency_id,
    sub_account_id, contact, campaign, bot, own_key, reference, memo, by_kind, by_id, by_label, on_behalf_of)
SELECT uuidv7(make_interval(secs => -({lines} - n))), 'filled ' || n, now() - make_interval(secs => {lines} - n), 'ai_reply', 'credit', 1,
    wallet.id, 1, n, public.credits_book('used', 'credit'), wallet.agency_id, md5('client ' || n % {clients})::uuid, 'Pat Jones ' || n % 5000,
    '', 'Front desk', false, '', 'Reply by Front desk', 'system', '', 'tests', ''
FROM generate_series(1, {lines}) AS n, public.credits_wallet AS wallet
JOIN public.agency_agency AS agency ON agency.public_id = wallet.owner_id AND agency.slug = 'northlight' WHERE wallet.unit_id = 'credit';
INSERT INTO public.subaccounts_subaccount (public_id, agency_id, name, slug, schema_name, fingerprint, is_primary, status, contact_first_name,
    contact_last_name, contact_email, business_name, city, state, postal_code, description, credit_mode, pool_fallback, balance_visibility,
    unavailable_message, chatbots, created_at)
SELECT md5('client ' || n)::uuid, agency.id, 'Client number ' || n, 'filled-' || n, 'filled_' || n, '', false, 'ready', '', '', '', '', '', '',
    '', '', 'manual', 'on', 'by_mode', '', 0, now() FROM generate_series(0, {clients} - 1) AS n, public.agency_agency AS agency
WHERE agency.slug = 'northlight';
ANALYZE public.credits_entry;
"""


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    product = Product("large_file")
    try:
        product.start()
        product.manage("seed_demo")
        with psycopg.connect(product.environment["DATABASE_URL"], autocommit=True) as database:
            database.execute(FILL.format(lines=LINES, clients=CLIENTS).encode())
        yield product
    finally:
        product.stop()


def web(product: Product) -> psutil.Process:
    """The one worker of the web server."""
    master = psutil.Process(product.processes[-1].pid)
    (worker,) = master.children()
    return worker


def session_of(product: Product) -> str:
    """A session cookie of Nora's, made by the product itself."""
    code = (
        "from tests.cast import Visitor; from agency.models import User; from django.conf import settings;"
        "v = Visitor(settings.BASE_DOMAIN, User.objects.get(email='nora@northlight.example'));"
        "print('SESSION', '; '.join(f'{k}={c.value}' for k, c in v.cookies.items()))"
    )
    return product.manage("shell", "-v", "0", "-c", code).rpartition("SESSION ")[2].strip()


@pytest.mark.long
def test_a_million_lines_are_sent_in_constant_memory(product: Product) -> None:
    cookie, worker = session_of(product), web(product)

    def get(path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=300)
        connection.request("GET", path, headers={"Host": product.base, "Cookie": cookie})
        return connection.getresponse()

    for _ in range(3):
        assert get("/credits/statement/").read()
    idle = worker.memory_info().rss
    highest, done = idle, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.05):
            highest = max(highest, worker.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, lines, size = time.monotonic(), 0, 0
    try:
        response = get("/credits/statement.csv?kind=ai_reply")
        assert response.status == 200
        while part := response.read(2**16):
            lines += part.count(b"\n")
            size += len(part)
    finally:
        done.set()
        watcher.join()
    seconds = time.monotonic() - started
    Path(os.environ.get("REPORT", os.devnull)).write_text(
        f"{lines:,} lines, {size / 2**20:.0f} MiB in {seconds:.0f} s; {(highest - idle) / 2**20:.1f} MiB above idle ({idle / 2**20:.0f})\n"
    )

    assert lines > LINES
    assert highest - idle <= MOST_ABOVE_IDLE
