import re
from decimal import Decimal
from typing import Any

from django import forms

from credits.models import LARGEST, Unit

_WRITTEN_OUT = re.compile(r"[0-9]{1,15}(\.[0-9]+)?")

_WHOLE = re.compile(r"[0-9]{1,9}")


class AmountField(forms.DecimalField):
    """A number in digits. Python's own reading takes `1e999999` too, and half a minute to make a whole number of it."""

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]  # the stubs take a decimal field for a whole number
        if value not in self.empty_values and not _WRITTEN_OUT.fullmatch(str(value).strip()):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class WholeAmountField(forms.CharField):
    """A whole number from 1 to 999,999,999, written in the digits 0 to 9 and nothing else."""

    default_error_messages = {"invalid": "Enter a whole number from 1 to 999,999,999, in digits only. Nothing was moved."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "maxlength": 9}), **kwargs)

    def clean(self, value: Any) -> int:
        typed = super().clean(value)
        if not _WHOLE.fullmatch(typed) or int(typed) == 0:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return int(typed)


class ThresholdForm(forms.Form):
    """The low-balance alert of one pool, typed in whole units."""

    low_at = AmountField(label="Alert below", required=False, min_value=0, decimal_places=2, help_text="Leave it empty for no alert.")

    def __init__(self, *args: Any, unit: Unit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit = unit
        field = self.fields["low_at"]
        field.label = f"Alert below how many {unit.plural}"
        if unit.steps == 1:
            field.widget.attrs["step"] = 1

    def clean_low_at(self) -> int | None:
        wish: Decimal | None = self.cleaned_data["low_at"]
        if wish is None:
            return None
        steps = wish * self.unit.steps
        if steps == 0:
            raise forms.ValidationError("Nothing is below zero: leave it empty for no alert.")
        if steps != int(steps):
            raise forms.ValidationError(f"There are no parts of a {self.unit.name}: give a whole number.")
        if steps > LARGEST:
            raise forms.ValidationError("This is more than a wallet can hold: give a smaller number.")
        return int(steps)
