"""The tags and filters of every template."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import NoReverseMatch, reverse

from kit.charts import Series, bars, lines, spark

NOW = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
MINUTE = SimpleNamespace(name="Minute", plural="Minutes", steps=60)
CREDIT = SimpleNamespace(name="Credit", plural="Credits", steps=1)


def render(source: str, **context: Any) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [
        (1999, "USD", "$19.99"),
        (-1999, "USD", "-$19.99"),
        (0, "EUR", "€0.00"),
        (123456789, "GBP", "£1,234,567.89"),
        (1999, "JPY", "¥1,999"),
        (1999, "KWD", "KWD\xa01.999"),
        (1999, "ISK", "ISK\xa01,999"),
        (1999, "IRR", "IRR\xa019.99"),
    ],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, words: str) -> None:
    assert render("{{ minor|money:currency }}", minor=minor, currency=currency) == words


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        (0, CREDIT, "0 credits"),
        (1, CREDIT, "1 credit"),
        (12345, CREDIT, "12,345 credits"),
        (60, MINUTE, "1 minute"),
        (90, MINUTE, "1.5 minutes"),
    ],
)
def test_units_are_words_in_whole_units(amount: int, unit: Any, words: str) -> None:
    assert render("{{ amount|units:unit }}", amount=amount, unit=unit) == words


@pytest.mark.django_db
def test_a_code_stands_for_its_unit() -> None:
    assert render("{{ 2|units:'credit' }} {{ 2|unit_number:'credit' }}") == "2 credits 2"


def test_nothing_is_a_dash() -> None:
    assert render("{{ x|number }}{{ x|money:'USD' }}{{ x|units:'credit' }}{% when x %}", x=None) == "––––"


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=-20), "just now"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(hours=-5), "5 hours ago"),
        (timedelta(days=-1, hours=-1), "1 day ago"),
        (timedelta(minutes=24), "in 24 minutes"),
        (timedelta(days=-8), "12 Nov"),
        (timedelta(days=-365), "20 Nov 2025"),
    ],
)
@time_machine.travel(NOW, tick=False)
def test_a_moment_is_said_from_now(distance: timedelta, words: str) -> None:
    assert f">{words}</time>" in render("{% when moment %}", moment=NOW + distance)


@time_machine.travel(NOW, tick=False)
def test_the_exact_time_is_the_viewers() -> None:
    request = SimpleNamespace(user=SimpleNamespace(time_zone="Asia/Tokyo"))

    said = render("{% when moment 'exact' %}", moment=NOW, request=request)

    assert "20 Nov 2026, 23:05" in said
    assert 'title="20 November 2026, 23:05 (JST)"' in said


def test_without_an_own_zone_the_agencys_counts_and_a_broken_one_does_not_break_the_page() -> None:
    agency = SimpleNamespace(time_zone="Europe/Oslo")
    request = SimpleNamespace(user=SimpleNamespace(time_zone="Mars/Olympus"), agency=agency)

    assert "15:05" in render("{% when moment 'exact' %}", moment=NOW, request=request)


def test_url_with_changes_one_parameter_and_starts_at_the_first_page() -> None:
    request = RequestFactory().get("/sub-accounts/", {"q": "ac me", "sort": "name", "cursor": "x"})

    assert render("{% url_with sort='-name' %}", request=request) == "/sub-accounts/?q=ac+me&amp;sort=-name"
    assert render("{% url_with q=None sort=None %}", request=request) == "/sub-accounts/"


def test_a_column_that_sorts_says_how() -> None:
    request = RequestFactory().get("/", {"sort": "name"})
    head = render("{% sort_th 'Name' 'name' 'name' %}{% sort_th 'Used' 'used' 'name' 'num' %}", request=request)

    assert 'aria-sort="ascending"' in head
    assert 'href="/?sort=-name"' in head
    assert 'href="/?sort=used"' in head


@pytest.mark.parametrize(
    ("name", "letters"), [("Nora Lind", "NL"), ("Harbour & Co", "HC"), ("nora@northlight.example", "NE"), ("", "?"), ("李 小龙", "李小")]
)
def test_initials(name: str, letters: str) -> None:
    assert render("{{ name|initials }}", name=name) == letters


def test_what_a_person_typed_is_escaped() -> None:
    nasty = "<script>alert(1)</script>"
    request = RequestFactory().get("/", {"q": nasty})
    source = (
        "{% avatar x %}{% pill x %}{% stat x x %}{% url_with a=x %}{% sort_th x 'f' '' %}{% bar_chart points x %}{% icon 'plus' label=x %}"
    )

    assert "<script>" not in render(source, x=nasty, request=request, points=[(nasty, 1)])


def test_an_address_of_a_list_is_what_url_says() -> None:
    for number in (1, 2):
        id = UUID(int=number)
        assert render("{% url_of 'client_credits' id %}", id=id) == reverse("client_credits", args=[id])
    with pytest.raises(NoReverseMatch):
        render("{% url_of 'no_such_page' id %}", id=UUID(int=1))


def test_browsers_are_named() -> None:
    edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0 Safari/537.36 Edg/149.0"

    assert render("{{ agent|browser }}", agent=edge) == "Edge on Windows"
    assert render("{{ agent|browser }}", agent="curl/8") == "Unknown browser"


# --- charts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "top"), [([], "1"), ([0, 0], "1"), ([1], "1"), ([3], "3"), ([7], "8"), ([99], "100"), ([101], "150"), ([12_345], "15K")]
)
def test_the_highest_tick_is_round_and_not_below_the_highest_bar(values: list[int], top: str) -> None:
    chart = bars(list(range(len(values))), [Series("Credits", values)], title="Credits")

    assert chart.values[-1].text == top
    assert 2 <= len(chart.values) <= 5


def test_stacked_bars_stand_on_each_other_inside_the_plot() -> None:
    chart = bars(["Mon"], [Series("a", [30], 0), Series("b", [70], 1)], title="t")
    lower, upper = chart.columns[0].bars

    assert float(lower.y) + float(lower.height) == pytest.approx(chart.base, abs=0.1)
    assert float(upper.y) == pytest.approx(chart.top, abs=0.1)
    assert float(upper.y) + float(upper.height) < float(lower.y)


def test_a_chart_brings_its_words_and_its_table() -> None:
    days = [date(2026, 11, day) for day in (18, 19, 20)]
    page = render("{% line_chart days series 'Replies' unit='credits' %}", days=days, series=[("Acme", [1, 2, 1500]), ("Koala", [0, 0, 4])])

    assert "18 Nov to 20 Nov. In total: Acme 1,503, Koala 4 credits." in page
    assert '<td class="num">1,500</td>' in page
    assert "style=" not in page


def test_bars_are_drawn_as_they_are_measured_and_what_a_person_typed_is_escaped() -> None:
    nasty = "<script>&"
    source = "{% stacked_bars labels series 'Use' %}"
    page = render(source, labels=[nasty, "Tue"], series=[(nasty, [3, 0]), ("Koala", [1, 2.5])])
    chart = bars([nasty, "Tue"], [Series(nasty, [3, 0], 0), Series("Koala", [1, 2.5], 1)], title="Use")

    assert "<script>" not in page
    assert page.count('<rect class="bar ') == sum(len(column.bars) for column in chart.columns) == 3
    for bar in (bar for column in chart.columns for bar in column.bars):
        assert f'<rect class="bar {bar.css}" x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}"/>' in page
    assert "<title>&lt;script&gt;&amp;\n&lt;script&gt;&amp;: 3\nKoala: 1</title>" in page
    assert '<tr><th scope="row">Tue</th><td class="num">0</td><td class="num">2.5</td></tr>' in page


def test_a_sparkline_reaches_from_edge_to_edge() -> None:
    assert spark([0, 5, 10]) == "M0.0,22.0 L50.0,12.0 L100.0,2.0"
    assert 'aria-label="Use &amp; more"' in render("{% sparkline values label %}", values=[1, 2], label="Use & more")
    assert 'aria-hidden="true"' in render("{% sparkline values %}", values=[1, 2])


def test_lines_and_sparklines_of_nothing_are_empty() -> None:
    assert lines([], [Series("a", [])], title="t").lines[0].path == ""
    assert spark([5]) == ""
