"""An agency asks its team for a second factor; the back button after signing out."""

import re
import time
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from tests.cast import PASSWORD
from tests.product import Product

TEAM = """
from agency.models import Membership
from tests import cast
lakeside = cast.agency(name="Lakeside Media", slug="lakeside", owner=cast.person("nora@lakeside.example", "Nora", "Lind"))
Membership.objects.create(agency=lakeside, user=cast.person("adam@lakeside.example", "Adam", "Okoye"), role="admin")
"""


def sign_in(page: Any, product: Product, email: str) -> None:
    page.goto(f"{product.url}/sign-in/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/home/")


def add_app(page: Any) -> None:
    """With the page that sets up an authenticator app open."""
    secret = page.locator("#authenticator_secret").inner_text().strip()
    page.get_by_label("Authenticator code").fill(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))
    page.get_by_role("button", name="Switch on").click()
    page.wait_for_url(re.compile("/security/(recovery-codes/)?$"))


def test_the_owner_asks_for_a_second_factor_and_a_colleagues_next_click_leads_to_it(product: Product, browser: Any, chromium: Any) -> None:
    product.manage("shell", "--verbosity", "0", "-c", TEAM)
    adam = chromium.new_context().new_page()
    sign_in(adam, product, "adam@lakeside.example")
    nora = browser.new_page()
    sign_in(nora, product, "nora@lakeside.example")
    nora.goto(f"{product.url}/security/app/")
    if "/confirm/" in nora.url:
        nora.get_by_label("Password").fill(PASSWORD)
        nora.get_by_role("button", name="Confirm").click()
    add_app(nora)
    nora.goto(f"{product.url}/settings/security/")
    nora.get_by_label("Everybody in our team needs a second factor").check()
    nora.get_by_role("button", name="Save security settings").click()
    nora.get_by_text("Your security settings are saved").wait_for()
    assert nora.goto(f"{product.url}/home/").ok

    adam.get_by_role("link", name="Sub-accounts").first.click()
    adam.wait_for_url("**/security/required/")
    adam.get_by_text("Lakeside Media asks for a second step").wait_for()
    adam.get_by_role("link", name="Use an authenticator app").click()
    if "/confirm/" in adam.url:
        adam.get_by_label("Password").fill(PASSWORD)
        adam.get_by_role("button", name="Confirm").click()
    add_app(adam)
    adam.get_by_role("link", name="Sub-accounts").first.click()
    adam.wait_for_url("**/sub-accounts/")
    adam.context.close()

    nora.goto(f"{product.url}/settings/")
    nora.goto(f"{product.url}/home/")
    nora.goto(f"{product.url}/sign-out/")
    nora.get_by_role("button", name="Sign out").last.click()
    nora.wait_for_url(lambda address: "sign-out" not in address)
    for _ in range(2):  # B13: what the back button shows
        nora.go_back()
        nora.wait_for_load_state()
    assert "/sign-in/" in nora.url
    assert "Lakeside" not in nora.content()
