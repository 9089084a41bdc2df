"""Units and their base prices."""

from decimal import Decimal
from typing import Any

from babel.numbers import is_currency
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.validators import RegexValidator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agency import audit
from agency.admin import StaffAdmin, staff
from credits import ledger
from credits.forms import AmountField
from credits.models import BasePrice, Unit
from kit.refusal import Refusal

MOST_STEPS = 1_000_000
# Babel knows these as codes, but nobody pays in them.
_NO_MONEY = frozenset({"XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XBA", "XBB", "XBC", "XBD", "XDR", "XSU", "XUA"})


class UnitForm(forms.ModelForm):  # type: ignore[type-arg]
    steps = AmountField(
        label="Smallest steps in one",
        decimal_places=0,
        help_text="1 when it is only counted whole, 60 for minutes counted by the second. It says what every stored amount means, "
        "so it cannot be changed later.",
    )

    class Meta:
        model = Unit
        fields = ["code", "name", "plural", "steps", "position"]
        help_texts = {
            "code": "What programs call it. It cannot be changed later.",
            "plural": "The word for several, for instance minutes.",
            "position": "Where it stands in lists.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if code := self.fields.get("code"):
            code.validators.append(
                RegexValidator(r"\A[a-z][a-z0-9_]{1,31}\Z", "Use small letters, digits and underscores, a letter first.")
            )

    def clean_steps(self) -> int:
        steps = int(self.cleaned_data["steps"])
        if not 1 <= steps <= MOST_STEPS:
            raise forms.ValidationError(f"Between 1 and {MOST_STEPS:,} steps make one.")
        return steps


class BasePriceForm(forms.ModelForm):  # type: ignore[type-arg]
    currency = forms.CharField(
        max_length=3, widget=forms.TextInput(attrs={"size": 4, "autocomplete": "off", "autocapitalize": "characters"})
    )
    price = AmountField(max_digits=14, decimal_places=6, widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 14}))

    class Meta:
        model = BasePrice
        fields = ["currency", "price"]

    def clean_currency(self) -> str:
        code: str = self.cleaned_data["currency"].upper()
        if not is_currency(code) or code in _NO_MONEY:
            raise forms.ValidationError("Give the three letters of a currency (ISO 4217), for instance USD.")
        return code

    def clean_price(self) -> Decimal:
        price: Decimal = self.cleaned_data["price"]
        if price <= 0:
            raise forms.ValidationError("A base price is more than nothing.")
        return price


class BasePrices(admin.StackedInline):  # type: ignore[type-arg]
    model = BasePrice
    form = BasePriceForm
    fields = (("currency", "price"),)
    extra = 1
    ordering = ("currency",)
    verbose_name_plural = "base prices: what the platform charges an agency for one"


@admin.register(Unit, site=staff)
class UnitAdmin(StaffAdmin):
    offers = frozenset({"add", "change", "delete"})
    form = UnitForm
    inlines = [BasePrices]
    list_display = ("name", "code", "steps", "prices", "position")
    ordering = ("position", "code")
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("base_prices")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("code", "steps") if obj else ()

    @admin.display(description="Base prices")
    def prices(self, unit: Unit) -> str:
        found = sorted(unit.base_prices.all(), key=lambda one: one.currency)
        return ", ".join(f"{one.price.normalize():f} {one.currency}" for one in found) or "none"

    def save_model(self, request: HttpRequest, obj: Unit, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name", "plural", "position"])
        else:
            ledger.add_unit(obj, by=request.actor)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        unit = self.get_object(request, object_id)
        if not self.has_delete_permission(request, unit):
            raise PermissionDenied
        if unit is None:
            raise Http404
        if request.method == "POST" and self._remove(request, unit):
            return redirect("admin:credits_unit_changelist")
        context = {**staff.each_context(request), "title": f"Delete {unit.name}", "subtitle": unit.name, "opts": self.opts, "unit": unit}
        return render(request, "admin/credits/delete_unit.html", context)

    def _remove(self, request: HttpRequest, unit: Unit) -> bool:
        try:
            with transaction.atomic():
                code = unit.code
                ledger.remove_unit(unit, by=request.actor)
                audit.record("unit.deleted", by=request.actor, agency=None, subject=unit.name, before={"code": code})
        except Refusal as refusal:
            messages.error(request, refusal.message)
            return False
        messages.success(request, f"{unit.name} is deleted.")
        return True
