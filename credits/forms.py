import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from credits import statement
from credits.models import LARGEST, Unit

NOBODY = UUID(int=0)
_WRITTEN_OUT = re.compile(r"[0-9]{1,15}(\.[0-9]+)?")

_THRESHOLD_ERRORS = {
    "invalid": "Enter a number above zero in at most 15 digits, for instance 250. Leave it empty for no alert.",
    "min_value": "Nothing is below zero: leave it empty for no alert.",
    "max_decimal_places": "Give at most two decimals.",
}

_WHOLE = re.compile(r"[0-9]{1,9}")


class AmountField(forms.DecimalField):
    """A number in digits. Python's own reading takes `1e999999` too, and half a minute to make a whole number of it."""

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]  # the stubs take a decimal field for a whole number
        if value not in self.empty_values and not _WRITTEN_OUT.fullmatch(str(value).strip()):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class WholeAmountField(forms.CharField):
    """A whole number from 1 to 999,999,999, written in the digits 0 to 9 and nothing else; 0 where it may be empty and is."""

    default_error_messages = {"invalid": "Enter a whole number from 1 to 999,999,999, in digits only. Nothing was moved."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}), **kwargs)

    def clean(self, value: Any) -> int:
        typed = super().clean(value)
        if not typed and not self.required:
            return 0
        if not _WHOLE.fullmatch(typed) or int(typed) == 0:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return int(typed)


class ThresholdForm(forms.Form):
    """The low-balance alert of one pool, typed in whole units."""

    low_at = AmountField(
        label="Alert below",
        required=False,
        min_value=0,
        decimal_places=2,
        help_text="Leave it empty for no alert.",
        error_messages=_THRESHOLD_ERRORS,
    )

    def __init__(self, *args: Any, unit: Unit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit = unit
        field = self.fields["low_at"]
        field.label = f"Alert below how many {unit.plural}"
        if unit.steps == 1:
            field.widget.attrs["step"] = 1

    def clean_low_at(self) -> int | None:
        return threshold_steps(self.cleaned_data["low_at"], self.unit)


class ThresholdsForm(forms.Form):
    """The low-balance alerts of one owner, a field for each unit, typed in whole units. `now` has today's in smallest steps."""

    def __init__(self, *args: Any, units: Iterable[Unit], now: Mapping[str, int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.units = list(units)
        for unit in self.units:
            at = now.get(unit.code)
            self.fields[unit.code] = AmountField(
                label=f"Below how many {unit.plural}",
                required=False,
                min_value=0,
                decimal_places=2,
                initial=None if at is None else Decimal(at) / unit.steps,
                error_messages=_THRESHOLD_ERRORS,
            )
            if unit.steps == 1:
                self.fields[unit.code].widget.attrs["step"] = 1

    def clean(self) -> dict[str, int | None]:
        """Each unit's alert in smallest steps, None for no alert."""
        cleaned: dict[str, int | None] = {}
        for unit in self.units:
            if unit.code in self.cleaned_data:
                try:
                    cleaned[unit.code] = threshold_steps(self.cleaned_data[unit.code], unit)
                except forms.ValidationError as error:
                    self.add_error(unit.code, error)
        return cleaned


def threshold_steps(wish: Decimal | None, unit: Unit) -> int | None:
    """`wish` whole units in smallest steps; ValidationError for what no balance can fall below, or is no number of steps."""
    if wish is None:
        return None
    steps = steps_of(wish, unit)
    if steps == 0:
        raise forms.ValidationError("Nothing is below zero: leave it empty for no alert.")
    return steps


def steps_of(wish: Decimal, unit: Unit) -> int:
    """`wish` whole units in smallest steps; ValidationError for parts of a step and for more than there can be."""
    steps = wish * unit.steps
    if steps != int(steps):
        raise forms.ValidationError(f"There are no parts of a {unit.name}: give a whole number.")
    if steps > LARGEST:
        raise forms.ValidationError("This is more than a wallet can hold: give a smaller number.")
    return int(steps)


class DayField(forms.DateField):
    """A day between the years 2000 and 2100, so that no arithmetic with it leaves the calendar."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False,
            widget=forms.DateInput(attrs={"type": "date", "class": "input"}, format="%Y-%m-%d"),
            input_formats=["%Y-%m-%d"],
            error_messages={"invalid": "Give a day as year, month and day, such as 2026-03-01."},
            validators=[
                MinValueValidator(date(2000, 1, 1), "There is nothing before the year 2000."),
                MaxValueValidator(date(2100, 12, 31), "There is nothing after the year 2100."),
            ],
            **kwargs,
        )


class StatementForm(forms.Form):
    """What to look for on the statement, in an address: everything may be left empty. `client` is a public id, `search` a part of a name."""

    client = forms.CharField(label="Client", required=False, max_length=40)
    search = forms.CharField(label="Client", required=False, max_length=120)
    kind = forms.ChoiceField(label="What", required=False, choices=[("", "Everything"), *statement.KINDS.items()])
    unit = forms.ChoiceField(label="Unit", required=False)
    wallet = forms.ChoiceField(label="Wallet", required=False, choices=[("", "All wallets"), *statement.WALLETS.items()])
    own_key = forms.ChoiceField(
        label="AI key", required=False, choices=[("", "Any AI key"), ("yes", "Own AI key"), ("no", "Without own AI key")]
    )
    contact = forms.CharField(label="Contact", required=False, max_length=160)
    campaign = forms.CharField(label="Campaign", required=False, max_length=160)
    first = DayField(label="From")
    last = DayField(label="To")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.units = [(unit.code, unit.plural.capitalize()) for unit in Unit.objects.all()]
        self.fields["unit"].choices = [("", "All units"), *self.units]  # type: ignore[attr-defined]  # the stubs know a plain field

    def clean_client(self) -> UUID | None:
        """Nonsense is nobody's id: it finds no line, rather than everybody's."""
        typed = self.cleaned_data["client"]
        try:
            return UUID(typed) if typed else None
        except ValueError:
            return NOBODY

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = cleaned.get("first"), cleaned.get("last")
        if first and last and first > last:
            self.add_error("last", "The last day is before the first.")
        return cleaned

    def in_words(self) -> Iterator[tuple[str, str]]:
        """The name of each filter that is set, clients aside, and what it asks for."""
        for name, value in self.cleaned_data.items():
            field = self.fields[name]
            if not value or name in ("client", "search"):
                continue
            if isinstance(field, forms.ChoiceField):
                yield name, str(dict(field.choices)[value])  # type: ignore[arg-type]  # pairs, none of them a group
            elif isinstance(field, DayField):
                yield name, f"{field.label} {value:%-d %b %Y}"
            else:
                yield name, f"{field.label}: {value}"
