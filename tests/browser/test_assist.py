"""Entering a client's workspace and coming back, over two hosts in a real browser with its own rules about cookies and forms."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.cast import PASSWORD
from tests.product import Product

SEED = "from tests import cast; cast.assemble()"


@pytest.fixture(scope="module")
def product(chromium: Any, worker_id: str) -> Iterator[Product]:
    made = Product(f"assist_{worker_id}")
    try:
        made.start()
        made.manage("shell", "--verbosity", "0", "-c", SEED)
        yield made
    finally:
        made.stop()


def sign_in(context: Any, base: str, email: str) -> Any:
    page = context.new_page()
    page.goto(f"{base}/sign-in/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda address: "sign-in" not in address)
    return page


def detail_of_acme(page: Any, product: Product) -> str:
    page.goto(f"{product.url}/sub-accounts/?q=acme")
    page.get_by_role("link", name="Acme Plumbing").click()
    page.wait_for_url("**/sub-accounts/*-*/")
    return page.url


def test_one_click_enters_and_one_click_returns(product: Product, browser: Any) -> None:
    page = sign_in(browser, product.url, "nora@northlight.example")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    home = detail_of_acme(page, product)

    page.get_by_role("button", name="Enter workspace").click()
    page.wait_for_url(f"{product.workspace('acme-plumbing')}/")
    expect(page.get_by_text("You are working in Acme Plumbing as Nora Lind")).to_be_visible()
    page.get_by_role("button", name="Return to Northlight Digital").click()
    page.wait_for_url(home)

    page.goto(f"{product.workspace('acme-plumbing')}/")
    assert "/sign-in/" in page.url
    assert complaints == []


def test_nora_changes_a_chatbot_for_acme_and_paul_reads_what_she_did(product: Product, chromium: Any, browser: Any) -> None:
    """Both sides of an assist, from the wish to the trail."""
    reason = "A greeting for the winter, as agreed by phone"
    page = sign_in(browser, product.url, "nora@northlight.example")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    home = detail_of_acme(page, product)
    page.get_by_role("link", name="Enter with a reason…").click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Enter workspace").click()
    page.wait_for_url(f"{product.workspace('acme-plumbing')}/")

    expect(page.locator("[data-countdown]")).to_have_text(re.compile(r"^in (30:00|29:[0-5]\d)$"))
    first = page.locator("[data-countdown]").inner_text()
    expect(page.locator("[data-countdown]")).not_to_have_text(first)
    page.goto(f"{product.workspace('acme-plumbing')}/chatbots/new/")
    page.get_by_role("textbox", name="Name").fill("Pip")
    page.get_by_role("button", name="Make chatbot").click()
    page.wait_for_url("**/chatbots/*-*/**")
    page.get_by_role("button", name="Return to Northlight Digital").click()
    page.wait_for_url(home)
    expect(page.get_by_text(reason)).to_be_visible()
    assert complaints == []

    theirs = chromium.new_context()
    paul = sign_in(theirs, product.workspace("acme-plumbing"), "paul@acme-plumbing.example")
    paul.goto(f"{product.workspace('acme-plumbing')}/settings/")
    paul.get_by_role("link", name="Assists").click()
    row = paul.get_by_role("row").filter(has_text=reason)
    expect(row).to_contain_text("Returned")
    row.get_by_role("link", name="Nora Lind").click()
    expect(paul.get_by_text("Nora Lind made the chatbot Pip")).to_be_visible()
    theirs.close()


def test_the_switcher_enters_too_and_signing_out_of_the_agency_ends_it(product: Product, browser: Any) -> None:
    page = sign_in(browser, product.url, "adam@northlight.example")
    page.get_by_role("button", name="Switch account").click()
    page.locator("#switcher").get_by_role("button", name="Koala Legal").click()
    page.wait_for_url(f"{product.workspace('koala-legal')}/")
    agency = browser.new_page()
    agency.goto(f"{product.url}/home/")
    agency.get_by_role("button", name="Your account").click()
    agency.get_by_role("button", name="Sign out").first.click()
    agency.wait_for_load_state()

    page.reload()

    expect(page.get_by_role("heading", name="Your assist has ended")).to_be_visible()
    page.get_by_role("link", name="Start a new assist").click()
    assert "/sign-in/" in page.url


def test_c05_where_a_client_is_signed_in_nobody_takes_over(product: Product, browser: Any) -> None:
    client = sign_in(browser, product.workspace("acme-plumbing"), "paul@acme-plumbing.example")
    page = sign_in(browser, product.url, "nora@northlight.example")
    detail_of_acme(page, product)

    page.get_by_role("button", name="Enter workspace").click()
    expect(page.get_by_role("heading", name="Somebody is signed in here")).to_be_visible()
    client.reload()

    expect(client.get_by_text("Paul Acme").first).to_be_visible()


def test_without_scripts_a_button_carries_the_token(product: Product, chromium: Any, browser: Any) -> None:
    with_scripts = sign_in(browser, product.url, "nora@northlight.example")
    home = detail_of_acme(with_scripts, product)
    context = chromium.new_context(java_script_enabled=False, storage_state=browser.storage_state())
    page = context.new_page()
    page.goto(home)

    page.get_by_role("button", name="Enter workspace").click()
    page.get_by_role("button", name="Enter Acme Plumbing").click()

    expect(page.get_by_text("You are working in Acme Plumbing")).to_be_visible()
    context.close()
