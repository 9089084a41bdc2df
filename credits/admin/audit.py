"""Audits of the books: the last ones, what they found, and “Audit now”."""

import re
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, reverse
from django.views.decorators.http import require_POST

from agency import audit as audit_log
from agency.admin import staff
from credits import audits, checks
from credits.admin.lists import ReadOnlyAdmin, amount_of, moment, owner_names, text
from credits.books import CONVERTED, EXPIRED, ISSUED, SOLD, USED, VOIDED
from credits.models import AuditRun, Unit, Wallet

# The order of the books: where units come from, who has them, where they went.
ACCOUNTS = (
    ("Sold", SOLD),
    ("Issued", ISSUED),
    ("Agencies' pools", "pools"),
    ("Clients' wallets", "wallets"),
    ("Used", USED),
    ("Expired", EXPIRED),
    ("Converted", CONVERTED),
    ("Voided", VOIDED),
)
_ID = re.compile(r"wallet ([0-9a-f-]{36})")


@admin.register(AuditRun, site=staff)
class AuditRunAdmin(ReadOnlyAdmin):
    change_list_template = "admin/credits/audit_list.html"
    list_display = (moment("started_at", "Asked for (UTC)"), "going_on", "took", "findings", text("by_label", "By"))

    def more_urls(self) -> list[URLPattern]:
        return [self.page("run/", self.ask, "run", unaudited="asking writes its record; while an audit goes on nothing happens")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        more = {"laws": checks.LAWS, "may_ask": self._may_ask(request)}
        response = super().changelist_view(request, {**(extra_context or {}), **more, "title": "Audit of the books"})
        if (context := getattr(response, "context_data", None)) and "cl" in context:
            context["is_going_on"] = any(row.state in audits.GOING_ON for row in context["cl"].result_list)
            follow(response, context["is_going_on"])
        return response

    def complete(self, rows: list[AuditRun]) -> None:
        for row, now in zip(rows, audits.states(rows), strict=True):
            row.state = now  # type: ignore[attr-defined]

    @admin.display(description="Result")
    def going_on(self, row: Any) -> str:
        return str(row.state.label)

    @admin.display(description="Took")
    def took(self, row: AuditRun) -> str:
        return took(row)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        state = audits.state(row)
        context = {
            **staff.each_context(request),
            "title": "Audit of the books",
            "subtitle": str(row),
            "opts": self.opts,
            "run": row,
            "state": state,
            "took": took(row),
            "is_going_on": state in audits.GOING_ON,
            "findings": findings(row),
            "accounts": [name for name, _ in ACCOUNTS],
            "sheet": sheet(row),
            "left_out": row.findings - len(row.report),
        }
        return follow(render(request, "admin/credits/audit.html", context), state in audits.GOING_ON)

    def ask(self, request: HttpRequest) -> HttpResponse:
        if not self._may_ask(request):
            raise PermissionDenied
        return begin(request)

    def _may_ask(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_auditrun")


@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        run, is_new = audits.ask(by=request.actor)
        if is_new:
            audit_log.record("books.audit_asked", by=request.actor, agency=None, subject=str(run))
    messages.info(request, "The audit begins." if is_new else "An audit is going on already; no second one was begun.")
    return redirect("admin:credits_auditrun_changelist")


def follow(response: HttpResponse, is_going_on: bool) -> HttpResponse:
    """The browser asks again for the page of an audit that is going on."""
    if is_going_on:
        response["Refresh"] = "3"
    return response


def took(row: AuditRun) -> str:
    if row.finished_at is None:
        return "–"
    seconds = (row.finished_at - (row.began_at or row.started_at)).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def findings(row: AuditRun) -> list[dict[str, str]]:
    """The findings of one audit with the law in words and the wallet they are about, where it is one."""
    wallets = {str(found[1]) for line in row.report if (found := _ID.fullmatch(line["subject"]))}
    names = {str(pk): name for pk, name in owner_names(Wallet.objects.filter(pk__in=wallets)).items()}
    return [_finding(line, names) for line in row.report]


def sheet(row: AuditRun) -> list[dict[str, Any]]:
    """The books as the audit saw them: for each unit the figures of `ACCOUNTS` and their sum, which is zero."""
    return [
        {
            "unit": unit,
            "figures": [amount_of(row.sheet[unit.code].get(account, 0), unit) for _, account in ACCOUNTS],
            "sum": amount_of(sum(row.sheet[unit.code].values()), unit),
        }
        for unit in Unit.objects.all()
        if unit.code in row.sheet
    ]


def _finding(line: dict[str, Any], names: dict[str, str]) -> dict[str, str]:
    found = _ID.fullmatch(line["subject"])
    pk = found[1] if found else ""
    return {
        "law": f"{line['law']} · {checks.LAWS.get(line['law'], 'a law of another release')}",
        "subject": names.get(pk) or line["subject"],
        "url": reverse("admin:credits_wallet_change", args=[pk]) if pk in names else "",
        "detail": line["detail"],
    }
