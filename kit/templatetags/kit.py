"""The tags and filters every template has. docs/design-system.md shows each in use."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID
from zlib import crc32
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import heroicons
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from django import template
from django.contrib.messages.storage.base import Message
from django.template import Context
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

from kit import charts, clock, links, user_agents
from kit import money as money_words
from kit import units as unit_words

register = template.Library()

LOCALE = "en"
HUES = 6
NOTHING = "–"

# --- icons, people, states --------------------------------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An outline icon in the size of its text. Without a `label` it is decoration and readers skip it."""
    return _drawn(str(name), str(label))


@lru_cache(maxsize=512)
def _drawn(name: str, label: str) -> SafeString:
    # A page has dozens of icons, and drawing one out of the package's archive costs more than the rest of its line.
    meaning = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    svg = heroicons._render_icon("outline", name, 20, {"class": "icon", "stroke_width": "1.75", **meaning})
    return mark_safe(svg)  # noqa: S308 (the package's own drawing; it escapes the label)


@register.filter
def initials(name: object) -> str:
    """One or two letters that stand for a name."""
    words = re.findall(r"\w+", str(name or ""))
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"


@register.simple_tag
def avatar(name: object, shape: str = "round", size: str = "") -> SafeString:
    """Initials on a colour that stays with the name. `shape`: round (people) or square (accounts); `size`: s, l."""
    hue = crc32(str(name or "").encode()) % HUES + 1
    return format_html(
        '<span class="avatar" data-hue="{}" data-shape="{}" data-size="{}" aria-hidden="true">{}</span>', hue, shape, size, initials(name)
    )


@register.simple_tag
def pill(text: object, tone: str = "neutral") -> SafeString:
    """A state in a word. `tone`: good, warn, bad, info, neutral, brand."""
    return format_html('<span class="pill" data-tone="{}">{}</span>', tone, text)


_TONES = {"success": "good", "warning": "warn", "error": "bad", "info": "info", "debug": "neutral"}
_TONE_ICONS = {"good": "check-circle", "warn": "exclamation-triangle", "bad": "exclamation-circle", "info": "information-circle"}


@register.filter
def message_tone(message: Message) -> str:
    return _TONES.get(message.level_tag, "info")


@register.filter
def tone_icon(tone: str) -> str:
    return _TONE_ICONS.get(tone, "information-circle")


# --- numbers, units, money --------------------------------------------------------------------------------------------------


@register.filter
def number(value: Any) -> str:
    """12,345; a dash for nothing."""
    if isinstance(value, int):
        return f"{value:,}"  # what babel says too, which a long list asks hundreds of times
    return NOTHING if value is None or value == "" else format_decimal(value, locale=LOCALE)


@register.filter
def units(amount: int | None, unit: Any) -> str:
    """`amount` smallest steps of `unit` (a `Unit` or its code) with the unit's word: "1 credit", "1.5 minutes"."""
    return NOTHING if amount is None else unit_words.in_words(amount, unit, LOCALE)


@register.filter
def unit_number(amount: int | None, unit: Any) -> str:
    """Like `units` without the word, for a column whose head names the unit."""
    return NOTHING if amount is None else unit_words.figure(amount, unit, LOCALE)


@register.filter
def money(amount_minor: int | None, currency: str) -> str:
    """`amount_minor` in minor units of `currency` (ISO 4217): 1999 and USD are $19.99."""
    return NOTHING if amount_minor is None else money_words.in_words(amount_minor, currency, LOCALE)


@register.filter
def unit_price(price: Decimal | None, currency: str) -> str:
    """What one unit costs, in major units of `currency`; parts of a minor unit are shown where there are any."""
    return NOTHING if price is None else money_words.price_in_words(price, currency, LOCALE)


@register.filter
def percent(part: Any, whole: Any) -> str:
    """`part` of `whole`, rounded to a whole percent; a dash when there is no whole."""
    return f"{round(Decimal(part) * 100 / Decimal(whole))} %" if whole else NOTHING


