"""Forms of people and agencies. Those that look somebody up by address do it in the realm of the request's host."""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from allauth.account import forms as account_forms
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.email_verification_by_code import EmailVerificationProcess
from allauth.account.internal.flows.password_reset_by_code import PASSWORD_RESET_VERIFICATION_SESSION_KEY
from allauth.core import context
from allauth.mfa.base import forms as mfa_forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from allauth.mfa.webauthn import forms as webauthn_forms
from allauth.mfa.webauthn.internal import auth as webauthn
from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from agency import api_keys, deeds, strength
from agency.alerting import Channel
from agency.models import Agency, Category, Membership, User
from agency.models.user import normal_address
from agency.realms import MAX_PASSWORD_LENGTH, known_at
from credits.forms import AmountField, DayField, WholeAmountField

CURRENCIES = [
    ("USD", "US dollar (USD)"),
    ("EUR", "Euro (EUR)"),
    ("GBP", "Pound sterling (GBP)"),
    ("CHF", "Swiss franc (CHF)"),
    ("AUD", "Australian dollar (AUD)"),
    ("CAD", "Canadian dollar (CAD)"),
    ("NZD", "New Zealand dollar (NZD)"),
    ("SEK", "Swedish krona (SEK)"),
]
LINK = re.compile(r"https?:|www\.|//|[<>]", re.IGNORECASE)


class MaximumLengthValidator:
    """A password validator: hashing a book is work an attacker must not be able to order."""

    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password may have {MAX_PASSWORD_LENGTH} characters at most."


def plain_name(value: str) -> str:
    """A name as people have them: no link and no markup, because it is read in mails."""
    name = " ".join(value.split())
    if LINK.search(name):
        raise ValidationError("A name cannot contain a web address, nor the signs < and >.", code="link")
    return name


# --- Signing up and in --------------------------------------------------------------------------------------------------


class Metered:
    """A form that sets a password and shows how strong it is while it is typed."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        strength.metered(self.fields["password1"])


class SignUpForm(Metered, account_forms.SignupForm):
    """Step one of opening an agency. A known address gets the same answer, and a mail that says so."""

    first_name = forms.CharField(label="First name", max_length=80, widget=forms.TextInput(attrs={"autocomplete": "given-name"}))
    last_name = forms.CharField(
        label="Last name", max_length=80, required=False, widget=forms.TextInput(attrs={"autocomplete": "family-name"})
    )
    field_order = ["first_name", "last_name", "email", "password1"]

    def clean_first_name(self) -> str:
        return plain_name(self.cleaned_data["first_name"])

    def clean_last_name(self) -> str:
        return plain_name(self.cleaned_data["last_name"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if password := cleaned.get("password1"):
            someone = User(email=cleaned.get("email", ""), first_name=cleaned.get("first_name", ""), last_name=cleaned.get("last_name", ""))
            try:
                strength.StrengthValidator().validate(password, someone)
            except ValidationError as error:
                self.add_error("password1", error)
        return cleaned

    def validate_unique_email(self, value: str) -> str:
        address = normal_address(value)
        self.account_already_exists = User.objects.known_as(address, realm=None) is not None
        return address

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        if self.account_already_exists:
            User().set_password(self.cleaned_data["password1"])  # a new person costs a hash, so a known one must too
            return super().try_save(request)
        try:
            with transaction.atomic():
                return super().try_save(request)
        except IntegrityError:  # the same address signed up in this very moment
            self.account_already_exists = True
            return super().try_save(request)


class SignInForm(account_forms.LoginForm):
    def clean_login(self) -> str:
        return normal_address(self.cleaned_data["login"])


class ResetPasswordForm(account_forms.ResetPasswordForm):
    """Mails a code to a person of this realm. Anybody else gets the same page and no mail."""

    def clean_email(self) -> str:
        address = normal_address(self.cleaned_data["email"])
        user = known_at(context.request.site, address)
        self.users = [user] if user is not None and user.is_active else []
        return address

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        address = super().save(request, **kwargs)
        if self.users:
            state = request.session[PASSWORD_RESET_VERIFICATION_SESSION_KEY]
            request.session[PASSWORD_RESET_VERIFICATION_SESSION_KEY] = {**state, "of": reset_mark(self.users[0])}
        User().set_password(address)  # the same work for known and unknown addresses, and far more than the rest
        return address


class NewPasswordForm(Metered, account_forms.ResetPasswordKeyForm):
    """The last step of a reset. A change of password or address since the code was sent makes the code worthless."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        state = context.request.session.get(PASSWORD_RESET_VERIFICATION_SESSION_KEY, {})
        if not constant_time_compare(state.get("of", ""), reset_mark(self.user)):
            raise ValidationError("This code is no longer valid. Please ask for a new one.", code="stale")
        return cleaned


