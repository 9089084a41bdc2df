"""Wallets: what is in one, what became of it, and correcting it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import render

from agency.admin import staff
from agency.models import Agency
from credits import statement
from credits.admin.lists import ReadOnlyAdmin, Sieve, amount_of, owner_names
from credits.models import Entry, Hold, Unit, Wallet
from subaccounts.models import SubAccount

_KINDS = [("", "Any"), (Wallet.SUB_ACCOUNT, "Sub-account's own"), (Wallet.AGENCY, "Agency's pool"), (Wallet.BOOK, "Boundary account")]
MOST_OWNERS = 200
PAGE = 25


class WalletSieve(Sieve):
    owner = forms.CharField(label="Agency or sub-account", required=False, max_length=120)
    kind = forms.ChoiceField(label="Whose", required=False, choices=_KINDS)
    unit = forms.ModelChoiceField(label="Unit", required=False, queryset=Unit.objects.order_by("position"), empty_label="Any")

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        wish = self.cleaned_data
        if wish["owner"].strip():
            rows = rows.filter(self._belongs_to(wish["owner"].strip()))
        if wish["kind"]:
            rows = rows.filter(owner_kind=wish["kind"])
        return rows.filter(unit=wish["unit"]) if wish["unit"] else rows

    @staticmethod
    def _belongs_to(typed: str) -> Q:
        called = Q(name__icontains=typed) | Q(slug__startswith=typed.lower())
        agencies = Agency.objects.filter(called).values_list("public_id", flat=True)[:MOST_OWNERS]
        clients = SubAccount.objects.filter(called).values_list("public_id", flat=True)[:MOST_OWNERS]
        return Q(owner_id__in=list(clients)) | Q(agency_id__in=list(agencies))


@admin.register(Wallet, site=staff)
class WalletAdmin(ReadOnlyAdmin):
    sieve = WalletSieve
    list_display = ("whose", "unit", "stands_at", "reserved", "alert_below")
    list_select_related = ("unit",)

    def complete(self, rows: list[Wallet]) -> None:
        names = owner_names(rows)
        for row in rows:
            row.owner_name = names[row.pk]  # type: ignore[attr-defined]

    @admin.display(description="Wallet")
    def whose(self, row: Any) -> str:
        return str(row.owner_name)

    @admin.display(description="Balance")
    def stands_at(self, row: Wallet) -> str:
        return amount_of(row.balance, row.unit) if row.owner_kind != Wallet.BOOK else "–"

    @admin.display(description="Held")
    def reserved(self, row: Wallet) -> str:
        return amount_of(row.held, row.unit)

    @admin.display(description="Alert below")
    def alert_below(self, row: Wallet) -> str:
        return amount_of(row.low_at, row.unit)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        wallet = self.wallet_or_404(request, object_id)
        before = request.GET.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
        entries = statement.of_wallet(wallet, before=cursor, size=PAGE)
        context = {
            **self.context_of(request, wallet),
            "grants": [_grant(row, wallet) for row in wallet.grants.filter(is_open=True).order_by(
                "priority", F("expires_at").asc(nulls_last=True), "id")[:100]],
            "holds": _holds(wallet),
            "lines": lines(entries, wallet),
            "older": _older(entries, wallet),
            "is_first_page": cursor is None,
            "may_adjust": wallet.owner_kind != Wallet.BOOK and request.user.has_perm("credits.adjust_wallet"),
        }  # fmt: skip
        return render(request, "admin/credits/wallet.html", context)

    def wallet_or_404(self, request: HttpRequest, object_id: str) -> Wallet:
        if not self.has_view_permission(request):
            raise PermissionDenied
        wallet = self.get_object(request, object_id)
        if wallet is None:
            raise Http404
        return wallet

    def context_of(self, request: HttpRequest, wallet: Wallet) -> dict[str, Any]:
        return {
            **staff.each_context(request),
            "title": owner_names([wallet])[wallet.pk],
            "subtitle": wallet.unit.plural,
            "opts": self.opts,
            "wallet": wallet,
            "unit": wallet.unit,
            "balance": amount_of(wallet.balance, wallet.unit),
            "held": amount_of(wallet.held, wallet.unit),
            "available": amount_of(wallet.available, wallet.unit),
            "alert_below": amount_of(wallet.low_at, wallet.unit),
            "is_book": wallet.owner_kind == Wallet.BOOK,
        }


def _grant(row: Any, wallet: Wallet) -> dict[str, Any]:
    unit = wallet.unit
    return {
        "id": row.pk,
        "source": statement.SOURCES.get(row.source, row.source.capitalize()),
        "amount": amount_of(row.amount, unit),
        "left": amount_of(row.remaining, unit),
        "held": amount_of(row.held, unit),
        "expires_at": row.expires_at,
        "transferable": row.transferable,
    }


def _holds(wallet: Wallet) -> list[dict[str, Any]]:
    found = Hold.objects.filter(state=Hold.OPEN, wallets__contains=[wallet.pk]).order_by("expires_at")[:100]
    return [
        {
            "id": row.pk,
            "kind": row.kind,
            "amount": amount_of(sum(part for at, part in zip(row.wallets, row.amounts, strict=True) if at == wallet.pk), wallet.unit),
            "expires_at": row.expires_at,
            "by": row.by_label,
        }
        for row in found
    ]


def lines(entries: list[Entry], wallet: Wallet) -> list[dict[str, Any]]:
    """Entries from the point of view of `wallet`."""
    return [_line(entry, wallet, leaves=entry.from_wallet_id == wallet.pk) for entry in entries]


def _line(entry: Entry, wallet: Wallet, *, leaves: bool) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "number": entry.from_sequence if leaves else entry.to_sequence,
        "at": entry.at,
        "kind": statement.KINDS.get(entry.kind, entry.kind.replace("_", " ").capitalize()),
        "change": f"{'−' if leaves else '+'}{amount_of(entry.amount, wallet.unit)}",
        "balance": amount_of(entry.from_balance if leaves else entry.to_balance, wallet.unit),
        "memo": entry.memo,
        "by": entry.by_label,
    }


def _older(entries: list[Entry], wallet: Wallet) -> int | None:
    """The number before which the next page begins; None on the last one."""
    if not entries:
        return None
    last = entries[-1]
    number = (last.from_sequence if last.from_wallet_id == wallet.pk else last.to_sequence) or 0
    return number if number > 1 else None
