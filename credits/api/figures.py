"""Amounts as the API says and takes them: whole numbers of smallest steps, and never a fraction that a program may round."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest
from pydantic import BaseModel, Field

from credits import ledger
from credits.models import Unit
from kit.api import Invalid
from kit.units import decimal


class Figure(BaseModel):
    steps: int = Field(description="Smallest steps: a credit is 1, a minute is 60 (seconds). Exact.")
    units: str = Field(description="The same in whole units, two decimals at most, for people.", examples=["1.5"])


def figure_of(amount: int, unit: Unit | str) -> Figure:
    return Figure(steps=amount, units=f"{decimal(amount, unit):f}")


def unit_of(code: str) -> Unit:
    unit = Unit.objects.filter(code=code).first()
    if unit is None:
        known = ", ".join(Unit.objects.values_list("code", flat=True))
        raise Invalid(fields={"unit": f"is none of {known}"})
    return unit


def check(amount: int, unit: Unit | str, *, field: str = "amount") -> None:
    """One request moves or uses `API_LARGEST_AMOUNT` whole units at most."""
    steps = (unit if isinstance(unit, Unit) else unit_of(unit)).steps
    if amount > settings.API_LARGEST_AMOUNT * steps:
        raise Invalid(fields={field: f"is more than {settings.API_LARGEST_AMOUNT * steps}, the most for one request"})


@contextmanager
def discreet(request: HttpRequest) -> Iterator[None]:
    """A client is told that nothing can pay, not whether that is its agency's limit."""
    try:
        yield
    except ledger.PoolLimitReached as refusal:
        if request.sub_account is None:
            raise
        raise ledger.InsufficientCredits(needed=refusal.needed, available=refusal.available) from None