def reset_mark(user: User) -> str:
    """What a reset code was sent for: this password and this address of this person."""
    return salted_hmac("password reset", f"{user.pk}|{user.email}|{user.password}", algorithm="sha256").hexdigest()


class ChangePasswordForm(Metered, account_forms.ChangePasswordForm):
    pass


class SetPasswordForm(Metered, account_forms.SetPasswordForm):
    pass


class FirstPasswordForm(SetPasswordForm):
    """The password a person chooses in place of the generated one."""

    def clean_password1(self) -> str:
        password: str = self.cleaned_data["password1"]
        if self.user.check_password(password):
            raise ValidationError("Please choose a password of your own, not the one we sent you.", code="same")
        return password


class FindWorkspaceForm(forms.Form):
    email = forms.EmailField(label="Your e-mail address", widget=forms.EmailInput(attrs={"autocomplete": "email"}))

    def clean_email(self) -> str:
        return normal_address(self.cleaned_data["email"])


# --- One's own security -------------------------------------------------------------------------------------------------


class ChangeEmailForm(account_forms.AddEmailForm):
    """A new address, confirmed by a code before it counts. One that is taken gets the same answer and another mail."""

    is_taken = False

    def clean_email(self) -> str:
        address = normal_address(self.cleaned_data["email"])
        if address == normal_address(self.user.email):
            raise get_adapter().validation_error("duplicate_email")
        self.is_taken = User.objects.known_as(address, realm=self.user.realm) is not None
        return address

    def save(self, request: HttpRequest) -> Any:
        if not self.is_taken:
            return super().save(request)
        process = EmailVerificationProcess.initiate(request=request, user=None, email=self.cleaned_data["email"])
        return process.email_address


class ConfirmEmailForm(account_forms.ConfirmEmailVerificationCodeForm):
    """The code that proves an address. Somebody else of the realm may have taken it since the code was sent."""

    def clean_code(self) -> str:
        code: str = super().clean_code()
        if self.user is None:
            raise get_adapter().validation_error("incorrect_code")
        other = User.objects.known_as(self.email, realm=self.user.realm)
        if other is not None and other.pk != self.user.pk:
            raise get_adapter().validation_error("email_taken")
        return code


class OneTimeCode:
    """A code from an authenticator app opens once. The last counter is kept in the database, so losing Redis opens nothing twice."""

    authenticator: Authenticator

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP and not burn(self.authenticator, code):
            self._emit_authentication_failed(self.authenticator)  # type: ignore[attr-defined]  # (of the form it is mixed into)
            raise get_adapter().validation_error("incorrect_code")
        return code


def burn(authenticator: Authenticator, code: str) -> bool:
    """Use up the counter `code` stands for, and all before it; False when that was done already."""
    secret = decrypt(authenticator.data["secret"])
    counter = max(
        (at for at in yield_hotp_counters_from_time() if format_hotp_value(hotp_value(secret, at)) == re.sub(r"\D", "", code)), default=0
    )
    with transaction.atomic():
        locked = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        if counter <= locked.data.get("last_counter", 0):
            return False
        locked.data["last_counter"] = counter
        locked.save(update_fields=["data"])
    authenticator.data = locked.data
    return True


class SecondFactorForm(OneTimeCode, mfa_forms.AuthenticateForm):
    pass


class ConfirmWithCodeForm(OneTimeCode, mfa_forms.ReauthenticateForm):
    pass


class CredentialField(forms.JSONField):
    """What a browser says a passkey answered. Nested a thousand deep it is JSON, and an error of the parser."""

    def to_python(self, value: Any) -> Any:
        try:
            return super().to_python(value)
        except RecursionError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class PasskeyForm(webauthn_forms.LoginWebAuthnForm):
    """Anybody may post here, so an answer with parts missing is a wrong answer, not an error of ours."""

    credential = CredentialField(required=True, widget=forms.HiddenInput)

    def clean_credential(self) -> Authenticator:
        try:
            webauthn.parse_authentication_response(self.cleaned_data["credential"])
        except KeyError as missing:
            raise get_adapter().validation_error("incorrect_code") from missing
        answered: Authenticator = super().clean_credential()
        return answered


# --- Agencies -----------------------------------------------------------------------------------------------------------


