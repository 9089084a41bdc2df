"""Wallets: what is in one, what became of it, and adjusting it."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern

from agency import audit
from agency.admin import staff
from agency.models import Agency
from credits import ledger, statement
from credits.admin.lists import ReadOnlyAdmin, Sieve, amount_of, in_words, owner_names
from credits.forms import AmountField
from credits.models import LARGEST, Entry, Hold, Unit, Wallet
from kit.actor import Actor
from kit.ids import uuid7
from kit.refusal import Refusal
from subaccounts.models import SubAccount

_KINDS = [("", "Any"), (Wallet.SUB_ACCOUNT, "Sub-account's own"), (Wallet.AGENCY, "Agency's pool"), (Wallet.BOOK, "Boundary account")]
MOST_OWNERS = 200
PAGE = 25


class WalletSieve(Sieve):
    owner = forms.CharField(label="Agency or sub-account", required=False, max_length=120)
    kind = forms.ChoiceField(label="Whose", required=False, choices=_KINDS)
    unit = forms.ModelChoiceField(label="Unit", required=False, queryset=Unit.objects.order_by("position"), empty_label="Any")
    lookups: ClassVar[dict[str, str]] = {"kind": "owner_kind", "unit": "unit"}

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        typed, rows = self.cleaned_data["owner"].strip(), super().narrow(rows)
        return rows.filter(self._belongs_to(typed)) if typed else rows

    @staticmethod
    def _belongs_to(typed: str) -> Q:
        called = Q(name__icontains=typed) | Q(slug__startswith=typed.lower())
        agencies = Agency.objects.filter(called).values_list("public_id", flat=True)[:MOST_OWNERS]
        clients = SubAccount.objects.filter(called).values_list("public_id", flat=True)[:MOST_OWNERS]
        return Q(owner_id__in=list(clients)) | Q(agency_id__in=list(agencies))


class AdjustForm(forms.Form):
    """By how much a balance is wrong, in whole units, and why. Cleans `change` to smallest steps, negative where units go."""

    direction = forms.ChoiceField(label="What to do", choices=[("add", "Add"), ("take", "Take away")])
    amount = AmountField(
        label="How many",
        max_digits=22,
        decimal_places=6,
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        error_messages={"invalid": "Enter a number above zero in at most 15 digits, for instance 250."},
    )
    reason = forms.CharField(
        label="Why",
        min_length=ledger.LEAST_REASON,
        max_length=200,
        help_text="The agency reads it on its statement.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid7)

    def __init__(self, *args: Any, wallet: Wallet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wallet = wallet
        self.fields["amount"].label = f"How many {wallet.unit.plural.lower()}"

    def clean_amount(self) -> int:
        steps = self.cleaned_data["amount"] * self.wallet.unit.steps
        if steps <= 0:
            raise forms.ValidationError("Give more than nothing.")
        if steps != int(steps):
            raise forms.ValidationError(f"The smallest part is {Decimal(1) / self.wallet.unit.steps:.4g} {self.wallet.unit.name.lower()}.")
        return int(steps)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "amount" in cleaned and "direction" in cleaned:
            cleaned["change"] = cleaned["amount"] if cleaned["direction"] == "add" else -cleaned["amount"]
        return cleaned

    def refuse(self, problem: str) -> None:
        self.add_error("amount", f"{problem} Nothing was changed.")


@admin.register(Wallet, site=staff)
class WalletAdmin(ReadOnlyAdmin):
    sieve = WalletSieve
    list_display = ("whose", "unit", "stands_at", "reserved", "alert_below")
    list_select_related = ("unit",)

    def more_urls(self) -> list[URLPattern]:
        once = "an adjustment writes its record; a look before it and a repeat change nothing"
        return [self.page("<uuid:wallet_id>/adjust/", self.adjust, "adjust", unaudited=once)]

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

    def adjust(self, request: HttpRequest, wallet_id: Any) -> HttpResponse:
        """Asks, shows what would be, and does it once it is confirmed."""
        if not request.user.has_perm("credits.adjust_wallet"):
            raise PermissionDenied
        wallet = self.wallet_or_404(request, str(wallet_id))
        if wallet.owner_kind == Wallet.BOOK:
            raise Http404
        form = AdjustForm(request.POST or None, wallet=wallet)
        if form.is_valid() and "confirmed" in request.POST and self._adjusted(request, form, wallet):
            return redirect("admin:credits_wallet_change", wallet.pk)
        preview = _preview(form, wallet) if form.is_valid() and "again" not in request.POST else None
        context = {**self.context_of(request, wallet), "form": form, "preview": preview}
        return render(request, "admin/credits/adjust.html", context)

    def _adjusted(self, request: HttpRequest, form: AdjustForm, wallet: Wallet) -> bool:
        wish = form.cleaned_data
        try:
            is_new = adjust_once(wallet, wish["change"], reason=wish["reason"], key=f"adjust:{wish['key']}", by=request.actor)
        except ledger.InsufficientCredits as short:
            form.refuse(f"Only {amount_of(short.available, wallet.unit)} are there and not held.")
        except IntegrityError:  # the database refuses a balance that no wallet can hold
            form.refuse("This is more than a wallet can hold.")
        except Refusal as refusal:
            form.add_error(None, refusal.message)
        else:
            done = f"Adjusted: {signed(wish['change'], wallet)}."
            messages.success(request, done if is_new else f"{done} That was done before; nothing was done twice.")
        return form.is_valid()

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


@transaction.atomic
def adjust_once(wallet: Wallet, change: int, *, reason: str, key: str, by: Actor) -> bool:
    """Adjust by `change` steps and put it on the agency's record; whether that is new. Raises what `ledger.adjust` raises."""
    if ledger.adjust(wallet=wallet, amount=change, reason=reason, key=key, by=by).is_replay:
        return False
    assert wallet.agency_id  # every wallet but a boundary account has one
    after = Wallet.objects.get(pk=wallet.pk).balance
    audit.record(
        "credits.adjusted",
        by=by,
        agency=Agency.objects.filter(public_id=wallet.agency_id).first(),
        sub_account_id=wallet.owner_id if wallet.owner_kind == Wallet.SUB_ACCOUNT else None,
        subject=f"{wallet.unit.plural.lower()} of {owner_names([wallet])[wallet.pk]}",
        before={"balance": after - change},
        after={"balance": after, "change": change, "reason": reason},
    )
    return True


def _preview(form: AdjustForm, wallet: Wallet) -> dict[str, str] | None:
    """What would be; None, with the field's error, where it cannot be."""
    change = form.cleaned_data["change"]
    if wallet.available + change < 0:
        form.refuse(f"Only {amount_of(wallet.available, wallet.unit)} are there and not held.")
        return None
    if wallet.balance + change > LARGEST:
        form.refuse("This is more than a wallet can hold.")
        return None
    return {
        "now": amount_of(wallet.balance, wallet.unit),
        "change": signed(change, wallet),
        "then": amount_of(wallet.balance + change, wallet.unit),
        "reason": form.cleaned_data["reason"],
    }


def signed(change: int, wallet: Wallet) -> str:
    return f"{'+' if change > 0 else ''}{in_words(change, wallet.unit)}"


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
