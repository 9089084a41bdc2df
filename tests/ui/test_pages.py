"""What a browser shows: readable for everybody at both widths, in both schemes, under the strict policy."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import RequestFactory
from playwright.sync_api import expect

from config.errors import server_error
from tests.cast import PASSWORD, Cast, Visitor, host_of
from tests.ui.conftest import MODES, Sight
from whitelabel import resolve, views

Look = Callable[..., Sight]
PUBLIC = ["/", "/sign-in/", "/sign-up/", "/password/reset/", "/find-workspace/"]
OWN = ["/security/", "/security/password/", "/security/email/", "/security/sessions/"]


def assert_fine(sight: Sight) -> None:
    assert sight.complaints == []
    assert sight.overflow() <= 0
    assert sight.violations() == []


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_every_piece_can_be_used_by_everybody(look: Look, width: int, scheme: str) -> None:
    assert_fine(look("/dev/design/", width=width, scheme=scheme))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_form_with_mistakes_can_be_used_by_everybody(look: Look, scheme: str) -> None:
    assert_fine(look("/dev/design/?errors=1", width=390, scheme=scheme))


@pytest.mark.parametrize("path", PUBLIC)
def test_the_pages_of_strangers_can_be_used_by_everybody(look: Look, path: str) -> None:
    assert_fine(look(path, width=390, scheme="dark"))
    assert_fine(look(path))


@pytest.mark.parametrize("path", OWN)
def test_ones_own_pages_can_be_used_by_everybody(look: Look, cast: Cast, path: str) -> None:
    assert_fine(look(path, user=cast.nora))
    assert_fine(look(path, user=cast.nora, width=390, scheme="dark"))


@pytest.mark.parametrize(("accent", "scheme"), [("#ffd400", "light"), ("#000000", "dark"), ("#7c3aed", "dark")])
def test_another_brand_is_as_readable(look: Look, monkeypatch: pytest.MonkeyPatch, accent: str, scheme: str) -> None:
    brand = resolve.platform_brand().with_accent(accent)
    monkeypatch.setattr(views, "brand_for", lambda site: brand)
    monkeypatch.setattr("config.design.platform_brand", lambda: brand)

    sight = look("/dev/design/", scheme=scheme)

    assert (
        sight.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--brand-fill')")
        == f"light-dark({accent},{accent})"
    )
    assert_fine(sight)


# --- the script -------------------------------------------------------------------------------------------------------------


def test_slash_finds_the_search_field(look: Look) -> None:
    page = look("/dev/design/").page

    page.keyboard.press("/")

    assert page.evaluate("document.activeElement.name") == "q"


def test_the_palette_goes_to_a_page_by_its_name(look: Look) -> None:
    page = look("/dev/design/").page

    page.keyboard.press("Control+k")
    page.keyboard.type("forms")
    page.keyboard.press("Enter")

    assert page.url.endswith("#forms")
    assert page.locator("#palette").is_hidden()


def test_the_palette_searches_for_what_it_does_not_list(look: Look) -> None:
    page = look("/dev/design/").page

    page.keyboard.press("Control+k")
    page.keyboard.type("Söre & co")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dev/design/?q=*")

    assert page.url.endswith("?q=S%C3%B6re%20%26%20co")


def test_the_switcher_filters_by_what_is_typed(look: Look) -> None:
    page = look("/dev/design/").page

    page.locator("[popovertarget=switcher]").click()
    expect(page.locator("#switcher [data-filter]")).to_be_focused()
    page.keyboard.type("koala")

    assert page.locator("#switcher form:visible").all_inner_texts() == ["KL\nKoala Legal"]


def test_a_question_mark_shows_the_shortcuts_and_escape_closes_them(look: Look) -> None:
    page = look("/dev/design/").page

    page.keyboard.press("?")
    assert page.locator("#shortcuts").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#shortcuts").is_hidden()


def test_the_sidebar_is_a_sheet_on_a_telephone(look: Look) -> None:
    page = look("/dev/design/", width=390).page
    assert page.locator("#sidebar").is_hidden()

    page.locator("[popovertarget=sidebar]").click()

    assert page.locator("#sidebar").is_visible()


def test_the_first_mistake_has_the_focus_and_leads_to_its_field(look: Look) -> None:
    page = look("/dev/design/?errors=1").page
    assert page.evaluate("document.activeElement.className") == "error-summary"

    page.locator(".error-summary a").first.click()

    assert page.url.endswith("#id_business")
    assert page.get_attribute("#id_business", "aria-invalid") == "true"
    assert page.get_attribute("#id_business", "aria-describedby") == "id_business_helptext id_business_error"


def test_without_scripts_nothing_promises_what_needs_one(look: Look) -> None:
    page = look("/dev/design/").page.context.browser.new_context(java_script_enabled=False).new_page()
    page.set_content(render_to_string("kit/secret.html", {"secret_id": "key", "secret": "s3cret"}))

    assert page.locator("button").is_hidden()
    page.context.close()


def test_a_passkey_that_is_refused_is_explained(look: Look) -> None:
    page = look("/sign-in/").page
    page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new DOMException('cancelled', 'NotAllowedError')) }")

    page.locator("#passkey_login").click()

    page.locator(".passkey-refused").wait_for()


def test_a_passkey_is_made_and_then_signs_in(look: Look, cast: Cast) -> None:
    sight = look("/security/", user=cast.nora)
    page = sight.page
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    sight.client.post("/security/confirm/", {"password": PASSWORD})

    page.goto(page.url + "passkeys/new/")
    page.locator("#mfa_webauthn_add").click()
    page.get_by_text("Your passkey is added").wait_for()
    assert sight.violations() == []

    sight.client.post("/sign-out/")
    page.goto(f"http://{settings.BASE_DOMAIN}/sign-in/")
    page.locator("#passkey_login").click()
    page.get_by_text("Nora Lind").first.wait_for()
    assert sight.client.session["_auth_user_id"] == str(cast.nora.pk)


# --- what goes wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "429", "500", "503"])
def test_error_pages_need_no_database_and_say_what_to_do(code: str) -> None:
    page = render_to_string(f"errors/{code}.html")

    assert f">{code[:3]}<" in page
    assert 'class="button"' in page


def test_a_mistake_of_ours_is_a_page_even_without_a_database() -> None:
    response = server_error(RequestFactory().get("/"))

    assert response.status_code == 500
    assert "Something went wrong on our side" in response.content.decode()


@pytest.mark.django_db
def test_a_missing_page_is_in_our_design() -> None:
    response = Visitor().get("/nowhere/")

    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


# --- the brand --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_brands_colours_are_kept_as_long_as_they_are_the_same() -> None:
    brand = resolve.brand_for(None)
    current = Visitor().get("/brand.css", {"v": brand.css_hash})
    older = Visitor().get("/brand.css", {"v": "older"})

    assert current.content.decode() == brand.css
    assert "max-age=31536000" in current["Cache-Control"]
    assert "max-age=60" in older["Cache-Control"]


def test_only_another_accent_costs_a_request(settings: SimpleNamespace) -> None:
    assert resolve.platform_brand().css_url == ""
    settings.PLATFORM_ACCENT = "#7c3aed"
    assert resolve.platform_brand().css_url.startswith("/brand.css?v=")


def test_the_icon_and_the_styles_are_there() -> None:
    assert all(finders.find(name) for name in ("img/mark.svg", "css/app.css", "css/public.css", "js/app.js"))


@pytest.mark.django_db
def test_sign_in_offers_the_way_for_each_kind_of_person(cast: Cast) -> None:
    platform = Visitor().get("/sign-in/").content.decode()
    workspace = Visitor(host_of(cast.acme)).get("/sign-in/").content.decode()

    for page in (platform, workspace):
        assert "Sign in with a passkey" in page
        assert "Forgot your password?" in page
    assert "Find my workspace" in platform
    assert "Find my workspace" not in workspace
    assert "Acme Plumbing" in workspace


def test_the_base_domain_of_the_tests_is_local() -> None:
    assert settings.BASE_DOMAIN.startswith("localhost")
