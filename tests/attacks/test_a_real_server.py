"""Threats A06, A11, A12 and A13 against the real web server: threads, a pool of connections, raw sockets."""

import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.product import ROOT, Product

pytestmark = pytest.mark.long


class Server:
    def __init__(self, product: Product) -> None:
        self.product = product
        filled = subprocess.run(
            [sys.executable, "-m", "tests.attacks.canaries"],
            cwd=ROOT, env={**product.environment, "DJANGO_SETTINGS_MODULE": "config.settings"}, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.cookies: dict[str, str] = json.loads(filled.stdout.splitlines()[-1])

    def leads(self, slug: str, connection: http.client.HTTPConnection) -> tuple[int, set[str]]:
        """The status of the page of leads, and whose canaries sing on it."""
        headers = {"Host": f"{slug}.{self.product.base}", "Cookie": f"__Host-session={self.cookies[slug]}"}
        connection.request("GET", "/leads/", headers=headers)
        answer = connection.getresponse()
        return answer.status, set(re.findall(r"canary of ([a-z-]+)", answer.read().decode()))

    def raw(self, request: str) -> str:
        with socket.create_connection(("127.0.0.1", self.product.port), timeout=10) as line:
            line.sendall(request.replace("\n", "\r\n").encode())
            return line.makefile("rb").read().decode(errors="replace")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    product = Product("canaries")
    try:
        yield Server(product.start())
    finally:
        product.stop()


def hammer(server: Server, *, seconds: float) -> tuple[Counter[int], list[str]]:
    """Sixteen visitors change between three workspaces; every page must show its own canary and no other."""
    until = time.monotonic() + seconds
    slugs = list(server.cookies)

    def visit(number: int) -> tuple[Counter[int], list[str]]:
        statuses: Counter[int] = Counter()
        wrong: list[str] = []
        connection = http.client.HTTPConnection("127.0.0.1", server.product.port, timeout=30)
        while time.monotonic() < until:
            slug = slugs[(number + statuses.total()) % len(slugs)]
            try:
                status, seen = server.leads(slug, connection)
            except http.client.HTTPException:
                connection.close()
                continue
            statuses[status] += 1
            if seen - {slug} or (status == 200 and seen != {slug}):
                wrong.append(f"{slug} {status} {seen}")
        return statuses, wrong

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(visit, range(16)))
    return sum((statuses for statuses, _ in answers), Counter()), [line for _, lines in answers for line in lines]


def test_a13_every_page_shows_its_own_canary_and_no_other(server: Server) -> None:
    statuses, wrong = hammer(server, seconds=20)
    print(dict(statuses))
    assert wrong == []
    assert set(statuses) == {200}


def test_a12_in_a_storm_of_cancels_a_page_fails_or_is_right(server: Server) -> None:
    with ThreadPoolExecutor(1) as storm:
        until = time.monotonic() + 20
        cancelled = storm.submit(cancel_everything, server.product.environment["DATABASE_URL"], until)
        statuses, wrong = hammer(server, seconds=18)
        print(dict(statuses), cancelled.result(), "cancelled")
    assert wrong == []
    assert cancelled.result() > 20
    assert statuses[200] > 50


def cancel_everything(database: str, until: float) -> int:
    cancelled = 0
    with psycopg.connect(database, autocommit=True) as mine:
        while time.monotonic() < until:
            row = mine.execute(
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state = 'active'"
            ).fetchone()
            cancelled += row[0] if row else 0
            time.sleep(0.002)
    return cancelled


@pytest.mark.parametrize(
    "lines",
    [
        "X-Forwarded-Host: koala-legal.{base}",
        "X-Original-Host: koala-legal.{base}",
        "X-Host: koala-legal.{base}",
        "Forwarded: host=koala-legal.{base}",
    ],
)
def test_a06_only_the_host_header_decides(server: Server, lines: str) -> None:
    cookie = f"Cookie: __Host-session={server.cookies['acme-plumbing']}"
    base = server.product.base
    page = server.raw(f"GET /leads/ HTTP/1.1\nHost: acme-plumbing.{base}\n{lines.format(base=base)}\n{cookie}\nConnection: close\n\n")
    assert page.startswith("HTTP/1.1 200") and "canary of acme-plumbing" in page and "canary of koala" not in page


def test_a06_two_host_headers_are_refused(server: Server) -> None:
    base = server.product.base
    page = server.raw(f"GET / HTTP/1.1\nHost: acme-plumbing.{base}\nHost: koala-legal.{base}\nConnection: close\n\n")
    assert page.startswith("HTTP/1.1 400")


def test_a06_an_absolute_address_in_the_request_line_changes_nothing(server: Server) -> None:
    base = server.product.base
    cookie = f"Cookie: __Host-session={server.cookies['acme-plumbing']}"
    page = server.raw(f"GET http://koala-legal.{base}/leads/ HTTP/1.1\nHost: acme-plumbing.{base}\n{cookie}\nConnection: close\n\n")
    assert "canary of koala" not in page


def test_a11_a_dropped_schema_is_unavailable_and_shows_nothing(server: Server) -> None:
    with psycopg.connect(server.product.environment["DATABASE_URL"], autocommit=True) as database:
        row = database.execute("SELECT schema_name FROM subaccounts_subaccount WHERE slug = 'beacon-dental'").fetchone()
        assert row is not None
        database.execute(f"DROP SCHEMA {row[0]} CASCADE".encode())
    connection = http.client.HTTPConnection("127.0.0.1", server.product.port, timeout=30)
    assert server.leads("beacon-dental", connection) == (503, set())
    assert server.leads("acme-plumbing", connection) == (200, {"acme-plumbing"})
