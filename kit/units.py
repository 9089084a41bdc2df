"""Amounts of a unit in words. A unit is anything with `steps`, `name` and `plural`; a code is looked up once a minute per process."""

import time
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

from babel.numbers import format_decimal
from django.apps import apps

REMEMBERED_SECONDS = 60


class Unit(Protocol):
    name: str
    plural: str
    steps: int


def figure(amount: int, unit: Unit | str, locale: str = "en") -> str:
    """`amount` smallest steps as a number of whole units, two decimals at most: 90 steps of 60 are 1.5."""
    known = _unit(unit)
    if known.steps == 1 and locale == "en":
        return f"{amount:,}"  # what babel says too, which a long list asks hundreds of times
    return format_decimal(_whole(amount, known), format="#,##0.##", locale=locale)


def decimal(amount: int, unit: Unit | str) -> Decimal:
    """`figure` as a number, for files."""
    known = _unit(unit)
    return Decimal(amount) if known.steps == 1 else Decimal(figure(amount, known).replace(",", ""))


def in_words(amount: int, unit: Unit | str, locale: str = "en") -> str:
    """`figure` and the unit's word, singular for exactly one."""
    known = _unit(unit)
    word = known.name if abs(_whole(amount, known)) == 1 else known.plural
    return f"{figure(amount, known, locale)} {word.lower()}"


def _whole(amount: int, unit: Unit) -> Decimal:
    return Decimal(amount) / unit.steps


def _unit(unit: Unit | str) -> Unit:
    return _of_code(str(unit), int(time.monotonic() // REMEMBERED_SECONDS)) if isinstance(unit, str) else unit


@lru_cache(maxsize=64)
def _of_code(code: str, minute: int) -> Unit:
    return apps.get_model("credits", "Unit").objects.get(code=code)
