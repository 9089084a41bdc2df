"""Entries, grants, holds, keys and alerts: to be looked at."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString

from agency.admin import staff
from credits import statement
from credits.admin.lists import (
    AgencyField,
    ReadOnlyAdmin,
    Sieve,
    SubAccountField,
    amount_of,
    in_words,
    moment,
    owner_names,
    text,
    wallet_link,
)
from credits.models import Crossing, Entry, Grant, Hold, Key, LowBalance, Threshold, Wallet
from kit.ids import least_of

_DAY = forms.DateInput(attrs={"type": "date"})
_STATES = [("", "Any"), *((state, state.capitalize()) for state in (Hold.OPEN, Hold.COMMITTED, Hold.RELEASED, Hold.EXPIRED))]
_CROSSINGS = [("", "Any"), (Crossing.FALLBACK, "Fallback started"), (Crossing.LIMIT, "Limit reached")]
_AUDIENCES = [("", "Any"), (Threshold.AGENCY, "Agency"), (Threshold.CLIENT, "Client")]


class WalletField(forms.UUIDField):
    """A wallet's own id, as the address of its page has it."""

    default_error_messages = {"invalid": "This is no id of a wallet."}


class EntrySieve(Sieve):
    agency = AgencyField(label="Agency", required=False)
    client = SubAccountField(label="Sub-account", required=False)
    wallet = WalletField(label="Wallet's id", required=False)
    kind = forms.ChoiceField(label="Kind", required=False)
    since = forms.DateField(label="From", required=False, widget=_DAY)
    until = forms.DateField(label="To, included", required=False, widget=_DAY)
    key = forms.CharField(label="Key", required=False, max_length=120)
    lookups: ClassVar[dict[str, str]] = {"agency": "agency_id", "client": "sub_account_id", "kind": "kind"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"] = forms.ChoiceField(label="Kind", required=False, choices=[("", "Any"), *statement.KINDS.items()])

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        wish, rows = self.cleaned_data, super().narrow(rows)
        if wish["wallet"]:
            rows = rows.filter(
                Q(from_wallet=wish["wallet"], from_sequence__isnull=False) | Q(to_wallet=wish["wallet"], to_sequence__isnull=False)
            )
        if wish["since"]:
            rows = rows.filter(pk__gte=first_id(wish["since"]))
        if wish["until"]:
            rows = rows.filter(pk__lt=first_id(wish["until"] + timedelta(days=1)))
        if wish["key"]:
            # By way of the keys' own table: there is no index over the entries of all months.
            first = Key.objects.filter(key=wish["key"]).values_list("entry_id", flat=True).first()
            rows = rows.filter(pk__gte=first, pk__lte=UUID(int=first.int | 0xFFFF)) if first else rows.none()
        return rows


def first_id(day: date) -> UUID:
    """The least id an entry of `day` (UTC) can have."""
    return least_of(datetime.combine(day, time(), tzinfo=UTC))


@admin.register(Entry, site=staff)
class EntryAdmin(ReadOnlyAdmin):
    sieve = EntrySieve
    list_display = (moment("at", "When (UTC)"), "what", "moved", "left", "arrived", "memo", text("by_label", "By"))
    list_select_related = ("unit",)

    def complete(self, rows: list[Entry]) -> None:
        wallets = Wallet.objects.filter(pk__in={pk for row in rows for pk in (row.from_wallet_id, row.to_wallet_id)})
        names = owner_names(wallets)
        for row in rows:
            row.names = names  # type: ignore[attr-defined]

    @admin.display(description="Kind")
    def what(self, row: Entry) -> str:
        return statement.KINDS.get(row.kind, row.kind.replace("_", " ").capitalize())

    @admin.display(description="Amount")
    def moved(self, row: Entry) -> str:
        return in_words(row.amount, row.unit)

    @admin.display(description="Out of")
    def left(self, row: Any) -> SafeString:
        return wallet_link(row.from_wallet_id, row.names.get(row.from_wallet_id, "unknown"))

    @admin.display(description="Into")
    def arrived(self, row: Any) -> SafeString:
        return wallet_link(row.to_wallet_id, row.names.get(row.to_wallet_id, "unknown"))


class OfWallet(ReadOnlyAdmin):
    """A table whose rows belong to one wallet each."""

    list_select_related = ("wallet__unit",)

    def complete(self, rows: list[Any]) -> None:
        names = owner_names([row.wallet for row in rows])
        for row in rows:
            row.owner_name = names[row.wallet_id]

    @admin.display(description="Wallet")
    def whose(self, row: Any) -> SafeString:
        return wallet_link(row.wallet_id, row.owner_name)

    @admin.display(description="Unit")
    def unit(self, row: Any) -> str:
        return str(row.wallet.unit)


class WalletSieve(Sieve):
    wallet = WalletField(label="Wallet's id", required=False)
    lookups: ClassVar[dict[str, str]] = {"wallet": "wallet"}


class GrantSieve(WalletSieve):
    source = forms.ChoiceField(label="Source", required=False, choices=[("", "Any"), *statement.SOURCES.items()])
    is_open = forms.BooleanField(label="Only with something left", required=False)
    lookups: ClassVar[dict[str, str]] = {**WalletSieve.lookups, "source": "source", "is_open": "is_open"}


@admin.register(Grant, site=staff)
class GrantAdmin(OfWallet):
    sieve = GrantSieve
    list_display = (
        moment("created_at", "When (UTC)"),
        "whose",
        "unit",
        "origin",
        "granted",
        "left",
        "reserved",
        moment("expires_at", "Expires"),
        "priority",
        "transferable",
    )

    @admin.display(description="Source")
    def origin(self, row: Grant) -> str:
        return statement.SOURCES.get(row.source, row.source.capitalize())

    @admin.display(description="Amount")
    def granted(self, row: Grant) -> str:
        return amount_of(row.amount, row.wallet.unit)

    @admin.display(description="Left")
    def left(self, row: Grant) -> str:
        return amount_of(row.remaining, row.wallet.unit)

    @admin.display(description="Held")
    def reserved(self, row: Grant) -> str:
        return amount_of(row.held, row.wallet.unit)


class HoldSieve(Sieve):
    state = forms.ChoiceField(label="State", required=False, choices=_STATES)
    client = SubAccountField(label="Sub-account", required=False)
    key = forms.CharField(label="Key", required=False, max_length=120)
    lookups: ClassVar[dict[str, str]] = {"state": "state", "client": "sub_account_id", "key": "key"}


@admin.register(Hold, site=staff)
class HoldAdmin(ReadOnlyAdmin):
    sieve = HoldSieve
    list_display = (
        moment("created_at", "When (UTC)"),
        "stands",
        "what",
        "amount",
        moment("expires_at", "Until"),
        moment("closed_at", "Closed"),
        "key",
        text("by_label", "By"),
    )

    @admin.display(description="State")
    def stands(self, row: Hold) -> str:
        return dict(_STATES).get(row.state, row.state)

    @admin.display(description="Kind")
    def what(self, row: Hold) -> str:
        return statement.KINDS.get(row.kind, row.kind.replace("_", " ").capitalize())


class AlertSieve(WalletSieve):
    is_open = forms.BooleanField(label="Only open ones", required=False)
    lookups: ClassVar[dict[str, str]] = {**WalletSieve.lookups, "is_open": "rearmed_at__isnull"}


class LowBalanceSieve(AlertSieve):
    audience = forms.ChoiceField(label="For", required=False, choices=_AUDIENCES)
    lookups: ClassVar[dict[str, str]] = {**AlertSieve.lookups, "audience": "audience"}


@admin.register(LowBalance, site=staff)
class LowBalanceAdmin(OfWallet):
    sieve = LowBalanceSieve
    list_display = (
        moment("at", "When (UTC)"),
        "whose",
        "unit",
        "told",
        "below",
        "stood_at",
        moment("noticed_at", "Noticed"),
        moment("rearmed_at", "Back above"),
    )

    @admin.display(description="For")
    def told(self, row: LowBalance) -> str:
        return dict(_AUDIENCES).get(row.audience, row.audience)

    @admin.display(description="Below")
    def below(self, row: LowBalance) -> str:
        return amount_of(row.threshold, row.wallet.unit)

    @admin.display(description="Balance")
    def stood_at(self, row: LowBalance) -> str:
        return amount_of(row.balance, row.wallet.unit)


class CrossingSieve(AlertSieve):
    kind = forms.ChoiceField(label="What", required=False, choices=_CROSSINGS)
    lookups: ClassVar[dict[str, str]] = {**AlertSieve.lookups, "kind": "kind"}


@admin.register(Crossing, site=staff)
class CrossingAdmin(OfWallet):
    sieve = CrossingSieve
    list_display = (
        moment("at", "When (UTC)"),
        "whose",
        "unit",
        "what",
        "amount_then",
        moment("noticed_at", "Noticed"),
        moment("rearmed_at", "Armed again"),
    )

    @admin.display(description="What")
    def what(self, row: Crossing) -> str:
        return dict(_CROSSINGS).get(row.kind, row.kind)

    @admin.display(description="Amount")
    def amount_then(self, row: Crossing) -> str:
        return amount_of(row.amount, row.wallet.unit)


class KeySieve(Sieve):
    key = forms.CharField(label="Begins with", required=False, max_length=120)
    lookups: ClassVar[dict[str, str]] = {"key": "pk__startswith"}


@admin.register(Key, site=staff)
class KeyAdmin(ReadOnlyAdmin):
    sieve = KeySieve
    list_display = ("key", "entry_id", "voided_by")
