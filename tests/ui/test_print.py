"""The monthly statement on paper: something an agency can send to its client."""

from collections.abc import Callable

from django.urls import reverse

from kit import clock
from tests.cast import Cast
from tests.ui.conftest import Sight


def test_a_printed_statement_carries_the_agencys_name_and_none_of_the_frame(cast: Cast, look: Callable[..., Sight]) -> None:
    """Z-19, Z-08"""
    month = reverse("credits_month", args=[f"{clock.today_in('Europe/Stockholm'):%Y-%m}"])
    sight = look(f"{month}?client={cast.acme.public_id}", user=cast.nora, scheme="dark")

    sight.page.emulate_media(media="print", color_scheme="dark")
    shown = sight.page.inner_text("body")

    for words in ("Statement of credits", "Northlight Digital", "Acme Plumbing", "Opening balance", "Starter credits", "Europe/Stockholm"):
        assert words in shown
    for words in ("Export CSV", "Sub-accounts", "Month before", "Canopy"):
        assert words not in shown + sight.page.title()
    assert sight.page.evaluate("getComputedStyle(document.querySelector('td')).color") == "rgb(0, 0, 0)"
    assert sight.page.evaluate("getComputedStyle(document.body).backgroundColor") in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
