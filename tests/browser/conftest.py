import tempfile
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.product import Product


class Website:
    """A client's own website on an origin of its own; `embed` is what the client pasted into it."""

    def __init__(self) -> None:
        site = self
        self.embed = ""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"<!doctype html><html lang=en><title>Pike Plumbing</title><h1>Pike Plumbing</h1>{site.embed}</html>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.origin = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A picture of every open page beside the report of a walk that failed."""
    report = yield
    if report.when == "call" and report.failed and "browser" in getattr(item, "funcargs", {}):
        folder = Path(tempfile.mkdtemp(prefix="canopy-walk-"))
        pages = [page for context in item.funcargs["browser"].browser.contexts for page in context.pages]
        for number, page in enumerate(pages):
            page.screenshot(path=folder / f"{number}.png", full_page=True)
        report.sections.append(("pages", "\n".join([str(folder), *(page.url for page in pages)])))
    return report


@pytest.fixture
def website() -> Iterator[Website]:
    site = Website()
    yield site
    site.server.shutdown()


@pytest.fixture(scope="session")
def product(worker_id: str) -> Iterator[Product]:
    """Web, worker and database of their own, without demo data."""
    running = Product(f"walk_{worker_id}").start()
    yield running
    running.stop()
