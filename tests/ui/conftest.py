from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.staticfiles import finders

from agency.models import User
from tests.cast import Visitor

MODES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], "resultTypes": ["violations"]}


@dataclass
class Sight:
    """A page in the browser, and what the browser complained about while showing it."""

    page: Any
    client: Visitor
    complaints: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What axe finds at WCAG 2.2 AA, one line for each element."""
        found = Axe().run(self.page, options=WCAG).response["violations"]
        return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]

    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def look(browser: Any, db: None) -> Callable[..., Sight]:
    """`look(path, user=…, width=…, scheme=…)` shows a page of ours in a real browser.

    The browser's requests are answered by Django's test client in the test's own transaction, headers and all.
    """

    def ask(client: Visitor, request: Any, address: str) -> Any:
        # A redirect is followed here: the browser would take it past this bridge.
        if request.method != "POST":
            told = {name: value for name, value in request.headers.items() if name in ("accept", "hx-request")}
            return client.get(address, headers=told, follow=True)
        return client.post(address, request.post_data or "", content_type=request.headers["content-type"], follow=True)

    def answer(client: Visitor, mine: Context, route: Any) -> None:
        url = urlsplit(route.request.url)
        if url.path.startswith("/static/"):
            found = finders.find(url.path.removeprefix("/static/"))
            route.fulfill(path=found) if found else route.fulfill(status=404)
            return
        # The browser's loop calls from a context of its own, where Django would open another connection and see no row of ours.
        response = mine.copy().run(ask, client, route.request, f"{url.path}?{url.query}")
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.content)

    def show(path: str, *, user: User | None = None, width: int = 1280, scheme: str = "light", host: str = "") -> Sight:
        host = host or settings.BASE_DOMAIN
        client = Visitor(host, user, raise_request_exception=False)
        mine = copy_context()
        page = browser.new_page()
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.route("**/*", lambda route: answer(client, mine, route))
        sight = Sight(page, client)
        page.on("console", lambda message: sight.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: sight.complaints.append(str(error)))
        page.goto(f"http://{host}{path}")
        return sight

    return show
