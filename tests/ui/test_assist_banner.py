"""The banner of an assist: nothing a brand's CSS does takes it away, and it counts down to what comes then."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings

from kit import clock
from subaccounts import assist
from tests.cast import Cast, host_of
from tests.ui.conftest import Sight

Look = Callable[..., Sight]
# What a stylesheet of an agency might do to it, each alone and then all of them; as the last layer and outside of any.
# (`!` stands for `!important`.)
HOSTILE = [
    ".banner, .banners, .banner * { display: none! }",
    "html, body, .shell, .banners { visibility: hidden!; opacity: 0! }",
    ".banner * { color: transparent!; -webkit-text-fill-color: transparent!; font-size: 0!; text-indent: -99em! }",
    ".banner { background: #1a1d1b!; color: #1a1d1b!; --locked: #1a1d1b! }",
    ":root { --ink: #fff!; --canvas: #fff!; --raised: #fff!; --sidebar: 200vw! }",
    ".banners { position: fixed!; inset: auto auto 200vh 200vw!; z-index: -1!; margin-top: -999px! }",
    ".banners, .banner { block-size: 0!; inline-size: 0!; overflow: clip!; clip-path: inset(50%)! }",
    ".shell { transform: translateX(-200vw)!; scale: 0!; filter: opacity(0)!; zoom: 0.01! }",
    ".page { position: fixed!; inset: 0!; background: #fff!; z-index: 2147483647!; margin: 0! }",
    "body::after, .shell::before, .banner::after { content: ''!; position: fixed!; inset: 0!; background: #fff!; z-index: 2147483647! }",
    ".skip { position: fixed!; inset: 0!; background: #fff!; z-index: 2147483647! }",
    "dialog { display: block!; position: fixed!; inset: 0!; inline-size: 100vw!; block-size: 100vh!; background: #fff!; z-index: 2147483647! }",
    ".banner, .banner * { pointer-events: none!; user-select: none!; content-visibility: hidden! }",
    ".shell { display: flex!; flex-direction: column-reverse!; grid-template-rows: 0 0! } .banners { order: 9!; grid-area: 9 / 9! }",
    "body { padding-top: 5000px!; block-size: 0!; overflow: hidden! }",
]
SEEN = """() => {
  const banner = document.querySelector('.banner[data-lock]');
  const numbers = (colour) => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)).reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const contrast = (element, ground) => {
    const pair = [light(getComputedStyle(element).webkitTextFillColor), light(getComputedStyle(ground).backgroundColor)].sort((a, b) => b - a);
    return numbers(getComputedStyle(element).webkitTextFillColor)[3] === 255 ? (pair[0] + 0.05) / (pair[1] + 0.05) : 0;
  };
  const hit = (element) => {
    const box = element.getBoundingClientRect();
    const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return box.width > 40 && box.height > 15 && !!at && (element === at || element.contains(at) || at.contains(element) && banner.contains(at));
  };
  const words = banner.querySelector('p'), button = banner.querySelector('form button');
  return {
    shown: banner.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }),
    hit: hit(words) && hit(button),
    contrast: Math.min(contrast(words, banner), contrast(button, button)),
    size: parseFloat(getComputedStyle(words).fontSize),
  };
}"""


@pytest.fixture
def assisting(look: Look, cast: Cast) -> Callable[..., Sight]:
    """Nora in Acme's workspace, with `left` of her half hour."""

    def enter(left: timedelta = timedelta(minutes=30), **how: Any) -> Sight:
        with clock.at(clock.now() - timedelta(minutes=30) + left):
            begun = assist.begin(user=cast.nora, sub_account=cast.acme)
        sight = look("/sign-in/", host=host_of(cast.acme), **how)
        sight.client.force_login(cast.nora, backend=settings.AUTHENTICATION_BACKENDS[0])
        session = sight.client.session
        session["assist"] = str(begun.public_id)
        session.save()
        return sight

    return enter


