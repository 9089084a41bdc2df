"""The audit log of the whole platform: to be looked at."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from agency import deeds
from agency.admin import staff
from agency.models import AuditRecord
from credits.admin.lists import AgencyField, ReadOnlyAdmin, Sieve, SubAccountField, moment, text


class AuditSieve(Sieve):
    agency = AgencyField(label="Agency", required=False)
    client = SubAccountField(label="Sub-account", required=False)
    kind = forms.ChoiceField(label="Kind", required=False, choices=[("", "Any"), *deeds.Kind.choices])
    address = forms.CharField(label="Network address", required=False, max_length=64)
    lookups: ClassVar[dict[str, str]] = {"agency": "agency__public_id", "client": "sub_account_id", "address": "address"}

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows, kind = super().narrow(rows), self.cleaned_data["kind"]
        if kind == deeds.Kind.OTHER:
            return rows.exclude(action__in=deeds.DEEDS)
        return rows.filter(action__in=deeds.actions_of(kind)) if kind else rows


@admin.register(AuditRecord, site=staff)
class AuditRecordAdmin(ReadOnlyAdmin):
    sieve = AuditSieve
    list_display = (moment("at", "When (UTC)"), "who", "what", "whose", text("on_behalf_of", "On behalf of"), text("address", "From"))
    list_select_related = ("agency",)

    @admin.display(description="Who")
    def who(self, row: AuditRecord) -> str:
        return deeds.who(row)

    @admin.display(description="What")
    def what(self, row: AuditRecord) -> str:
        return deeds.in_words(row)

    @admin.display(description="Agency")
    def whose(self, row: AuditRecord) -> str:
        return row.agency.name if row.agency else "The platform"
