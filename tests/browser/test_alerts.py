"""From a visitor's question to the mail and the notice: web, worker, mailbox and browser, none of them stood in for."""

import json
import re
import urllib.request
from typing import Any
from uuid import uuid4

from playwright.sync_api import expect

from tests.browser.test_main_job import mail_to
from tests.cast import PASSWORD
from tests.product import Product

PREPARE = """
from credits import ledger
from subaccounts.tenancy import enter
from tests.cast import TESTS, agency, person, sub_account
from tests.workspace.conftest import make_chatbot
falk = agency(name="Falk & Co", slug="falk-co", owner=person("nina@falk.example", "Nina", "Falk"))
pine = sub_account(falk, name="Pine Dental", slug="pine-dental", first="Pia", last="Pine", email="pia@pine.example")
wallet = pine.wallet("credit")
ledger.set_threshold(wallet=wallet, low_at=wallet.balance, by=TESTS)
with enter(pine):
    print("chatbot", make_chatbot(pine).public_id, wallet.balance)
"""
SWEEP = "from subaccounts.tasks import tell_alerts; tell_alerts.delay()"


def call(product: Product, path: str, headers: dict[str, str] | None = None, body: dict[str, str] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{product.port}{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Host": f"pine-dental.{product.base}", "Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=15) as answer:
        return dict(json.load(answer))


def ask(product: Product, chatbot: str) -> None:
    begun = call(product, f"/widget/{chatbot}/session/")
    proof = {"X-Visitor": begun["token"], "X-Ticket": begun["ticket"]}
    question = {"id": str(uuid4()), "text": "What are your opening hours?", "page": "https://pine.example/"}
    assert call(product, f"/widget/{chatbot}/messages/", proof, question)["reply"] is not None


def test_a_reply_that_crosses_a_threshold_is_mailed_and_stands_in_the_inbox(product: Product, browser: Any) -> None:
    found = re.search(r"chatbot (\S+) (\d+)", product.manage("shell", "-c", PREPARE))
    assert found is not None
    title = f"Pine Dental: {int(found[2]) - 1} credits left"

    ask(product, found[1])
    for _ in range(2):
        product.manage("shell", "-c", SWEEP)

    page = browser.new_page()
    mail = mail_to(page, product, "nina@falk.example", title)
    assert f"{product.url}/sub-accounts/" in mail
    assert f"{product.url}/settings/alerts/" in mail
    page.goto(f"{product.url}/sign-in/")
    page.get_by_label("Email").fill("nina@falk.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name=re.compile("Notices.*1")).click()
    expect(page.get_by_role("link", name=title)).to_have_count(1)
    page.get_by_role("button", name="Mark as read").click()
    expect(page.get_by_text("New", exact=True)).to_have_count(0)
    product.manage("check_invariants")
