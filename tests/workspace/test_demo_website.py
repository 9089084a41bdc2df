"""The demo clients' websites: another origin, one script tag, looked up when the page is asked for."""

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cast import TESTS, Cast
from tests.workspace import demo
from workspace.management.commands import demo_website


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(demo_website, "script_tag", lambda slug: f"<script data-for={slug}></script>")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), demo_website.Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("path", "slug"), demo_website.SITES.items())
def test_each_firm_has_a_page_with_its_own_chatbot(address: str, path: str, slug: str) -> None:
    page = urllib.request.urlopen(address + path).read().decode()
    assert f"<script data-for={slug}>" in page
    assert "<!-- chat -->" not in page


@pytest.mark.parametrize("path", ["/../faqs/acme-plumbing.csv", "/index.html", "/koala", "/%2e%2e/"])
def test_nothing_else_is_served(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address + path)


def test_the_tag_is_the_real_one_of_the_clients_first_chatbot(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_website, "close_old_connections", lambda: None)  # the test's own transaction must stay
    assert demo_website.script_tag("acme-plumbing") == demo_website.script_tag("nobody") == ""
    bot = demo.furnish(cast.acme, by=TESTS)
    assert f'/widget.js" data-chatbot="{bot.public_id}"' in demo_website.script_tag("acme-plumbing")