# --- small words --------------------------------------------------------------------------------------------------------------


@register.filter
def browser(user_agent: str) -> str:
    return user_agents.in_words(user_agent)


@register.filter
def is_noise(attribute: str, kind: str | None) -> bool:
    """Whether an attribute of an input only repeats its label: the sign-in library's placeholders do."""
    return attribute == "placeholder" and kind in ("email", "password")


# --- time -------------------------------------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def when(context: Context, moment: datetime | date | None, form: str = "relative", zone: str = "") -> SafeString | str:
    """A moment as a `time` element: words to read, the exact time in the viewer's zone (or in `zone`) on hover.

    `form`: relative ("3 minutes ago"), date ("12 Nov 2026"), exact ("12 Nov 2026, 14:05") or clock ("14:05").
    """
    if moment is None:
        return NOTHING
    if not isinstance(moment, datetime):
        return format_html('<time datetime="{}">{}</time>', moment.isoformat(), _day(moment, clock.now().date()))
    here = moment.astimezone(ZoneInfo(zone) if zone else _zone(context))
    exact = f"{format_datetime(here, 'd MMMM y, HH:mm', locale=LOCALE)} ({here.tzname()})"
    if form == "relative":
        text = relative(moment, here)
        return format_html(
            '<time datetime="{}" title="{}" data-relative>{}</time>', moment.astimezone(UTC).isoformat(timespec="seconds"), exact, text
        )
    pattern = {"exact": "d MMM y, HH:mm", "clock": "HH:mm"}.get(form, "d MMM y")
    text = format_datetime(here, pattern, locale=LOCALE)
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(timespec="seconds"), exact, text)


def relative(moment: datetime, here: datetime | None = None) -> str:
    """How long ago or how soon, up to a week; then the date (of `here`, the moment in the viewer's zone)."""
    distance = moment - clock.now()
    seconds = abs(distance.total_seconds())
    if seconds < 45:
        return "just now"
    if seconds >= timedelta(days=7).total_seconds():
        return _day((here or moment).date(), clock.now().astimezone((here or moment).tzinfo).date())
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size or word == "minute":
            count = max(1, round(seconds / size))
            break
    words = f"{count} {word}{'' if count == 1 else 's'}"
    return f"in {words}" if distance.total_seconds() > 0 else f"{words} ago"


def _day(day: date, today: date) -> str:
    return format_date(day, "d MMM" if day.year == today.year else "d MMM y", locale=LOCALE)


def _zone(context: Mapping[str, Any] | Context) -> ZoneInfo:
    request = context.get("request")
    person = getattr(getattr(request, "user", None), "time_zone", "")
    agency = getattr(getattr(request, "agency", None), "time_zone", "")
    for name in (person, agency):
        try:
            if name:
                return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return ZoneInfo("UTC")


# --- addresses --------------------------------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def url_with(context: Context, **changes: Any) -> str:
    """This page's address with query parameters changed; None or an empty text takes one away. Always drops `cursor`."""
    request = context["request"]
    query = request.GET.copy()
    for name, value in {"cursor": None, **changes}.items():
        if value is None or value == "":
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"{request.path}?{query.urlencode()}" if query else request.path


@register.simple_tag
def url_of(name: str, id: UUID) -> str:
    """What `url` says of an address with one id in it, for a list that asks for hundreds."""
    return links.url_of(name, id)


@register.simple_tag(takes_context=True)
def sort_th(context: Context, title: str, field: str, current: str = "", align: str = "") -> SafeString:
    """A table head that sorts by `field` with `?sort=field`, and the other way round when it already does."""
    direction = "ascending" if current == field else "descending" if current == f"-{field}" else ""
    address = url_with(context, sort=f"-{field}" if direction == "ascending" else field)
    arrow = {"ascending": icon("chevron-up"), "descending": icon("chevron-down")}.get(direction, "")
    sorted_by = format_html(' aria-sort="{}"', direction) if direction else ""
    return format_html('<th scope="col" class="{}"{}><a href="{}">{}{}</a></th>', align, sorted_by, address, title, arrow)