def test_c11_no_css_takes_the_banner_away(assisting: Callable[..., Sight], cast: Cast) -> None:
    page = assisting().page
    wrong = []
    page.goto(f"http://{host_of(cast.acme)}/settings/")
    page.evaluate("() => { window.sheet = new CSSStyleSheet(); document.adoptedStyleSheets.push(window.sheet); }")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        for css in ("", *HOSTILE, "\n".join(HOSTILE)):
            for wrapped in (css, f"@layer tenant {{ {css} }}"):
                page.evaluate("css => window.sheet.replaceSync(css)", wrapped.replace("!", " !important"))
                seen = page.evaluate(SEEN)
                if not (seen["shown"] and seen["hit"] and seen["contrast"] >= 4.5 and seen["size"] >= 14):
                    wrong.append((width, wrapped[:120], seen))
    assert wrong == []


def test_the_time_counts_down_and_is_a_time_without_scripts(assisting: Callable[..., Sight], cast: Cast, chromium: Any) -> None:
    sight = assisting()
    sight.page.goto(f"http://{host_of(cast.acme)}/")

    assert re.fullmatch(r"in (30:00|29:[0-5]\d)", sight.page.locator("[data-countdown]").inner_text())
    assert sight.page.get_by_role("link", name="Start a new assist").count() == 0
    source = sight.client.get("/").content.decode()
    assert ">at <time" in source
    assert sight.complaints == []
    assert sight.violations() == []


def test_in_the_last_minutes_it_asks_to_finish_and_then_says_that_it_is_over(assisting: Callable[..., Sight], cast: Cast) -> None:
    sight = assisting(timedelta(minutes=5, seconds=20))
    page = sight.page
    page.clock.install(time=clock.now())
    page.goto(f"http://{host_of(cast.acme)}/settings/")
    page.fill("[name=name]", "Acme Plumbing and Heating")
    assert page.locator(".banner[data-urgent]").count() == 0

    page.clock.fast_forward(30_000)

    assert page.locator(".banner[data-urgent]").count() == 1
    assert page.get_by_text("Save what you are working on before then").is_visible()
    assert page.locator("[data-countdown-voice]").inner_text() == "Your assist ends in 5 minutes. What you typed is not saved yet."
    again = page.get_by_role("link", name="Start a new assist")
    assert again.get_attribute("href").endswith(f"/sub-accounts/{cast.acme.public_id}/enter/")
    assert sight.violations() == []

    page.clock.fast_forward(300_000)

    over = page.get_by_role("dialog", name="Your assist has ended")
    assert over.is_visible()
    assert over.get_by_text("What you typed here was not saved").is_visible()
    over.get_by_role("button", name="Stay on this page").click()
    assert page.input_value("[name=name]") == "Acme Plumbing and Heating"
    assert sight.complaints == []


def test_s03_the_drop_down_leads_back_and_marks_where_one_is(assisting: Callable[..., Sight], cast: Cast) -> None:
    page = assisting().page
    page.goto(f"http://{host_of(cast.acme)}/")

    page.get_by_role("button", name="Switch account: Acme Plumbing").click()
    page.locator("#switcher :focus").wait_for()
    page.keyboard.press("ArrowDown")

    assert page.evaluate("document.activeElement.textContent.trim()").endswith("Acme Plumbing")
    assert page.locator("#switcher [aria-current=true]").inner_text().endswith("Acme Plumbing")
    assert page.locator("#switcher form").count() == 1
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.textContent.trim()").endswith("Northlight Digital")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/sub-accounts/{cast.acme.public_id}/")


def test_an_assist_of_less_than_five_minutes_is_urgent_from_the_start(assisting: Callable[..., Sight], cast: Cast) -> None:
    sight = assisting(timedelta(minutes=4))
    source = sight.client.get("/").content.decode()

    assert "data-urgent " in source
    with time_machine.travel(clock.now() + timedelta(minutes=4, seconds=1)):
        assert sight.client.get("/").status_code != 200
