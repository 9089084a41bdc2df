"""Geometry of the server-rendered charts: numbers in, SVG coordinates out.

Horizontal positions are percentages and vertical ones pixels, so that text keeps its size at every width and nothing needs a
`style` attribute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from babel.dates import format_date
from babel.numbers import format_compact_decimal, format_decimal

PLOT = 168
TOP = 10
LABELS = 22
HEIGHT = TOP + PLOT + LABELS
MOST_LABELS = 6
COLOURS = 6

Number = int | float


@dataclass(frozen=True)
class Series:
    """One thing measured over all labels. The seventh and later series share the last colour."""

    name: str
    values: Sequence[Number]
    index: int = 0

    @property
    def css(self) -> str:
        return f"s{min(self.index, COLOURS - 1) + 1}"


@dataclass(frozen=True)
class Tick:
    at: str
    text: str


class Bar(NamedTuple):
    x: str
    y: str
    width: str
    height: str
    css: str


class Column(NamedTuple):
    x: str
    width: str
    title: str
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Line:
    css: str
    path: str
    area: str


@dataclass(frozen=True)
class Chart:
    """Everything `templates/kit/chart.html` prints."""

    key: str
    title: str
    description: str
    unit: str
    series: tuple[Series, ...]
    values: tuple[Tick, ...]
    labels: tuple[Tick, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    axis: int
    height: int = HEIGHT
    plot: int = PLOT
    top: int = TOP
    base: int = TOP + PLOT
    is_empty: bool = False


def bars(labels: Sequence[Any], series: Sequence[Series], *, title: str, unit: str = "", key: str = "chart") -> Chart:
    """Bars over `labels` (dates or words), the series of one label stacked."""
    highest = max((sum(values) for values in zip(*(one.values for one in series), strict=True)), default=0)
    return _chart(labels, series, highest, title=title, unit=unit, key=key, with_bars=True)


def lines(labels: Sequence[Any], series: Sequence[Series], *, title: str, unit: str = "", key: str = "chart") -> Chart:
    """One line for each series over `labels`."""
    highest = max((max(one.values, default=0) for one in series), default=0)
    return _chart(labels, series, highest, title=title, unit=unit, key=key, with_bars=False)


def _chart(labels: Sequence[Any], series: Sequence[Series], highest: Number, *, title: str, unit: str, key: str, with_bars: bool) -> Chart:
    steps = _steps(highest)
    top = steps[-1]
    words = [_word(label) for label in labels]
    ticks = tuple(Tick(f"{TOP + PLOT - PLOT * step / top:.1f}", _short(step)) for step in steps)
    return Chart(
        key=key,
        title=title,
        description=_describe(words, series, unit),
        unit=unit,
        series=tuple(series),
        values=ticks,
        labels=_label_ticks(words),
        columns=_columns(words, series, top, unit, with_bars=with_bars),
        lines=() if with_bars else tuple(_line(one, top) for one in series),
        rows=tuple((word, tuple(_full(one.values[index]) for one in series)) for index, word in enumerate(words)),
        axis=10 + 7 * max(len(tick.text) for tick in ticks),
        is_empty=highest == 0,
    )


def _columns(words: list[str], series: Sequence[Series], top: Number, unit: str, *, with_bars: bool) -> tuple[Column, ...]:
    width = 100 / max(1, len(words))
    return tuple(
        Column(
            x=f"{index * width:.3f}%",
            width=f"{width:.3f}%",
            title=_title(word, index, series, unit),
            bars=_stack(index, width, series, top) if with_bars else (),
        )
        for index, word in enumerate(words)
    )


def _stack(index: int, width: float, series: Sequence[Series], top: Number) -> tuple[Bar, ...]:
    share = 0.7 if width < 8 else 0.5
    drawn, foot = [], float(TOP + PLOT)
    for one in series:
        height = PLOT * one.values[index] / top
        if height <= 0:
            continue
        foot -= height
        # A hairline of canvas between two series, so that colour is not the only thing that parts them.
        visible = max(0.75, height - (1 if foot + height < TOP + PLOT else 0))
        drawn.append(Bar(f"{(index + (1 - share) / 2) * width:.3f}%", f"{foot:.1f}", f"{share * width:.3f}%", f"{visible:.1f}", one.css))
    return tuple(drawn)


def _line(one: Series, top: Number) -> Line:
    count = len(one.values)
    points = [((index + 0.5) * 100 / count, 100 - 100 * value / top) for index, value in enumerate(one.values)]
    path = "M" + " L".join(f"{x:.2f},{y:.2f}" for x, y in points) if points else ""
    area = f"{path} L{points[-1][0]:.2f},100 L{points[0][0]:.2f},100 Z" if points else ""
    return Line(one.css, path, area)


def spark(values: Sequence[Number]) -> str:
    """The path of a sparkline in a box of 100 × 24; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    top = max(values) or 1
    return "M" + " L".join([f"{x}{22 - 20 * value / top:.1f}" for x, value in zip(_spread(len(values)), values, strict=True)])


@lru_cache(maxsize=128)
def _spread(count: int) -> list[str]:
    """`count` places of a sparkline from left to right, which a table of clients asks for row by row."""
    return [f"{index * 100 / (count - 1):.1f}," for index in range(count)]


def _steps(highest: Number) -> list[Number]:
    """Zero and up to four round values, the last one at or above `highest`."""
    if highest <= 0:
        return [0, 1]
    step = 10 ** (len(str(int(highest))) - 1) / 10 if highest >= 10 else 1
    while highest / step > 4:
        step = step * 2.5 if str(step).lstrip("0.").startswith("2") and step >= 2 else step * 2
    step = int(step) if step == int(step) else step
    count = int(-(-highest // step))
    return [step * index for index in range(count + 1)]


def _label_ticks(words: list[str]) -> tuple[Tick, ...]:
    if not words:
        return ()
    every = max(1, -(-(len(words) - 1) // (MOST_LABELS - 1)))
    shown = range((len(words) - 1) % every, len(words), every)
    width = 100 / len(words)
    return tuple(Tick(f"{(index + 0.5) * width:.2f}%", words[index]) for index in shown)


def _title(word: str, index: int, series: Sequence[Series], unit: str) -> str:
    if len(series) == 1:
        return f"{word}: {_full(series[0].values[index])} {unit}".strip()
    parts = [f"{one.name}: {_full(one.values[index])}" for one in series if one.values[index]]
    return "\n".join([word, *parts])


def _describe(words: list[str], series: Sequence[Series], unit: str) -> str:
    if not words:
        return "No data."
    totals = ", ".join(f"{one.name} {_full(sum(one.values))}" for one in series)
    return f"{words[0]} to {words[-1]}. In total: {totals} {unit}".strip() + "."


def _word(label: Any) -> str:
    return _day(label) if isinstance(label, date) else str(label)


@lru_cache(maxsize=1024)
def _day(day: date) -> str:
    return format_date(day, "d MMM", locale="en")


def _short(value: Number) -> str:
    return _full(value) if value < 10_000 else format_compact_decimal(value, locale="en", fraction_digits=1)


def _full(value: Number) -> str:
    # A chart says hundreds of numbers, and babel takes its time over each to say the same of whole ones.
    return f"{int(value):,}" if value == int(value) else format_decimal(value, locale="en")
