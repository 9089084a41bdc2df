"""Lists of tables that grow for ever: the newest first, page by page by key, nothing counted, nothing skipped."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from babel.numbers import format_decimal
from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agency.admin import StaffAdmin
from agency.models import Agency
from credits.books import NAMES, book
from credits.models import Unit, Wallet
from subaccounts.models import SubAccount

CURSOR = "before"
MOST_SUGGESTED = 300


class Sieve(forms.Form):
    """What a list is narrowed down to, by the lookup of each field. A field that is left empty leaves everything in."""

    lookups: ClassVar[dict[str, str]] = {}

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        for name, lookup in self.lookups.items():
            if wish := self.cleaned_data[name]:
                rows = rows.filter(**{lookup: getattr(wish, "public_id", wish)})
        return rows


class NameField(forms.CharField):
    """Somebody by name, web address or public id, with names suggested by the browser itself. Cleans to the row."""

    of: ClassVar[type[Agency] | type[SubAccount]]
    nobody: ClassVar[str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=120, widget=Suggesting(self.of, attrs={"autocomplete": "off"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value.name if isinstance(value, Agency | SubAccount) else value

    def clean(self, value: Any) -> Any:
        typed = super().clean(value).strip()
        if not typed:
            return None
        found = self.of.objects.filter(_is_called(typed)).order_by("pk")[:2]
        if not found:
            raise ValidationError(self.nobody, code="unknown")
        if len(found) > 1:
            raise ValidationError("There are several of this name: give the web address or the public id.", code="several")
        return found[0]


class AgencyField(NameField):
    of = Agency
    nobody = "There is no agency of this name, web address or public id."


class SubAccountField(NameField):
    of = SubAccount
    nobody = "There is no sub-account of this name, web address or public id."


class Suggesting(forms.TextInput):
    """A text field with a list of names behind it. The list is asked for anew for every page."""

    template_name = "admin/credits/suggesting.html"

    def __init__(self, of: type[Agency] | type[SubAccount], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.of = of

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, {**(attrs or {}), "list": f"names_{name}"})
        names = self.of.objects.order_by("name").values_list("slug", "name")[:MOST_SUGGESTED]
        return {**context, "names": names}


class KeysetList(ChangeList):
    """Django's change list without its counting: one page by key, and where the next one begins."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        model_admin = kwargs.get("model_admin") or args[-3]
        self.sieve = model_admin.sieve(request.GET if request.GET else None, prefix=None) if model_admin.sieve else None
        self.cursor = request.GET.get(CURSOR, "")
        super().__init__(request, *args, **kwargs)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        own = {CURSOR, *(self.sieve.fields if self.sieve else ())}
        return {name: value for name, value in super().get_filters_params(params).items() if name not in own}

    def get_results(self, request: HttpRequest) -> None:
        rows = self.queryset
        if self.sieve is not None and self.sieve.is_bound:
            rows = self.sieve.narrow(rows) if self.sieve.is_valid() else rows.none()
        rows = self._after_cursor(rows.order_by("-pk"))
        found = list(rows[: self.list_per_page + 1])
        self.result_list = found[: self.list_per_page]
        self.next_cursor = str(self.result_list[-1].pk) if len(found) > self.list_per_page else ""
        cast("ReadOnlyAdmin", self.model_admin).complete(self.result_list)
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = self.can_show_all = self.multi_page = False
        self.paginator = None
        self.next_url = self.get_query_string({CURSOR: self.next_cursor}) if self.next_cursor else ""
        self.first_url = self.get_query_string(remove=[CURSOR]) if self.cursor else ""

    def _after_cursor(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if not self.cursor:
            return rows
        try:
            return rows.filter(pk__lt=self.model._meta.pk.to_python(self.cursor))
        except ValidationError:
            return rows.none()


class ReadOnlyAdmin(StaffAdmin):
    """A table of the books: a list by key, a page for each row, nothing to change."""

    sieve: ClassVar[type[Sieve] | None] = None
    change_list_template = "admin/credits/keyset_list.html"
    sortable_by = ()
    ordering = ("-pk",)
    actions = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        title = self.opts.verbose_name_plural
        return super().changelist_view(request, {"title": str(title).capitalize(), **(extra_context or {})})

    def complete(self, rows: list[Any]) -> None:
        """Hang on the rows of one page what their columns show besides, in one query for all of them."""


# --- In words -----------------------------------------------------------------------------------------------------------


def _is_called(typed: str) -> Q:
    try:
        return Q(public_id=UUID(typed))
    except ValueError:
        return Q(slug=typed.lower()) | Q(name__iexact=typed)


def owner_names(wallets: Iterable[Wallet]) -> dict[UUID, str]:
    """Who owns each wallet, by the wallet's id: an agency's pool, a sub-account, or a boundary account of the books."""
    rows = list(wallets)
    agencies = dict(_names(Agency, {wallet.agency_id for wallet in rows}))
    clients = dict(_names(SubAccount, {wallet.owner_id for wallet in rows if wallet.owner_kind == Wallet.SUB_ACCOUNT}))
    books = {book(name, wallet.unit_id): name for wallet in rows if wallet.owner_kind == Wallet.BOOK for name in NAMES}
    return {wallet.pk: _owner_name(wallet, agencies, clients, books) for wallet in rows}


def _names(model: Any, ids: set[UUID | None]) -> Any:
    return model.objects.filter(public_id__in=[one for one in ids if one]).values_list("public_id", "name")


def _owner_name(wallet: Wallet, agencies: dict[UUID, str], clients: dict[UUID, str], books: dict[UUID, str]) -> str:
    if wallet.owner_kind == Wallet.BOOK:
        return f"The books: {books.get(wallet.pk, 'unknown')}"
    agency = agencies.get(wallet.agency_id, "unknown agency") if wallet.agency_id else "unknown agency"
    if wallet.owner_kind == Wallet.AGENCY:
        return f"{agency}: pool"
    return f"{agency}: {clients.get(wallet.owner_id, 'unknown sub-account')}"


def moment(field: str, title: str) -> Any:
    """A column with the moment in `field`, to the second, in UTC as everywhere here."""

    @admin.display(description=title, empty_value="–")
    def column(row: Any) -> str | None:
        at: datetime | None = getattr(row, field)
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else None

    return column


def text(field: str, title: str) -> Any:
    """A column with `field` as it stands there."""

    @admin.display(description=title, empty_value="–")
    def column(row: Any) -> str | None:
        return str(getattr(row, field)) or None

    return column


def wallet_link(wallet_id: UUID, name: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse("admin:credits_wallet_change", args=[wallet_id]), name)


def in_words(steps: int, unit: Unit) -> str:
    return f"{amount_of(steps, unit)} {(unit.name if abs(steps) == unit.steps else unit.plural).lower()}"


def amount_of(steps: int | None, unit: Unit) -> str:
    """Smallest steps as whole units, exact."""
    if steps is None:
        return "–"
    whole, rest = divmod(abs(steps), unit.steps)
    sign = "−" if steps < 0 else ""
    tail = f" + {rest}/{unit.steps}" if rest else ""
    return f"{sign}{format_decimal(whole, locale='en')}{tail}"
