"""How allauth behaves here: in realms, by our mails, with our limits."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import EmailAddress
from allauth.core import context as allauth_context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from agency import devices, security, sign_ins
from agency.models import Membership, SignIn, User
from agency.realms import is_at_home, known_at, login_key
from kit import mail, sealed
from kit.requests import client_address
from kit.user_agents import in_words
from subaccounts import addresses, switching
from subaccounts.models import Access

WAYS_TO_CONFIRM = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code from your app",
    "mfa_reauthenticate:webauthn": "Use a passkey or security key",
}
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 (nothing is bound: the session list wants some address)


def brand_name(request: HttpRequest) -> str:
    """Who writes the mails of this place: the platform, or on a workspace the agency whose client reads them."""
    return request.site.agency.name if request.site.agency else settings.PLATFORM_NAME


def site_url(request: HttpRequest) -> str:
    """Where the links of a mail lead: the stored name of the place it is about, never the `Host` of the request."""
    if request.site.kind == "staff":
        return addresses.staff_url("")
    return addresses.primary_url(request.site.sub_account) if request.site.sub_account else addresses.platform_url("")


class AccountAdapter(DefaultAccountAdapter):
    """Realms, mails and limits for allauth."""

    was_here_before = False

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(request.site.kind == "platform")

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or UNKNOWN_ADDRESS

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        user = request.user
        is_new = request.site.kind == "platform" and not user.is_staff and not Membership.objects.filter(user=user).exists()
        return reverse("agency_new") if is_new else "/"

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return self.get_login_redirect_url(request)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("mfa_index")

    def set_password(self, user: User, password: str) -> None:
        user.choose_password(password)

    # Sign-in

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """By realm and person. A browser this person has signed in with before is counted apart, so that a stranger's
        failures elsewhere never lock its owner out."""
        realm = request.site.realm
        key = login_key(realm.pk if realm else None, credentials.get("email") or "")
        device = devices.known(request, key)
        return f"{key}:{device}" if device else key

    def pre_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse | None:
        """The last word before any sign-in (password, passkey): is this person at home here?"""
        site = request.site
        if not user.is_active or not is_at_home(user, site):
            return self.respond_user_inactive(request, user)
        if site.sub_account is not None and not Access.objects.filter(user=user, sub_account=site.sub_account).exists():
            clear_login(request)
            return render(request, "account/elsewhere.html", {"workspaces": switching.workspaces_of(user)})
        if not EmailAddress.objects.filter(user=user).exists():
            # Nobody who signed up is without a row: this person was added by an agency or by staff, who vouch for the address.
            EmailAddress.objects.create(user=user, email=user.email.lower(), primary=True, verified=True)
        return None

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Exactly what a wrong password says."""
        clear_login(request)
        messages.error(request, str(self.error_messages["email_password_mismatch"]))
        return HttpResponseRedirect(reverse("account_login"))

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        user = known_at(request.site, credentials.get("email") or "")
        if user is not None:
            sign_ins.failed(user=user, request=request, method="Confirming with the password" if request.user == user else "Password")

    def login(self, request: HttpRequest, user: Any) -> None:
        self.was_here_before = user.last_login is not None
        super().login(request, user)

    def post_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse:
        response = super().post_login(request, user, **about)
        key = login_key(user.realm_id, user.email)
        with transaction.atomic():
            made = sign_ins.succeeded(
                user=user,
                request=request,
                method=sign_ins.method_in_words(security.steps_shown(request, user)),
                is_new_device=not devices.known(request, key),
            )
            if made.is_new_device and self.was_here_before and sign_ins.may_mail(user):
                self._tell_of_new_device(request, made)
        devices.remember(request, response, key)
        return response

    def _tell_of_new_device(self, request: HttpRequest, made: SignIn) -> None:
        facts = {"at": made.at, "host": made.host, "device": in_words(made.device), "address": made.address}
        self.send_mail("mails/new_device", made.user.email, facts)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """In our words; a password is no answer where a second factor is asked for."""
        methods = super().get_reauthentication_methods(user)
        needs_factor = self.request.factor_wanted_by is not None and security.has_second_factor(user)
        if needs_factor and not security.used_second_factor(self.request):
            methods = [method for method in methods if method["id"] != "reauthenticate"]
        return [{**method, "description": WAYS_TO_CONFIRM[method["id"]]} for method in methods]

    # Mails

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        request = allauth_context.request
        facts = {key: value for key, value in context.items() if key != "request"}
        about = {
            "brand": brand_name(request),
            "site_url": site_url(request),
            "email": email,
        }
        mail.send(to=email, template=template_prefix, context={**facts, **about}, sender_name=brand_name(request))

    def send_account_already_exists_mail(self, email: str) -> None:
        self.send_mail("account/email/account_already_exists", email, {"reset_path": reverse("account_reset_password")})


class SecondFactorUnreadable(Exception):
    """A stored secret was written with a SECRET_KEY that is neither today's nor in SECRET_KEY_FALLBACKS."""


class MfaAdapter(DefaultMFAAdapter):
    """Second factors under the name of the place, their secrets unreadable in the database."""

    def get_totp_issuer(self) -> str:
        return brand_name(allauth_context.request)

    def _get_site_name(self) -> str:
        return brand_name(allauth_context.request)

    def encrypt(self, text: str) -> str:
        return sealed.seal(text, purpose="second factor")

    def decrypt(self, encrypted_text: str) -> str:
        text = sealed.unseal(encrypted_text, purpose="second factor")
        if text is None:
            raise SecondFactorUnreadable
        return text
