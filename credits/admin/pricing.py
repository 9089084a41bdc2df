"""What a use costs: the platform's own rates, and what it has agreed with single agencies."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from agency.admin import StaffAdmin, staff
from agency.models import Agency
from credits.admin.lists import AgencyField
from credits.models import Deal, PlatformRate, Rate

LARGEST_RATE = 1_000_000
FREE = frozenset({"own_key"})


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    amount = forms.IntegerField(
        label="Smallest steps of the unit",
        min_value=0,
        max_value=LARGEST_RATE,
        help_text="60 is a whole minute where 60 steps make one. Only the use with somebody's own key may be free.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "size": 10}),
    )

    class Meta:
        model = Rate
        fields = ["amount"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("kind") or self.instance.kind
        if cleaned.get("amount") == 0 and kind not in FREE:
            self.add_error("amount", "Only the use with somebody's own key may be free: give 1 or more.")
        return cleaned


class DealForm(RateForm):
    agency = AgencyField(label="Agency", help_text="Its name, web address or public id.")
    kind = forms.ChoiceField(label="Use")

    class Meta:
        model = Deal
        fields = ["agency", "kind", "amount"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = PlatformRate.objects.filter(owner_kind=Rate.PLATFORM).order_by("kind").values_list("kind", flat=True)
        if "kind" in self.fields:
            self.fields["kind"] = forms.ChoiceField(label="Use", choices=[(kind, in_words(kind)) for kind in kinds])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        agency, kind = cleaned.get("agency"), cleaned.get("kind")
        if agency and kind:
            self.instance.owner_kind, self.instance.owner_id = Rate.DEAL, agency.public_id
            if Rate.objects.filter(owner_kind=Rate.DEAL, owner_id=agency.public_id, kind=kind).exclude(pk=self.instance.pk).exists():
                self.add_error("kind", f"There is a deal with {agency.name} about this already: change that one.")
        return cleaned


def in_words(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


class RateAdmin(StaffAdmin):
    form = RateForm
    owner_kind: ClassVar[str] = ""
    ordering: Any = ("kind",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(owner_kind=self.owner_kind)

    @admin.display(description="Use")
    def use(self, rate: Rate) -> str:
        return in_words(rate.kind)


@admin.register(PlatformRate, site=staff)
class PlatformRateAdmin(RateAdmin):
    offers = frozenset({"change"})
    noun = "rate"
    owner_kind = Rate.PLATFORM
    list_display = ("use", "amount")
    fields = ("use", "amount")
    readonly_fields = ("use",)


@admin.register(Deal, site=staff)
class DealAdmin(RateAdmin):
    offers = frozenset({"add", "change", "delete"})
    form = DealForm
    noun = "deal"
    owner_kind = Rate.DEAL
    ordering = ("owner_id", "kind")
    list_display = ("agency", "use", "amount")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agency", "use", "amount") if obj else ("agency", "kind", "amount")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("agency", "use") if obj else ()

    @admin.display(description="Agency")
    def agency(self, deal: Deal) -> str:
        agency = self.agency_of(deal)
        return agency.name if agency else "an agency that is gone"

    def agency_of(self, row: Any) -> Agency | None:
        return Agency.objects.filter(public_id=row.owner_id).first()
