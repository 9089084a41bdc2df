"""The main job, walked through pages by the people who do it: an agency, its client, the client's visitor."""

import re
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Website
from tests.product import ROOT, Product

AGENCY_PASSWORD = "a-long-quiet-river-9"
CLIENT_PASSWORD = "my-own-kitchen-table-77"


def mail_to(page: Page, product: Product, address: str, subject: str) -> str:
    """The text of the newest mail to `address` whose subject holds `subject`."""
    for _ in range(80):
        page.goto(f"{product.url}/dev/mail/")
        row = page.get_by_role("row").filter(has_text=address).filter(has_text=subject)
        if row.count():
            row.first.get_by_role("link").click()
            return page.inner_text("main")
        time.sleep(0.25)
    raise AssertionError(f"no mail “{subject}” to {address}\n{product.log_tail()}")


def sign_up(page: Page, mailbox: Page, product: Product) -> None:
    page.goto(product.url)
    page.get_by_role("link", name="Start free trial").first.click()
    page.get_by_label("First name").fill("Olga")
    page.get_by_label("Last name").fill("Stone")
    page.get_by_label("Email").fill("olga@stone.example")
    page.get_by_label("Password", exact=True).fill(AGENCY_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    found = re.search(r"\b([A-Z0-9]{4}-[A-Z0-9]{4})\b", mail_to(mailbox, product, "olga@stone.example", "confirmation code"))
    assert found is not None
    page.get_by_label("Code").fill(found.group(1))
    page.get_by_role("button", name=re.compile("Confirm|Continue")).first.click()
    page.get_by_label("Agency name").fill("Stone Agency")
    page.get_by_label(re.compile("address", re.I)).first.fill("stone-agency")
    page.get_by_role("button", name=re.compile("Open|Start|Create")).last.click()
    expect(page.get_by_role("heading", name="Stone Agency")).to_be_visible()


def add_account(page: Page) -> str:
    page.get_by_role("link", name="Add account").first.click()
    page.get_by_label("Business name").fill("Pike Plumbing")
    page.get_by_label("First name").fill("Walter")
    page.get_by_label("Last name").fill("Pike")
    page.get_by_label("E-mail").first.fill("walter@pike.example")
    page.get_by_role("button", name="Open sub-account").click()
    expect(page.get_by_role("heading", name="Pike Plumbing is open")).to_be_visible()
    return page.locator("#first-password").inner_text().strip()


def first_sign_in(page: Page, product: Product, password: str) -> None:
    page.goto(product.workspace("pike-plumbing"))
    page.get_by_label("Email").fill("walter@pike.example")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Choose your own password")).to_be_visible()
    for box in page.locator("input[type=password]").all():
        box.fill(CLIENT_PASSWORD)
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_role("navigation").get_by_role("link", name="Chatbots").first).to_be_visible()


def make_chatbot(page: Page, website: Website) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Chatbots").first.click()
    page.get_by_role("link", name=re.compile("New chatbot|Make.*chatbot")).first.click()
    page.get_by_label("Name").first.fill("Pipe helper")
    page.get_by_label("Allowed websites").fill(website.origin)
    page.get_by_role("button", name="Make chatbot").click()


def import_faqs(page: Page, faqs: Path) -> None:
    page.get_by_role("link", name="FAQs").first.click()
    page.get_by_role("link", name=re.compile("Import")).first.click()
    page.locator("input[type=file]").set_input_files(str(faqs))
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("button", name=re.compile(r"Import \d+ rows")).click()
    expect(page.get_by_text("Done", exact=False).first).to_be_visible(timeout=20_000)


def embed_code(page: Page) -> str:
    page.get_by_role("link", name=re.compile("Chatbots")).first.click()
    page.get_by_role("link", name="Pipe helper").first.click()
    page.get_by_role("link", name="Install").first.click()
    return page.locator("#tag").inner_text().strip()


def ask(page: Page, website: Website, question: str) -> str:
    page.goto(website.origin)
    page.wait_for_function("document.querySelector('chat-widget')")
    chat = next(frame for frame in page.frames if "/widget/" in frame.url)
    expect(chat.get_by_role("heading", name="Pipe helper")).to_be_attached()
    page.wait_for_timeout(500)  # the launcher shows when the frame has answered; its shadow is closed to the page and to us
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    chat.get_by_label("Your message").fill(question)
    chat.get_by_label("Your message").press("Enter")
    answer = chat.get_by_role("log").get_by_text(re.compile("emergency|night", re.I)).nth(1)
    expect(answer).to_be_visible(timeout=15_000)
    return answer.inner_text()


def test_a_stranger_does_the_main_job_from_sign_up_to_the_statement_line(
    product: Product, website: Website, browser: Any, chromium: Any, tmp_path: Path
) -> None:
    agency, mailbox = browser.new_page(), browser.new_page()
    sign_up(agency, mailbox, product)
    password = add_account(agency)
    assert password in mail_to(mailbox, product, "walter@pike.example", "")

    client_context = chromium.new_context()
    client = client_context.new_page()
    first_sign_in(client, product, password)
    make_chatbot(client, website)
    import_faqs(client, ROOT / "demo" / "faqs" / "acme-plumbing.csv")
    website.embed = embed_code(client)

    visitor_context = chromium.new_context()
    visitor = visitor_context.new_page()
    answer = ask(visitor, website, "Do you have an emergency plumber at night?")
    assert len(answer) > 40

    client.get_by_role("link", name="Inbox").first.click()
    expect(client.get_by_text("emergency plumber at night").filter(visible=True).first).to_be_visible()

    agency.goto(f"{product.url}/credits/statement/")
    line = agency.get_by_role("row").filter(has_text="AI reply")
    expect(line).to_have_count(1)
    expect(line).to_contain_text("Pike Plumbing")
    expect(line).to_contain_text("1")

    product.manage("audit_ledger")
    product.manage("check_invariants")
    client_context.close()
    visitor_context.close()