def time_zones() -> list[tuple[str, str]]:
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/", "posix/", "right/")))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class AgencyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What an Owner or Admin may change about the agency itself."""

    time_zone = forms.ChoiceField(label="Time zone", choices=time_zones, help_text="“This month” and “today” in reports follow it.")

    class Meta:
        model = Agency
        fields = ["name", "time_zone", "assists_need_reason"]
        labels = {"name": "Agency name", "assists_need_reason": "Ask for a reason before somebody enters a client's workspace"}
        help_texts = {"assists_need_reason": "Whoever enters may always give one. The client reads it."}

    def clean_name(self) -> str:
        return plain_name(self.cleaned_data["name"])


class SecondFactorPolicyForm(forms.Form):
    """Who of an agency's people needs a second factor."""

    team = forms.BooleanField(required=False, label="Everybody in our team needs a second factor")
    clients = forms.BooleanField(required=False, label="Everybody at our clients needs a second factor")

    def __init__(self, *args: Any, has_one: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_one = has_one

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        newly = [name for name in ("team", "clients") if cleaned.get(name) and not self.initial[name]]
        if newly and not self.has_one:
            raise ValidationError("Set up a second factor of your own first: under “Sign-in and security”, in the menu behind your name.")
        return cleaned


class NewAgencyForm(forms.Form):
    name = forms.CharField(label="Agency name", max_length=80, widget=forms.TextInput(attrs={"autocomplete": "organization"}))
    slug = forms.CharField(
        label="Address",
        max_length=40,
        required=False,
        help_text="Your own workspace gets this address: small letters, digits and hyphens. Left empty, it is made from the name.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    time_zone = forms.ChoiceField(
        label="Time zone", choices=time_zones, initial="UTC", help_text="“This month” and “today” in reports follow it."
    )
    currency = forms.ChoiceField(
        label="Currency", choices=CURRENCIES, initial="USD", help_text="For your plan and your prices. It cannot be changed later."
    )

    def clean_name(self) -> str:
        return plain_name(self.cleaned_data["name"])

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"].strip().lower()


# --- Alerts --------------------------------------------------------------------------------------------------------------


class AlertChannelsForm(forms.Form):
    """A pair of boxes for each category: by e-mail, in the app. `words` says of each when it comes."""

    def __init__(self, *args: Any, words: Mapping[str, str], channels: Mapping[str, Channel], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.words = words
        for category in words:
            name, now = Category(category).label, channels[category]
            self.fields[f"mail_{category}"] = forms.BooleanField(required=False, initial=now.by_mail, label=f"{name} by e-mail")
            self.fields[f"app_{category}"] = forms.BooleanField(required=False, initial=now.in_app, label=f"{name} in the app")

    def rows(self) -> list[dict[str, Any]]:
        """What the table shows, a row for each category."""
        return [
            {"label": Category(category).label, "text": text, "boxes": [self[f"mail_{category}"], self[f"app_{category}"]]}
            for category, text in self.words.items()
        ]

    def channels(self) -> dict[str, Channel]:
        chosen = self.cleaned_data
        return {category: Channel(chosen[f"mail_{category}"], chosen[f"app_{category}"]) for category in self.words}


class AlertsForm(AlertChannelsForm):
    """The same for an agency's team, with who is mailed and what counts as unusual."""

    recipients = forms.ModelMultipleChoiceField(
        label="Who gets the mails",
        queryset=Membership.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Choose nobody, and the Owner and all Admins get them. An Agency Member is told only about clients granted to them.",
    )
    spike_factor = AmountField(
        label="More than how many times a usual day",
        min_value=Decimal("1.01"),
        max_value=100,
        decimal_places=2,
        error_messages={
            "invalid": "Enter a number from 1.01 to 100, for instance 3.",
            "min_value": "On an ordinary day a client may use as much as usual: give a number from 1.01 to 100.",
            "max_value": "Give a number from 1.01 to 100.",
            "max_decimal_places": "Give at most two decimals.",
        },
        help_text="A usual day is the median of the 14 days before.",
    )
    spike_least = WholeAmountField(
        label="And more than how many units",
        error_messages={"invalid": "Enter a whole number from 1 to 999,999,999, in digits only."},
        help_text="So that one reply instead of none is no alarm. Whole units: credits, minutes, packs.",
    )

    def __init__(self, *args: Any, team: QuerySet[Membership], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["recipients"]
        field.queryset = team
        field.label_from_instance = lambda member: f"{member.user.name} ({member.get_role_display()})"


# --- The agency itself ---------------------------------------------------------------------------------------------------


class NameTypedForm(forms.Form):
    """Whoever means it types the name."""

    name = forms.CharField(max_length=120, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, data: Mapping[str, Any] | None = None, *, name: str) -> None:
        super().__init__(data)
        self.wanted = name
        self.fields["name"].label = f"Type “{name}” to confirm"

    def clean_name(self) -> str:
        typed = str(self.cleaned_data["name"]).strip()
        if typed != self.wanted:
            raise forms.ValidationError(f"Type the name exactly as it stands here: {self.wanted}. Nothing was deleted.")
        return typed


class OfferForm(forms.Form):
    """To whom of the team the agency is offered."""

    to = forms.ModelChoiceField(
        label="New Owner",
        queryset=User.objects.none(),
        to_field_name="public_id",
        empty_label="Choose somebody of your team",
        error_messages={"required": "Choose somebody.", "invalid_choice": "Choose somebody of your team."},
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, team: QuerySet[User]) -> None:
        super().__init__(data)
        field = self.fields["to"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = team


# --- The audit log -------------------------------------------------------------------------------------------------------


class AuditForm(forms.Form):
    """What to look for in the audit log, in an address: everything may be left empty. `client`, `person` and `assist` are public ids."""

    kind = forms.ChoiceField(label="What", required=False, choices=[("", "Everything"), *deeds.Kind.choices])
    person = forms.CharField(label="Who", required=False, max_length=40)
    client = forms.CharField(label="Client", required=False, max_length=40)
    search = forms.CharField(label="Client", required=False, max_length=120)
    assist = forms.CharField(label="Assist", required=False, max_length=40)
    assisting = forms.ChoiceField(
        label="On behalf of",
        required=False,
        choices=[("", "Anybody"), ("yes", "A client (assisting)"), ("no", "Nobody")],
    )
    address = forms.CharField(label="Network address", required=False, max_length=64)
    first = DayField(label="From")
    last = DayField(label="To")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = cleaned.get("first"), cleaned.get("last")
        if first and last and first > last:
            self.add_error("last", "The last day is before the first.")
        return cleaned

    def in_words(self) -> Iterator[tuple[str, str]]:
        """The name of each filter that is set and what it asks for; people and clients aside, which have names."""
        asked = self.cleaned_data
        if asked["kind"]:
            yield "kind", deeds.Kind(asked["kind"]).label
        if asked["assisting"]:
            yield "assisting", "While assisting" if asked["assisting"] == "yes" else "Not while assisting"
        if asked["address"]:
            yield "address", f"From {asked['address']}"
        for name in ("first", "last"):
            if asked[name]:
                yield name, f"{self.fields[name].label} {asked[name]:%-d %b %Y}"


class KeepAuditForm(forms.Form):
    """For how long the audit log is kept, in days of whole years."""

    EVER = "ever"
    YEARS = (1, 2, 3, 5, 7)

    days = forms.TypedChoiceField(
        label="Keep records",
        coerce=lambda days: None if days == KeepAuditForm.EVER else int(days),
        widget=forms.RadioSelect,
        choices=[(EVER, "For ever"), *((str(365 * years), f"{years} year{'' if years == 1 else 's'}") for years in YEARS)],
    )


# --- API keys -----------------------------------------------------------------------------------------------------------


class ApiKeyForm(forms.Form):
    """A key to make: `scopes` is what its owner may allow. `days` is how long it works, 0 for ever; networks come out as a list."""

    name = forms.CharField(max_length=80, help_text="What uses it, for instance “Zapier” or “Our website”. The audit log says it.")
    scopes = forms.MultipleChoiceField(
        label="What it may do", widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose at least one."}
    )
    days = forms.TypedChoiceField(
        label="It works for",
        choices=[("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("0", "As long as nobody revokes it")],
        initial="365",
        coerce=int,
    )
    allowed_networks = forms.CharField(
        label="Networks it works from",
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="Addresses or networks, one a line, such as 203.0.113.7 or 2001:db8::/32. From anywhere when left empty.",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, scopes: Iterable[api_keys.Scope]) -> None:
        super().__init__(data)
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(scope.value, f"{scope.label} ({scope.value})") for scope in scopes]

    def clean_name(self) -> str:
        return plain_name(self.cleaned_data["name"])

    def clean_allowed_networks(self) -> list[str]:
        try:
            return [api_keys.network_of(text) for text in re.split(r"[\s,]+", self.cleaned_data["allowed_networks"]) if text]
        except api_keys.BadKeyWish as refusal:
            raise ValidationError(refusal.message) from refusal
