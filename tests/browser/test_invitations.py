"""The pivotal path in a real browser: Nora invites a sub-account, the client opens the mail, sets a password, works in its workspace."""

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.browser.test_entrance import watch
from tests.browser.test_main_job import mail_to
from tests.cast import PASSWORD
from tests.product import Product

OPEN_NORTHLIGHT = """
from tests.cast import agency, person
agency(name="Northlight Digital", slug="northlight", owner=person("nora@northlight.example", "Nora", "Lind"))
"""


def test_c01_c04_an_invited_client_opens_its_own_workspace(product: Product, browser: Any, chromium: Any) -> None:
    product.manage("shell", "-c", OPEN_NORTHLIGHT)
    nora = browser.new_page()
    nora.goto(f"{product.url}/sign-in/")
    nora.get_by_label("Email").fill("nora@northlight.example")
    nora.get_by_label("Password", exact=True).fill(PASSWORD)
    nora.get_by_role("button", name="Sign in", exact=True).click()
    nora.goto(f"{product.url}/sub-accounts/")
    nora.get_by_role("link", name="Invite sub-account").click()
    nora.get_by_label("Business name").fill("Fjord Bakery")
    nora.get_by_label("E-mail address").fill("ida@fjord.example")
    expect(nora.get_by_label("Web address")).to_have_value("fjord-bakery")
    nora.get_by_role("button", name="Send invite").click()
    expect(nora.get_by_role("region", name="Invited")).to_contain_text("Fjord Bakery")

    client = chromium.new_context()
    ida = client.new_page()
    complaints = watch(ida)
    found = re.search(r"http://\S+/invitation/\S+", mail_to(ida, product, "ida@fjord.example", "invites you to Fjord Bakery"))
    assert found is not None
    ida.goto(found.group(0))
    assert urlsplit(ida.url).path == "/invitation/"
    ida.get_by_label("First name").fill("Ida")
    ida.get_by_label("Password", exact=True).fill("wharf-lantern-ochre-71")
    ida.get_by_role("button", name="Open the workspace").click()
    ida.wait_for_url(f"{product.workspace('fjord-bakery')}/")
    expect(ida.get_by_role("navigation").get_by_role("link", name="People").first).to_be_visible()
    assert complaints == []

    nora.goto(f"{product.url}/sub-accounts/")
    expect(nora.get_by_role("row").filter(has_text="Fjord Bakery")).to_have_count(1)
    expect(nora.get_by_role("region", name="Invited")).to_have_count(0)
    ida.goto(found.group(0))
    expect(ida.get_by_role("heading", name=re.compile("accepted already|somebody else"))).to_be_visible()
    client.close()
