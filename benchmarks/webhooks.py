"""How fast webhooks go out, beside bare requests to the same receiver, and what a claim costs when very much is waiting.

bin/bench webhooks        (DELIVERIES=300 WAITING=100000 by default)
"""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from time import perf_counter

import django
import httpcore
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from benchmarks.figures import Figures

DELIVERIES = int(os.environ.get("DELIVERIES", "300"))
WAITING = int(os.environ.get("WAITING", "100000"))
FEW = 100
CLAIMS = 30


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    call_command("migrate", verbosity=0, interactive=False)
    figures = Figures()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with transaction.atomic():
        _measure(figures, f"http://127.0.0.1:{server.server_port}/hook")
        transaction.set_rollback(True)
    server.shutdown()
    return figures.status()


def _measure(figures: Figures, url: str) -> None:
    from billing import dispatch, webhooks  # after django.setup
    from tests.cast import TESTS, Cast, assemble

    assemble()
    endpoint = webhooks.make(agency=Cast().northlight, url=url, by=TESTS).endpoint
    body = b'{"type":"webhook.test"}'
    started = perf_counter()
    for _ in range(DELIVERIES):
        with httpcore.ConnectionPool() as pool:
            pool.request("POST", url, content=body)
    bare = DELIVERIES / (perf_counter() - started)
    _wait(endpoint, DELIVERIES)
    started = perf_counter()
    assert dispatch.deliver_due(limit=DELIVERIES) == DELIVERIES
    ours = DELIVERIES / (perf_counter() - started)
    figures.note("bare requests", bare, "a second")
    figures.note("deliveries of one worker", ours, "a second")
    figures.note("deliveries ÷ bare requests", ours / bare, "×")

    _wait(endpoint, FEW)
    few = _claim_time()
    _wait(endpoint, WAITING)
    many = _claim_time()
    figures.note(f"a claim with {FEW} waiting", few * 1000, "ms")
    figures.note(f"a claim with {WAITING:,} waiting", many * 1000, "ms")
    figures.at_most("a claim with many waiting ÷ with few", many / few, 3, "×")


def _wait(endpoint: object, count: int) -> None:
    from billing.models import Delivery, Event
    from kit import clock
    from kit.ids import uuid7

    for begin in range(0, count, 5_000):
        size = min(5_000, count - begin)
        rows = [Event(public_id=uuid7(), type="webhook.test", at=clock.now(), agency=endpoint.agency, body="{}") for _ in range(size)]  # type: ignore[attr-defined]
        events = Event.objects.bulk_create(rows)
        Delivery.objects.bulk_create(Delivery(endpoint=endpoint, event=event) for event in events)  # type: ignore[misc]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_delivery")


def _claim_time() -> float:
    """The median of some claims, each given back at once."""
    from billing import deliveries
    from billing.models import Delivery

    times = []
    for _ in range(CLAIMS):
        started = perf_counter()
        delivery = deliveries.claim()
        times.append(perf_counter() - started)
        assert delivery is not None
        Delivery.objects.filter(pk=delivery.pk).update(claimed_until=None, tries=0)
    return median(times)


if __name__ == "__main__":
    raise SystemExit(main())
