"""The entrance in a real browser: signing up, a passkey, and a cookie from next door."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.product import Product

PASSWORD = "analytical-engine-1843"


@pytest.fixture(scope="module")
def product(chromium: Any) -> Iterator[Product]:
    made = Product("entrance")
    try:
        yield made.start()
    finally:
        made.stop()


def code_mailed_to(product: Product, address: str) -> str:
    """The code in the newest mail to `address`; waits until it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for mail in sorted((product.logs / "mail").glob("*"), key=lambda file: file.stat().st_mtime, reverse=True):
            text = mail.read_text()
            if f"To: {address}" in text and (found := re.search(r"^ {4}(\S+)$", text, re.MULTILINE)):
                return found.group(1)
        time.sleep(0.2)
    raise AssertionError(product.log_tail())


def sign_up(page: Any, product: Product, email: str, agency: str) -> None:
    page.goto(f"{product.url}/sign-up/")
    page.get_by_label("First name").fill("Ada")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Code").fill(code_mailed_to(product, email))
    page.get_by_role("button", name=re.compile("Confirm|Continue")).click()
    page.wait_for_url("**/agency/new/")
    page.get_by_label("Agency name").fill(agency)
    page.get_by_text("Your address will be").wait_for()
    page.get_by_role("button", name="Open the agency").click()
    page.wait_for_url("**/home/")


def watch(page: Any) -> list[str]:
    """What the page's console complains about, policies included."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def test_a_stranger_opens_an_agency_and_comes_back_with_a_passkey(product: Product, browser: Any) -> None:
    page = browser.new_page()
    complaints = watch(page)
    sign_up(page, product, "ada@example.com", "Byron & Co")
    devices = browser.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": {**options, "automaticPresenceSimulation": True}})

    page.goto(f"{product.url}/security/passkeys/new/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("Confirm|Continue")).click()
    page.wait_for_url("**/security/passkeys/new/")
    page.get_by_label("Name").fill("My laptop")
    page.get_by_label(re.compile("Passwordless|sign in", re.IGNORECASE)).first.check()
    page.get_by_role("button", name=re.compile("Add|Create|Save")).first.click()
    page.wait_for_url(re.compile("/security/(recovery-codes/)?$"))

    page.goto(f"{product.url}/sign-out/")
    page.get_by_role("button", name="Sign out").last.click()
    page.goto(f"{product.url}/sign-in/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/home/")
    assert page.goto(f"{product.url}/settings/").ok
    assert complaints == []


def test_b01_a_cookie_set_next_door_does_not_arrive(product: Product, browser: Any) -> None:
    page = browser.new_page()
    sign_up(page, product, "eve@example.com", "Evil and Sons")
    page.goto(f"{product.workspace('evil-and-sons')}/sign-in/")
    before = {(cookie["name"], cookie["value"]) for cookie in browser.cookies(product.url)}
    for name in ("__Host-session", "__Host-csrf", "__Host-device"):
        page.evaluate(f"document.cookie = '{name}=tossed; Domain=localhost; Path=/; Secure'")
    assert {(cookie["name"], cookie["value"]) for cookie in browser.cookies(product.url)} == before
    assert page.goto(f"{product.url}/settings/").ok
    assert page.get_by_label("Agency name").input_value() == "Evil and Sons"
