"""What well-formed input is when people are invited and come in."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password

from agency import strength
from agency.access import CLIENT_ROLES, Role
from agency.forms import LINK
from agency.models import Agency, Plan, User
from agency.models.user import normal_address
from kit.requests import words_of
from subaccounts.forms import SUGGEST, plain
from subaccounts.invitations import Newcomer
from subaccounts.models import Invitation, SubAccount

OFFERED = 50
TEAM_AND_CLIENTS = [
    (Role.ADMIN.value, "Agency Admin: everything but giving the agency away or deleting it"),
    (Role.MEMBER.value, "Agency Member: works in the sub-accounts you choose"),
    (Role.SUB_ACCOUNT_ADMIN.value, "Subaccount Admin: a client with full access to its workspace"),
    (Role.SUB_ACCOUNT_MEMBER.value, "Subaccount Member: a client that may look, and buy credits"),
]
NONE, SOME, ALL = "none", "some", "all"


def bare(name: str) -> None:
    """No link and no markup: the name is read in mails."""
    if LINK.search(name):
        raise forms.ValidationError("A name cannot contain a web address, nor the signs < and >.", code="link")


class AddressForm(forms.Form):
    email = forms.EmailField(label="E-mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"}))

    def clean_email(self) -> str:
        return normal_address(self.cleaned_data["email"])


class InviteForm(AddressForm):
    """Who, as what, and how far they reach. The list offers some sub-accounts; what was chosen among the others stays."""

    role = forms.ChoiceField(choices=TEAM_AND_CLIENTS, widget=forms.RadioSelect)
    reach = forms.ChoiceField(
        label="Sub-accounts",
        choices=[(SOME, "Specific sub-accounts"), (ALL, "All sub-accounts, those to come included"), (NONE, "None for now")],
        initial=SOME,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose how far they reach."},
    )
    find = forms.CharField(label="Find a sub-account", max_length=120, required=False, widget=forms.SearchInput)

    def __init__(self, data: Mapping[str, Any] | None = None, *, agency: Agency, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.ready = SubAccount.objects.of(agency).ready()
        self.fields["sub_accounts"] = forms.ModelMultipleChoiceField(self.ready, to_field_name="public_id", required=False)

    def offered(self) -> list[dict[str, Any]]:
        """What the list shows: the chosen first, then those whose name has what is looked for, `OFFERED` in all."""
        chosen = self._chosen()
        wanted = self.ready.filter(name__icontains=self._looked_for) if self._looked_for else self.ready
        others = wanted.exclude(public_id__in=chosen).order_by("name", "pk")[: max(0, OFFERED - len(chosen))]
        kept = self.ready.filter(public_id__in=chosen).order_by("name", "pk")
        return [{"sub_account": one, "is_chosen": one.public_id in chosen} for one in (*kept, *others)]

    @property
    def _looked_for(self) -> str:
        return words_of(str(self.data.get("find", "")))

    def _chosen(self) -> set[UUID]:
        typed = self.data.getlist("sub_accounts") if hasattr(self.data, "getlist") else []
        return {UUID(text) for text in typed[:1000] if _is_uuid(text)}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        role, how_far = cleaned.get("role"), cleaned.get("reach")
        if role == Role.ADMIN:
            how_far = NONE
        if role in CLIENT_ROLES and how_far == NONE:
            self.add_error("reach", "A client needs at least one sub-account. Choose which.")
        if role and how_far == SOME and not cleaned.get("sub_accounts") and "sub_accounts" not in self.errors:
            self.add_error("reach", "Choose at least one sub-account from the list.")
        cleaned["covers_all"] = how_far == ALL
        if how_far != SOME:
            cleaned["sub_accounts"] = self.ready.none()
        return cleaned

    @property
    def wish(self) -> dict[str, Any]:
        """What the deeds want to know, but for the address."""
        return {name: self.cleaned_data[name] for name in ("role", "sub_accounts", "covers_all")}


class ColleagueForm(AddressForm):
    """A colleague in one sub-account."""

    role = forms.ChoiceField(
        choices=[
            (Role.SUB_ACCOUNT_ADMIN.value, "Subaccount Admin: full access to this workspace, its people included"),
            (Role.SUB_ACCOUNT_MEMBER.value, "Subaccount Member: may look, and buy credits"),
        ],
        widget=forms.RadioSelect,
    )


class ColleagueRoleForm(forms.Form):
    role = forms.ChoiceField(choices=ColleagueForm.base_fields["role"].choices, widget=forms.RadioSelect)  # type: ignore[attr-defined]


class InviteSubAccountForm(AddressForm):
    """A new client that opens its own sub-account by a link."""

    business_name = forms.CharField(
        max_length=120, help_text="What you and the client see everywhere.", widget=forms.TextInput(attrs=SUGGEST), validators=[plain, bare]
    )
    slug = forms.CharField(
        label="Web address",
        max_length=40,
        required=False,
        help_text=f"What stands before .{settings.BASE_DOMAIN}. Made from the name when left empty; it cannot be changed later.",
    )
    first_name = forms.CharField(max_length=80, required=False, validators=[plain, bare])
    last_name = forms.CharField(max_length=80, required=False, validators=[plain, bare])
    is_white_label = forms.BooleanField(
        label="White label",
        required=False,
        help_text="The client sees your agency's name instead of the platform's, from the first page on.",
    )
    field_order = ["business_name", "slug", "email", "first_name", "last_name", "is_white_label"]

    def __init__(self, data: Mapping[str, Any] | None = None, *, agency: Agency, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["email"].help_text = "The client's. The invitation goes there, and it is what they sign in with."
        white_label = self.fields["is_white_label"]
        if not agency.plan.has_white_label:
            white_label.disabled = True
            white_label.help_text = _where_white_label_is(agency)

    def clean_slug(self) -> str:
        return str(self.cleaned_data["slug"]).strip().lower()


class JoinForm(forms.Form):
    """Who somebody new is, and the password they choose. The address is the invitation's and no field of it."""

    first_name = forms.CharField(max_length=80, widget=forms.TextInput(attrs={"autocomplete": "given-name"}), validators=[plain, bare])
    last_name = forms.CharField(
        max_length=80, required=False, widget=forms.TextInput(attrs={"autocomplete": "family-name"}), validators=[plain, bare]
    )
    password1 = forms.CharField(
        label="Password", strip=False, max_length=4096, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, invitation: Invitation) -> None:
        opens = invitation.opens or {}
        super().__init__(data, initial={name: opens.get(name, "") for name in ("first_name", "last_name")})
        self.invitation = invitation
        self.fields["password1"].help_text = password_validators_help_text_html()
        strength.metered(self.fields["password1"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if password := cleaned.get("password1"):
            names = {name: cleaned.get(name, "") for name in ("first_name", "last_name")}
            try:
                validate_password(password, User(email=self.invitation.email, realm=self.invitation.realm, **names))
            except forms.ValidationError as error:
                self.add_error("password1", error)
        return cleaned

    @property
    def newcomer(self) -> Newcomer:
        cleaned = self.cleaned_data
        return Newcomer(" ".join(cleaned["first_name"].split()), " ".join(cleaned["last_name"].split()), cleaned["password1"])


def _where_white_label_is(agency: Agency) -> str:
    plan = Plan.objects.on_offer().filter(has_white_label=True).first()
    larger = f" It comes with {plan.name}." if plan else ""
    return f"Not part of your {agency.plan.name} plan.{larger}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