# --- figures ----------------------------------------------------------------------------------------------------------------


@register.inclusion_tag("kit/stat.html")
def stat(
    label: str, value: Any, unit: str = "", note: str = "", tone: str = "", url: str = "", trend: Sequence[int] | None = None
) -> dict[str, Any]:
    """One figure: label, value (a number is grouped), unit word, a note with a tone, a link, a sparkline."""
    shown = number(value) if isinstance(value, int | float | Decimal) else value
    return {"label": label, "value": shown, "unit": unit, "note": note, "tone": tone, "url": url, "trend": trend}


@register.simple_tag
def sparkline(values: Sequence[int], label: str = "") -> SafeString:
    """A small line for a row of a table; without a `label` readers skip it."""
    meaning = format_html(' role="img" aria-label="{}"', label) if label else mark_safe(' aria-hidden="true"')
    drawing = '<svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none"{}><path d="{}"/></svg>'
    return format_html(drawing, meaning, charts.spark(list(values)))


@register.inclusion_tag("kit/share.html")
def share(part: int, whole: int, label: str = "") -> dict[str, Any]:
    """A thin bar of how much of `whole` is `part`; 100 % at most."""
    return {"percent": min(100, round(100 * part / whole)) if whole else 0, "label": label}


@register.inclusion_tag("kit/chart.html")
def bar_chart(points: Sequence[tuple[Any, int]], title: str, unit: str = "", name: str = "") -> dict[str, Any]:
    """Bars for (label, value) pairs; labels are dates or words."""
    series = [charts.Series(name or unit.capitalize() or title, [value for _, value in points])]
    return {"chart": charts.bars([label for label, _ in points], series, title=title, unit=unit, key=_key(title))}


@register.inclusion_tag("kit/chart.html")
def stacked_bars(labels: Sequence[Any], series: Sequence[tuple[str, Sequence[int]]], title: str, unit: str = "") -> dict[str, Any]:
    """Bars of several series on top of each other; `series` are (name, values) pairs."""
    return {"chart": charts.bars(labels, _series(series), title=title, unit=unit, key=_key(title))}


@register.inclusion_tag("kit/chart.html")
def line_chart(labels: Sequence[Any], series: Sequence[tuple[str, Sequence[int]]], title: str, unit: str = "") -> dict[str, Any]:
    """A line for each of the (name, values) pairs."""
    return {"chart": charts.lines(labels, _series(series), title=title, unit=unit, key=_key(title))}


# Hundreds of elements each, all of numbers: a template would take longer over them than over the rest of the page.


@register.filter
def drawn_columns(chart: charts.Chart) -> SafeString:
    """The columns of a chart with their bars, as SVG."""
    return mark_safe("".join(_column(chart, column) for column in chart.columns))  # noqa: S308 (the words are escaped, the rest is numbers)


def _column(chart: charts.Chart, column: charts.Column) -> str:
    bars = [f'<rect class="bar {css}" x="{x}" y="{y}" width="{width}" height="{height}"/>' for x, y, width, height, css in column.bars]
    hit = f'<rect class="hit" x="{column.x}" y="{chart.top}" width="{column.width}" height="{chart.plot}"/>'
    return f'<g class="day"><title>{escape(column.title)}</title>{hit}{"".join(bars)}</g>'


_CELL = '<td class="num">{}</td>'


@register.filter
def table_rows(chart: charts.Chart) -> SafeString:
    """The numbers of a chart as rows of a table."""
    rows = [
        f'<tr><th scope="row">{escape(label)}</th>{"".join([_CELL.format(cell) for cell in cells])}</tr>' for label, cells in chart.rows
    ]
    return mark_safe("".join(rows))  # noqa: S308 (as above)


def _series(pairs: Sequence[tuple[str, Sequence[int]]]) -> list[charts.Series]:
    return [charts.Series(name, list(values), index) for index, (name, values) in enumerate(pairs)]


def _key(title: str) -> str:
    return f"chart-{slugify(title)}"
