"""A webhook from the page to the receiver: real browser, web, workers, and a receiver that verifies."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook

from tests.cast import PASSWORD
from tests.product import Product

SEED = """
from tests import cast
cast.assemble()
"""
# What beat does every five seconds; it does not run here.
WAKE = """
from billing import deliveries
deliveries.wake()
"""
SUSPEND = """
from subaccounts import lifecycle
from tests import cast
lifecycle.suspend(sub_account=cast.Cast().acme, by=cast.TESTS)
"""


class Receiver:
    """Keeps what arrives. `/hang` waits until it is let go, everything else answers at once."""

    def __init__(self) -> None:
        receiver = self
        self.requests: list[tuple[str, bytes, dict[str, str]]] = []
        self.let_go = threading.Event()

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((self.path, body, {name.lower(): value for name, value in self.headers.items()}))
                if self.path == "/hang":
                    receiver.let_go.wait(30)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"thank you")

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at(self, path: str) -> list[tuple[bytes, dict[str, str]]]:
        return [(body, headers) for where, body, headers in [*self.requests] if where == path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.let_go.set()
    running.server.shutdown()


@pytest.fixture
def product(worker_id: str) -> Iterator[Product]:
    made = Product(f"webhooks_{worker_id}")
    made.queues = "celery"
    made.environment["WEBHOOK_PRIVATE_NETWORKS"] = "127.0.0.1/32"
    try:
        made.start()
        made.manage("shell", "--verbosity", "0", "-c", SEED)
        made.spawn_webhooks("webhooks")
        yield made
    finally:
        made.stop()


def wait(for_what: Callable[[], Any], seconds: float = 40) -> Any:
    until = time.monotonic() + seconds
    while not (found := for_what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)
    return found


def add(page: Any, product: Product, url: str) -> str:
    page.goto(f"{product.url}/webhooks/new/")
    page.get_by_role("textbox", name="Address").fill(url)
    page.get_by_role("button", name="Add endpoint").click()
    secret = str(page.locator("#webhook-secret").inner_text())
    page.get_by_role("link", name="Go to the endpoint").click()
    return secret


def test_a_test_and_a_deed_arrive_and_a_receiver_that_hangs_delays_nobody(browser: Any, product: Product, receiver: Receiver) -> None:
    """R09, H10, H15: and a worker that is killed with a delivery in hand loses none."""
    page = browser.new_page()
    page.goto(f"{product.url}/sign-in/")
    page.locator("[name=login]").fill("nora@northlight.example")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url("**/home/")
    secret = add(page, product, f"{receiver.url}/fine")
    page.get_by_role("button", name="Send test").click()
    page.get_by_text("The test arrived: 200").wait_for(timeout=40_000)

    body, headers = receiver.at("/fine")[0]
    assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret).verify(body.replace(b"Nothing", b"Something"), headers)

    add(page, product, f"{receiver.url}/hang")
    page.get_by_role("button", name="Send test").click()
    wait(lambda: receiver.at("/hang"))
    os.killpg(product.processes[-1].pid, signal.SIGKILL)
    with psycopg.connect(product.environment["DATABASE_URL"], autocommit=True) as database:
        in_hand = "SELECT count(*) FROM billing_delivery WHERE state = 'waiting' AND claimed_until > now()"
        assert database.execute(in_hand).fetchone() == (1,), "it was killed with the delivery in hand"
        database.execute("UPDATE billing_delivery SET claimed_until = now() WHERE state = 'waiting'")  # the minute is over
        product.spawn_webhooks("webhooks again")
        product.manage("shell", "--verbosity", "0", "-c", WAKE + SUSPEND)
        wait(lambda: [headers for body, headers in receiver.at("/fine") if b"sub_account.suspended" in body])
        in_hand_then = receiver.at("/hang")[0][1]["webhook-id"]
        wait(lambda: [headers["webhook-id"] for _, headers in receiver.at("/hang")].count(in_hand_then) >= 2)
        assert not receiver.let_go.is_set()

        receiver.let_go.set()
        database.execute("UPDATE billing_endpoint SET resumes_at = NULL")
        database.execute("UPDATE billing_delivery SET due_at = now(), claimed_until = NULL")
        product.manage("shell", "--verbosity", "0", "-c", WAKE)
        wait(lambda: database.execute("SELECT count(*) FROM billing_delivery WHERE state <> 'delivered'").fetchone() == (0,), 60)
    ids = [headers["webhook-id"] for _, headers in receiver.at("/fine")]
    assert len(ids) == len(set(ids))
