"""What well-formed input is when an agency opens, edits and pauses sub-accounts."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse_lazy

from agency.models.user import normal_address
from credits.forms import AmountField, WholeAmountField, steps_of
from credits.prices import HIGHEST_MARKUP
from kit.units import in_words
from subaccounts.allocating import TOP_UP, Balance, Movement, planned
from subaccounts.models import SubAccount, Suspension
from subaccounts.moving import Balance as Has
from subaccounts.pool_policy import Policy
from subaccounts.pricing import PriceRow, RateRow, plain_number

_ADDRESS = re.compile(r"://|\bwww\.|@", re.IGNORECASE)
# A typed name fills the field of the web address, where that is still empty.
SUGGEST = {
    "hx-get": reverse_lazy("sub_account_slug"),
    "hx-trigger": "change",
    "hx-target": "#web-address",
    "hx-swap": "outerHTML",
    "hx-include": "#id_slug",
}


def plain(name: str) -> None:
    """A name is read in mails to people who never asked for one: no web addresses in it."""
    if _ADDRESS.search(name):
        raise forms.ValidationError("A name cannot contain a web address.")


class EnterForm(forms.Form):
    """Why somebody of the agency enters a client's workspace; both sides read it."""

    reason = forms.CharField(
        max_length=200, required=False, help_text="The client reads it, and it is kept with the record of what you change.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "Set up opening hours, as agreed by phone"}),
    )  # fmt: skip

    def __init__(self, *args: Any, needs_reason: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = needs_reason
        self.fields["reason"].error_messages["required"] = "Say why you enter. Your agency asks for a reason."

    def clean_reason(self) -> str:
        return " ".join(str(self.cleaned_data["reason"]).split())


class AddAccountForm(forms.Form):
    """Opens a sub-account for a client. `key` makes a double submit open one (docs/decisions/0050)."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    business_name = forms.CharField(
        max_length=120,
        required=False,
        help_text="What you and the client see everywhere. The contact's name when left empty.",
        widget=forms.TextInput(attrs=SUGGEST),
        validators=[plain],
    )
    slug = forms.CharField(
        label="Web address",
        max_length=40,
        required=False,
        help_text=f"What stands before .{settings.BASE_DOMAIN}. Made from the name when left empty; it cannot be changed later.",
    )
    first_name = forms.CharField(max_length=80, validators=[plain])
    last_name = forms.CharField(max_length=80, validators=[plain])
    has_login = forms.BooleanField(
        label="Give the client a login",
        initial=True,
        required=False,
        help_text="They get an e-mail with a first password. Without a login you run the workspace yourself.",
    )
    email = forms.EmailField(
        label="E-mail", max_length=254, required=False, help_text="What they sign in with, and where the password goes; needed for a login."
    )
    city = forms.CharField(max_length=80, required=False)
    state = forms.CharField(label="State or region", max_length=80, required=False)
    postal_code = forms.CharField(max_length=20, required=False)
    description = forms.CharField(
        label="Business description",
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the business does, in a few sentences.",
    )

    def clean_slug(self) -> str:
        return str(self.cleaned_data["slug"]).strip().lower()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("has_login") and not cleaned.get("email") and "email" not in self.errors:
            self.add_error("email", "Enter the client's e-mail, or untick “Give the client a login”.")
        return cleaned


class EditForm(forms.ModelForm):
    """The client's data and who pays when its own credits are used up."""

    class Meta:
        model = SubAccount
        fields = (
            "name",
            "business_name",
            "contact_first_name",
            "contact_last_name",
            "contact_email",
            "city",
            "state",
            "postal_code",
            "description",
            "balance_visibility",
            "members_may_buy",
        )
        labels = {
            "contact_first_name": "First name",
            "contact_last_name": "Last name",
            "contact_email": "Contact e-mail",
            "state": "State or region",
            "description": "Business description",
            "balance_visibility": "What the client sees of its balance",
            "members_may_buy": "Subaccount Members may buy credits and manage cards",
        }
        help_texts = {
            "name": "What you and the client see everywhere.",
            "contact_email": "For your records; it changes nobody's login.",
            "members_may_buy": "Subaccount Admins always may. It acts on their next click.",
            "balance_visibility": "It acts at once, in the workspace, its files and its mails. A client never sees your pool or your other clients.",
        }
        widgets = {
            "balance_visibility": forms.RadioSelect,
            "description": forms.Textarea(attrs={"rows": 3}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("name", "business_name", "contact_first_name", "contact_last_name"):
            self.fields[name].validators.append(plain)
        visibility = self.fields["balance_visibility"]
        assert isinstance(visibility, forms.ChoiceField)
        visibility.choices = self._visibilities()

    def _visibilities(self) -> list[tuple[str, str]]:
        by_mode = "shown, because it is reselling" if self.instance.credit_mode == SubAccount.RESELLING else "hidden, because it is manual"
        return [
            (SubAccount.BY_MODE, f"As the credit mode says: {by_mode}"),
            (SubAccount.SHOWN, "Shown: its own balances, what they are made of and when they expire, its statement, an alert of its own"),
            (SubAccount.HIDDEN, "Hidden: only what it used, when and for what; no balance anywhere"),
        ]


_LIMIT_ERRORS = {
    "invalid": "Enter a number in at most 15 digits, for instance 250; 0 for none at all. Leave it empty for no limit.",
    "max_decimal_places": "Give at most two decimals.",
}


class PoolPolicyForm(forms.Form):
    """Who pays when a client's own units are used up, and the limits where the pool does up to one: a field for each unit."""

    fallback = forms.ChoiceField(
        label="When its own units are used up",
        choices=[
            (SubAccount.FALLBACK_ON, "Your pool pays, without a limit"),
            (SubAccount.FALLBACK_CAPPED, "Your pool pays, up to a limit a month"),
            (SubAccount.FALLBACK_OFF, "It stops: your pool pays nothing"),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose one."},
    )
    at_limit = forms.ChoiceField(
        label="When a limit is reached",
        choices=[
            ("hard", "Stop: the pool pays no more for this client until the month is over"),
            ("alert", "Alert only: you are told, the pool goes on paying"),
        ],
        widget=forms.RadioSelect,
        required=False,
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, policy: Policy) -> None:
        super().__init__(data, initial={"fallback": policy.fallback, "at_limit": "hard" if policy.is_hard else "alert"})
        self.units = [use.unit for use in policy.uses]
        for use in policy.uses:
            unit = use.unit
            self.fields[unit.code] = AmountField(
                label=f"{unit.plural.capitalize()} a month",
                required=False,
                min_value=0,
                decimal_places=2,
                initial=None if use.limit is None else Decimal(use.limit.amount) / unit.steps,
                error_messages=_LIMIT_ERRORS,
            )
            self.fields[unit.code].widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "maxlength": 18})

    def clean(self) -> dict[str, Any]:
        """`amounts`: the limit of each unit in smallest steps, None for none."""
        cleaned = super().clean() or self.cleaned_data
        amounts: dict[str, int | None] = {}
        for unit in self.units:
            wish = cleaned.get(unit.code)
            try:
                amounts[unit.code] = None if wish is None else steps_of(wish, unit)
            except forms.ValidationError as error:
                self.add_error(unit.code, error)
        if cleaned.get("fallback") == SubAccount.FALLBACK_CAPPED and not self.errors:
            if all(amount is None for amount in amounts.values()):
                self.add_error(self.units[0].code, "Enter a limit for at least one unit, or choose another answer above.")
            if not cleaned.get("at_limit"):
                self.add_error("at_limit", "Choose what happens at the limit.")
        return {"fallback": cleaned.get("fallback"), "is_hard": cleaned.get("at_limit") != "alert", "amounts": amounts}

    @property
    def rows(self) -> list[forms.BoundField]:
        return [self[unit.code] for unit in self.units]


class AllocationForm(forms.Form):
    """How many whole units to move. `key` makes a double submit move them once."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    act = forms.CharField(widget=forms.HiddenInput)
    unit = forms.ChoiceField()
    amount = WholeAmountField()

    def __init__(self, data: Mapping[str, Any] | None = None, *, act: str, balances: list[Balance]) -> None:
        super().__init__(data, auto_id=f"id_{act}_%s", initial={"act": act})
        self.kind = act
        self.balances = {balance.unit.code: balance for balance in balances}
        unit = self.fields["unit"]
        assert isinstance(unit, forms.ChoiceField)
        unit.choices = [(code, self._offer(balance)) for code, balance in self.balances.items()]
        self.fields["amount"].label = "How many to give" if act == TOP_UP else "How many to take back"

    @property
    def chosen(self) -> Balance:
        return self.balances[self.cleaned_data["unit"]]

    @property
    def steps(self) -> int:
        """The amount in smallest steps."""
        return int(self.cleaned_data["amount"]) * self.chosen.unit.steps

    def planned(self) -> Movement | None:
        """What a valid form would do to both balances; None, and an error, where there is not enough. The ledger decides, later."""
        if self.steps > self.chosen.movable(self.kind):
            self.refuse(self.chosen.movable(self.kind))
            return None
        return planned(self.kind, self.chosen, self.steps)

    def refuse(self, available: int) -> None:
        """Say that there is not enough: `available` smallest steps."""
        there = in_words(available, self.chosen.unit)
        self.add_error(
            "amount",
            f"The pool has {there} to give. Nothing was moved."
            if self.kind == TOP_UP
            else f"{there} can be taken back. Nothing was moved.",
        )

    def _offer(self, balance: Balance) -> str:
        there = in_words(balance.movable(self.kind), balance.unit)
        return f"{there} {'in the pool' if self.kind == TOP_UP else 'can be taken back'}"


class MoveForm(forms.Form):
    """From where to where, and how many whole units of each. The choices are what the picker offers, whoever was chosen among them."""

    find_source = forms.CharField(label="Find the account to move from", max_length=120, required=False, widget=forms.SearchInput)
    source = forms.ChoiceField(label="Move from")
    find_to = forms.CharField(label="Find the account to move to", max_length=120, required=False, widget=forms.SearchInput)
    to = forms.ChoiceField(label="Move to")

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, sides: Mapping[str, list[tuple[str, str]]], has: list[Has], **kwargs: Any
    ) -> None:
        super().__init__(data, **kwargs)
        self.has = has
        self.offers = max(map(len, sides.values()))
        for side, choices in sides.items():
            field = self.fields[side]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [("", "Choose an account"), *choices]
            field.error_messages["invalid_choice"] = "Choose an account of your agency."
        for one in has:
            help_text = f"{in_words(one.movable, one.unit)} can be moved."
            self.fields[f"amount_{one.unit.code}"] = WholeAmountField(
                label=one.unit.plural[:1].upper() + one.unit.plural[1:], required=False, help_text=help_text
            )

    @property
    def amount_fields(self) -> list[forms.BoundField]:
        return [self[f"amount_{one.unit.code}"] for one in self.has]

    @property
    def steps(self) -> dict[str, int]:
        """What is to be moved, in smallest steps by unit."""
        typed = {one.unit.code: self.cleaned_data[f"amount_{one.unit.code}"] * one.unit.steps for one in self.has}
        return {code: steps for code, steps in typed.items() if steps}

    def refuse(self, problems: Mapping[str, str]) -> None:
        for code, problem in problems.items():
            self.add_error(f"amount_{code}", problem)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("source") and cleaned.get("source") == cleaned.get("to"):
            self.add_error("to", "Choose another account than the one to move from.")
        if not self.errors and not self.steps:
            raise forms.ValidationError("Enter how many units to move, of at least one unit.")
        return cleaned


_MARKUP_ERROR = f"Enter a percentage from 0 to {HIGHEST_MARKUP:,} with at most two decimals, for instance 25. Nothing was saved."
_RATE_ERROR = "Enter a number with at most two decimals, for instance 2. Nothing was saved."


class PricesForm(forms.Form):
    """The markups and rates of an agency or of one client. An empty field takes over what is above it."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, prices: list[PriceRow], rates: list[RateRow]) -> None:
        super().__init__(data)
        self.rates = {row.kind.code: row for row in rates}
        self.prices = prices
        for price in prices:
            self.fields[f"markup_{price.unit.code}"] = AmountField(
                label=f"Markup on {price.unit.plural}",
                min_value=0,
                max_value=HIGHEST_MARKUP,
                error_messages=dict.fromkeys(("invalid", "min_value", "max_value", "max_decimal_places"), _MARKUP_ERROR),
                **_beside(price.own, price.inherited),
            )
        for rate in rates:
            label = f"{rate.unit.plural} per {rate.kind.counted}"
            own = None if rate.own is None else rate.shown(rate.own)
            self.fields[f"rate_{rate.kind.code}"] = AmountField(
                label=label[:1].upper() + label[1:],
                min_value=0,
                error_messages=dict.fromkeys(("invalid", "min_value", "max_decimal_places"), _RATE_ERROR),
                **_beside(own, rate.shown(rate.inherited)),
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for code, row in self.rates.items():
            if (wish := cleaned.get(f"rate_{code}")) is not None and (problem := row.problem_with(wish)):
                self.add_error(f"rate_{code}", problem)
        return cleaned

    @property
    def markups(self) -> dict[str, Decimal | None]:
        return {price.unit.code: self.cleaned_data[f"markup_{price.unit.code}"] for price in self.prices}

    @property
    def steps(self) -> dict[str, int | None]:
        """The rates in smallest steps by kind."""
        typed = {code: self.cleaned_data[f"rate_{code}"] for code in self.rates}
        return {code: None if wish is None else int(wish * self.rates[code].unit.steps) for code, wish in typed.items()}


def _beside(own: Decimal | None, inherited: Decimal) -> dict[str, Any]:
    """A field that may be empty and then shows what holds without it."""
    return {
        "required": False,
        "decimal_places": 2,
        "initial": None if own is None else plain_number(own),
        "widget": forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": plain_number(inherited)}),
    }


class SuspendForm(forms.Form):
    policy = forms.ChoiceField(
        label="What the client can still do", choices=Suspension.POLICIES, initial=Suspension.READ_ONLY, widget=forms.RadioSelect
    )
    reason = forms.ChoiceField(choices=Suspension.REASONS, initial="other")
    note = forms.CharField(
        label="Note to the client",
        max_length=150,
        required=False,
        help_text="Up to 150 characters; the client reads it.",
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": 150}),
    )


# --- People -------------------------------------------------------------------------------------------------------------


class RoleForm(forms.Form):
    """Another role of the kind this person has."""

    role = forms.ChoiceField(widget=forms.RadioSelect, error_messages={"required": "Choose one.", "invalid_choice": "Choose one of these."})

    def __init__(self, data: Mapping[str, Any] | None = None, *, choices: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class ReachForm(forms.Form):
    """Into all sub-accounts or into some."""

    ALL, SOME = "all", "some"
    reach = forms.ChoiceField(
        label="Which sub-accounts",
        choices=[(ALL, "All sub-accounts, those to come included"), (SOME, "Only the ones listed here")],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose one.", "invalid_choice": "Choose one of these."},
    )


class AccountsForm(forms.Form):
    """Some sub-accounts of those that are offered."""

    sub_account = forms.ModelMultipleChoiceField(
        queryset=SubAccount.objects.none(),
        to_field_name="public_id",
        error_messages={"required": "Tick at least one sub-account.", "invalid_choice": "Choose sub-accounts of your agency."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, offered: QuerySet[SubAccount]) -> None:
        super().__init__(data)
        field = self.fields["sub_account"]
        assert isinstance(field, forms.ModelMultipleChoiceField)
        field.queryset = offered


class LoginAddressForm(forms.Form):
    """The address a client signs in with from now on. `confirmed` comes from the page that shows both."""

    email = forms.EmailField(label="New e-mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    confirmed = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def clean_email(self) -> str:
        return normal_address(self.cleaned_data["email"])
