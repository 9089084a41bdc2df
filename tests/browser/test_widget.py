"""The widget in a real browser: a client's website on one origin, the workspace on another."""

import http.server
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.cast import PASSWORD
from tests.product import ROOT, Product, free_port

ENTRIES = "(() => { try { return Object.entries(localStorage); } catch { return []; } })()"
SEED = """
from tests import cast
from tests.workspace import demo
cast.assemble()
demo.furnish(cast.Cast().acme, by=cast.TESTS)
"""


MARKUP = (
    "<img src=//evil.example/a.png> [here](javascript:alert(1)) ![](https://evil.example/b.png) <script src=//evil.example/c.js></script>"
)
MARKED_UP = f"""
from subaccounts.tenancy import enter
from tests import cast
from workspace.models import Chatbot, Faq
with enter(cast.Cast().acme):
    for chatbot in Chatbot.objects.present():
        Faq.objects.create(chatbot=chatbot, question="What does markup look like in the zebra crossing answer?", answer={MARKUP!r})
"""


@pytest.fixture(scope="module")
def product(chromium: Any, worker_id: str) -> Iterator[Product]:
    made = Product(f"widget_{worker_id}")
    try:
        made.start()
        made.manage("shell", "--verbosity", "0", "-c", SEED)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def website(product: Product) -> Iterator[str]:
    """Acme Plumbing's website, as `manage.py demo_website` serves it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo_website", str(port)], cwd=ROOT, env=product.environment, stdout=subprocess.DEVNULL
    )
    try:
        product._wait_for(f"http://localhost:{port}/", 20)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def evil(website: str) -> Iterator[str]:
    """The same page copied to another origin."""
    copied = urllib.request.urlopen(f"{website}/").read()

    class Copy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(copied)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Copy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def frame_of(page: Any) -> Any:
    page.wait_for_function("document.querySelector('chat-widget')?.style.getPropertyValue('--accent')")
    return next(frame for frame in page.frames if "/widget/" in frame.url)


def open_chat(page: Any) -> Any:
    frame = frame_of(page)
    size = page.viewport_size
    page.mouse.click(size["width"] - 48, size["height"] - 48)
    frame.wait_for_selector(".line")
    return frame


def ask(frame: Any, text: str) -> None:
    before = frame.locator('.line[data-role="bot"]').count()
    frame.fill("#text", text)
    frame.press("#text", "Enter")
    frame.locator('.line[data-role="bot"]').nth(before).wait_for()


def axe(page: Any) -> list[str]:
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})
    return [f"{violation['id']}: {violation['nodes'][0]['html'][:120]}" for violation in found.response["violations"]]


def signed_in(browser: Any, product: Product) -> Any:
    page = browser.new_page()
    page.goto(f"{product.workspace('acme-plumbing')}/sign-in/")
    page.fill("[name=login]", "paul@acme-plumbing.example")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda address: "sign-in" not in address)
    return page


def test_a_visitor_asks_is_answered_and_remembered(product: Product, website: str, browser: Any) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: foreign.append(request.url) if "localhost" not in request.url and not request.url.startswith("data:") else None,
    )
    page.goto(website)
    frame = open_chat(page)
    ask(frame, "When are you open?")
    assert "Monday to Friday" in frame.inner_text("#log")

    page.reload()
    frame = open_chat(page)
    frame.wait_for_selector("text=Monday to Friday")
    assert frame.locator('.line[data-role="visitor"]').count() == 1
    assert foreign == []
    assert complaints == []


def test_j12_the_browser_keeps_a_random_token_and_the_address_names_nobody(website: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{website}/?email=jane@example.org")
    frame = open_chat(page)
    ask(frame, "My name is Jane and my address is jane@example.org")
    # A browser that blocks storage of frames has the page around it keep the token.
    kept = [entry for place in (frame, page.main_frame) for entry in place.evaluate(ENTRIES)]
    assert [key.startswith("chat-visitor-") for key, _ in kept] == [True]
    assert re.fullmatch(r"[\w-]{43}", kept[0][1])
    assert "jane" not in frame.url
    assert [cookie for cookie in page.context.cookies() if "session" in cookie["name"] or "csrf" in cookie["name"]] == []


def test_the_keyboard_alone_opens_asks_and_closes(website: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(website)
    frame = frame_of(page)
    page.locator("footer a").last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    frame.wait_for_selector("#text:focus")
    page.keyboard.type("Do you charge for a quote?")
    page.keyboard.press("Enter")
    frame.wait_for_selector("text=Estimates are free")
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.localName === 'chat-widget'")
    page.keyboard.press("Enter")
    frame.wait_for_selector("#text:focus")


def test_who_is_not_answered_leaves_an_address_and_a_person_answers(product: Product, website: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(website)
    frame = open_chat(page)
    ask(frame, "Do you sell bicycles?")
    frame.fill("#contact [name=name]", "Jane Doe")
    frame.fill("#contact [name=email]", "not an address")
    frame.click("#contact button[type=submit]")
    frame.wait_for_selector('[aria-invalid="true"]')
    frame.fill("#contact [name=email]", "jane@example.org")
    frame.click("#contact button[type=submit]")
    frame.wait_for_selector("text=Thank you!")

    paul = signed_in(browser, product)
    paul.goto(f"{product.workspace('acme-plumbing')}/leads/")
    paul.click("text=Jane Doe")
    paul.fill("textarea[name=text]", "No, but the shop next door does.")
    paul.click("text=Send")
    frame.wait_for_selector('.line[data-role="person"] >> text=the shop next door', timeout=15_000)


def test_j09_what_a_visitor_writes_never_runs_in_the_inbox(product: Product, website: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(website)
    frame = open_chat(page)
    ask(frame, "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>")
    assert "<img src=x" in frame.inner_text("#log")
    assert frame.locator("#log img, #log script").count() == 0

    paul = signed_in(browser, product)
    paul.goto(f"{product.workspace('acme-plumbing')}/inbox/")
    paul.locator("tbody th a").first.click()
    paul.wait_for_selector("text=<img src=x")
    assert "owned" not in paul.title()


def test_b10_an_answer_with_markup_is_text_and_fetches_nothing(product: Product, website: str, browser: Any) -> None:
    asked: list[str] = []
    browser.on("request", lambda request: asked.append(request.url) if "evil.example" in request.url else None)
    product.manage("shell", "--verbosity", "0", "-c", MARKED_UP)
    page = browser.new_page()
    page.goto(website)
    frame = open_chat(page)
    ask(frame, "What does markup look like in the zebra crossing answer?")
    assert MARKUP in frame.inner_text("#log")
    assert frame.locator("#log img, #log a, #log iframe").count() == 0

    paul = signed_in(browser, product)
    paul.goto(f"{product.workspace('acme-plumbing')}/inbox/")
    paul.locator("tbody th a").first.click()
    paul.wait_for_selector("text=evil.example")
    assert paul.locator("main img[src*=evil], main a[href*=evil], main a[href^=javascript]").count() == 0
    assert asked == []


def test_b12_a_foreign_frame_cannot_speak_for_the_website_or_the_chat(website: str, evil: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(website)
    chat = open_chat(page)
    page.evaluate("address => { const frame = document.createElement('iframe'); frame.src = address; document.body.append(frame); }", evil)
    page.wait_for_function("document.querySelector('iframe')")
    page.wait_for_timeout(300)
    foreign = next(frame for frame in page.frames if frame.url.startswith(evil))
    forged = [
        {"type": "chat-widget:close"},
        {"type": "chat-widget:keep", "token": "x" * 43},
        {"type": "chat-widget:ready", "accent": "red", "ink": "red", "name": "Evil"},
    ]
    for message in forged:
        foreign.evaluate("message => parent.postMessage(message, '*')", message)
        page.evaluate("message => window.postMessage(message, '*')", message)
    inward = [
        {"type": "chat-widget:hello", "page": f"{evil}/", "token": "y" * 43},
        {"type": "chat-widget:closed"},
        {"type": "chat-widget:open"},
    ]
    for message in inward:
        foreign.evaluate(
            "message => { for (let i = 0; i < parent.frames.length; i++) parent.frames[i].postMessage(message, '*'); }", message
        )
    page.wait_for_timeout(300)
    look = page.evaluate("document.querySelector('chat-widget').style.getPropertyValue('--accent')")
    assert look != "red"
    assert "x" * 43 not in str(page.evaluate(ENTRIES))
    assert "y" * 43 not in str(chat.evaluate(ENTRIES))
    ask(chat, "When are you open?")
    assert chat.locator("#text").is_visible()


def test_j01_another_website_shows_nothing_and_reads_nothing(product: Product, website: str, evil: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(evil)
    page.wait_for_selector("chat-widget", state="attached")
    page.wait_for_timeout(1500)
    assert not page.evaluate("document.querySelector('chat-widget').style.getPropertyValue('--accent')")
    bot = re.search(r'data-chatbot="([^"]+)"', page.content())
    assert bot is not None
    address = f"{product.workspace('acme-plumbing')}/widget/{bot.group(1)}"
    for what in (
        f"fetch('{address}/session/')",
        f"fetch('{address}/messages/', {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: '{{}}'}})",
    ):
        assert page.evaluate(f"{what}.then(() => 'read', error => error.name)") == "TypeError"


def test_the_widget_fills_a_phone_and_is_accessible(product: Product, website: str, chromium: Any, browser: Any) -> None:
    phone = chromium.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = phone.new_page()
    page.goto(website)
    frame = open_chat(page)
    ask(frame, "Do you sell bicycles?")
    assert frame.evaluate("[innerWidth, innerHeight]") == [390, 844]
    assert frame.evaluate("document.documentElement.scrollWidth") == 390
    alone = phone.new_page()
    alone.goto(frame.url)
    ask(alone.main_frame, "Do you sell bicycles?")
    assert axe(alone) == []
    phone.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_a_workspace_are_accessible_and_fit(product: Product, browser: Any, width: int, scheme: str) -> None:
    page = signed_in(browser, product)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    home = product.workspace("acme-plumbing")
    page.goto(f"{home}/chatbots/")
    bot = page.locator("tbody th a").first.get_attribute("href")
    problems = []
    for path in ("/", "/inbox/", "/leads/", "/usage/", "/settings/", "/chatbots/", "/chatbots/new/", bot, f"{bot}edit/", f"{bot}faqs/",
                 f"{bot}faqs/new/", f"{bot}faqs/import/", f"{bot}install/", f"{bot}test/?q=open"):  # fmt: skip
        page.goto(home + path)
        problems += [f"{path} {problem}" for problem in axe(page)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            problems.append(f"{path} is wider than the screen")
    assert problems == []
