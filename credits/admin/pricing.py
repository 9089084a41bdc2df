"""What a use costs: the platform's own rates, and what it has agreed with single agencies."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from agency.admin import StaffAdmin, staff
from agency.models import Agency
from credits import rates
from credits.admin.lists import AgencyField
from credits.forms import AmountField
from credits.models import Deal, PlatformRate, Rate
from kit.units import in_words


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    amount = AmountField(
        label="Smallest steps of the unit",
        min_value=0,
        max_value=rates.MOST,
        decimal_places=0,
        help_text="60 is a whole minute, where a minute is counted by the second. Only the use with one's own key may be free.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "size": 10}),
    )

    class Meta:
        model = Rate
        fields = ["amount"]

    def clean_amount(self) -> int:
        return int(self.cleaned_data["amount"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = rates.KINDS.get(cleaned.get("kind") or self.instance.kind)
        if cleaned.get("amount") == 0 and not (kind and kind.may_be_free):
            self.add_error("amount", "Only the use with one's own key may be free: give 1 or more.")
        return cleaned


class DealForm(RateForm):
    agency = AgencyField(label="Agency", help_text="Its name, web address or public id.")
    kind = forms.ChoiceField(label="Use", choices=[(kind.code, kind.name) for kind in rates.KINDS.values()])

    class Meta:
        model = Deal
        fields = ["agency", "kind", "amount"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        agency, kind = cleaned.get("agency"), cleaned.get("kind")
        if agency and kind:
            self.instance.owner_kind, self.instance.owner_id = Rate.DEAL, agency.public_id
            if Rate.objects.filter(owner_kind=Rate.DEAL, owner_id=agency.public_id, kind=kind).exists():
                self.add_error("kind", f"There is a deal with {agency.name} about this already: change that one.")
        return cleaned


class RateAdmin(StaffAdmin):
    form = RateForm
    owner_kind: ClassVar[str] = ""
    ordering: ClassVar[Any] = ("kind",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(owner_kind=self.owner_kind)

    def save_model(self, request: HttpRequest, obj: Rate, form: Any, change: bool) -> None:
        rates.set_rate(owner_kind=self.owner_kind, owner_id=obj.owner_id, kind=obj.kind, amount=obj.amount, by=request.actor)
        obj.pk = Rate.objects.get(owner_kind=self.owner_kind, owner_id=obj.owner_id, kind=obj.kind).pk

    @admin.display(description="Use")
    def use(self, rate: Rate) -> str:
        return rates.KINDS[rate.kind].name if rate.kind in rates.KINDS else rate.kind

    @admin.display(description="Costs")
    def costs(self, rate: Rate) -> str:
        kind = rates.KINDS.get(rate.kind)
        return f"{in_words(rate.amount, kind.unit)} per {kind.counted}" if kind else f"{rate.amount:,}"


@admin.register(PlatformRate, site=staff)
class PlatformRateAdmin(RateAdmin):
    offers = frozenset({"change"})
    noun = "rate"
    owner_kind = Rate.PLATFORM
    list_display = ("use", "costs")
    fields = ("use", "amount")
    readonly_fields = ("use",)


@admin.register(Deal, site=staff)
class DealAdmin(RateAdmin):
    offers = frozenset({"add", "change", "delete"})
    noun = "deal"
    owner_kind = Rate.DEAL
    ordering = ("owner_id", "kind")
    list_display = ("agency", "use", "costs")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **({} if obj else {"form": DealForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agency", "use", "amount") if obj else ("agency", "kind", "amount")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agency", "use") if obj else ()

    @admin.display(description="Agency")
    def agency(self, deal: Deal) -> str:
        agency = self.agency_of(deal)
        return agency.name if agency else "an agency that is gone"

    def subject_of(self, row: Any) -> str:
        return f"{self.use(row)}, {self.costs(row)}"

    def agency_of(self, row: Any) -> Agency | None:
        return Agency.objects.filter(public_id=row.owner_id).first()
