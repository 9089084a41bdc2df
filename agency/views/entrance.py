"""The entrance: how allauth's sign-up, sign-in, reset and second factors behave here, and the pages around them."""

import hashlib
from collections.abc import Callable
from typing import Any

from allauth.account import views as account_views
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import EmailAddress
from allauth.core import context as allauth_context
from allauth.core.ratelimit import consume
from allauth.mfa.adapter import DefaultMFAAdapter
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.views.decorators.cache import never_cache

from agency import security
from agency.forms import FindWorkspaceForm, FirstPasswordForm
from agency.models import Membership, User
from agency.realms import login_key
from kit import mail, sealed
from kit.requests import client_address
from subaccounts import addresses
from subaccounts.models import Access, Domain, SubAccount

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 (nothing is bound: the session list wants some address)
DEVICE_COOKIE = "__Host-device"
DEVICE_SECONDS = 365 * 24 * 3600


# --- Where things are ---------------------------------------------------------------------------------------------------


def address_of(domain: Domain) -> str:
    """The web address of a stored domain; never taken from the `Host` of a request."""
    _, _, port = settings.BASE_DOMAIN.partition(":")
    return f"{settings.SCHEME}://{domain.domain}{':' + port if port else ''}"


def primary_domain(sub_account: SubAccount) -> Domain | None:
    return sub_account.domains.order_by("-is_primary", "id").first()


def here(request: HttpRequest) -> str:
    """The web address of the place a request is for, for use in mails."""
    sub_account = request.site.sub_account
    domain = primary_domain(sub_account) if sub_account else None
    return address_of(domain) if domain else addresses.platform_url("")


def brand_name(request: HttpRequest) -> str:
    """Who writes the mails of this place: the platform, or on a workspace the agency whose client reads them."""
    return request.site.agency.name if request.site.agency else settings.PLATFORM_NAME


def workspaces_of(user: User) -> list[dict[str, str]]:
    """Name and address of every workspace a client may enter."""
    accesses = Access.objects.filter(user=user, sub_account__status=SubAccount.READY).exclude(role=Access.GRANTED)
    found = [
        (access.sub_account, primary_domain(access.sub_account))
        for access in accesses.select_related("sub_account").order_by("sub_account__name")
    ]
    return [{"name": sub_account.name, "url": f"{address_of(domain)}/"} for sub_account, domain in found if domain is not None]


# --- allauth's hooks ----------------------------------------------------------------------------------------------------


class AccountAdapter(DefaultAccountAdapter):
    """Realms, mails and limits for allauth."""

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
        device = known_device(request, key)
        return f"{key}:{device}" if device else key

    def pre_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse | None:
        """The last word before any sign-in (password, passkey): is this person at home here?"""
        site = request.site
        if not user.is_active or user.realm_id != (site.realm.pk if site.realm else None):
            return self.respond_user_inactive(request, user)
        if site.sub_account is not None and not Access.objects.filter(user=user, sub_account=site.sub_account).exists():
            clear_login(request)
            return render(request, "account/elsewhere.html", {"workspaces": workspaces_of(user)})
        if not EmailAddress.objects.filter(user=user).exists():
            # Nobody who signed up is without a row: this person was added by an agency or by staff, who vouch for the address.
            EmailAddress.objects.create(user=user, email=user.email.lower(), primary=True, verified=True)
        return None

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Exactly what a wrong password says."""
        clear_login(request)
        messages.error(request, str(self.error_messages["email_password_mismatch"]))
        return HttpResponseRedirect(reverse("account_login"))

    def post_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse:
        response = super().post_login(request, user, **about)
        remember_device(request, response, login_key(user.realm_id, user.email))
        return response

    # Mails

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        request = allauth_context.request
        facts = {key: value for key, value in context.items() if key != "request"}
        about = {
            "brand": brand_name(request),
            "site_url": here(request),
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


# --- Known devices ------------------------------------------------------------------------------------------------------


def known_device(request: HttpRequest, key: str) -> str:
    """The mark of this browser if the person counted under `key` has signed in with it before, else an empty string."""
    try:
        owner, device = Signer(salt=f"device {request.site.host}").unsign_object(request.COOKIES.get(DEVICE_COOKIE, ""))
    except (BadSignature, ValueError):
        return ""
    return str(device) if owner == hashlib.sha256(key.encode()).hexdigest() else ""


def remember_device(request: HttpRequest, response: HttpResponseBase, key: str) -> None:
    device = known_device(request, key) or get_random_string(16)
    value = Signer(salt=f"device {request.site.host}").sign_object([hashlib.sha256(key.encode()).hexdigest(), device])
    response.set_cookie(DEVICE_COOKIE, value, max_age=DEVICE_SECONDS, secure=True, httponly=True, samesite="Lax")


# --- Pages --------------------------------------------------------------------------------------------------------------


class SignInView(account_views.LoginView):
    def form_invalid(self, form: forms.Form) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
            response.status_code = 429
        return response


sign_in = SignInView.as_view()


def sign_out(request: HttpRequest) -> HttpResponseBase:
    """Asks on GET, signs out on POST; the browser is told to forget the pages it has seen."""
    response = account_views.logout(request)
    if request.method == "POST":
        response["Clear-Site-Data"] = '"cache"'
    return response


def not_while_assisting(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A person's own security is their own: an agency user inside a client's workspace gets 403 here."""

    def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.assist is not None:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return inside


@never_cache
def first_password(request: HttpRequest) -> HttpResponse:
    """The page a person with a generated password cannot get past."""
    user = request.user
    if not user.must_change_password:
        return redirect("/")
    form = FirstPasswordForm(user, request.POST or None)
    if form.is_valid():
        form.save()
        update_session_auth_hash(request, user)
        security.record("person.password_set", user=user, request=request)
        return redirect("/")
    return render(request, "account/first_password.html", {"form": form})


def find_workspace(request: HttpRequest) -> HttpResponse:
    """Mails the addresses of the workspaces an address may enter. Everybody reads the same answer."""
    form = FindWorkspaceForm(request.POST or None)
    if not form.is_valid():
        return render(request, "agency/find_workspace.html", {"form": form})
    email = form.cleaned_data["email"]
    if not consume(request, action="find_workspace"):
        return render(request, "429.html", status=429)
    if consume(request, action="find_workspace_address", key=email):
        tell_workspaces(email)
    User().set_password(email)  # the same work for known and unknown addresses, and far more than the rest
    return render(request, "agency/find_workspace_sent.html", {"email": email})


def tell_workspaces(email: str) -> None:
    """Send the list of workspaces over all realms to `email`; nothing when there is none."""
    users = User.objects.filter(email=email, is_active=True)
    workspaces = [workspace for user in users if user.realm_id is not None for workspace in workspaces_of(user)]
    is_team = any(user.realm_id is None for user in users)
    if workspaces or is_team:
        mail.send(
            to=email,
            template="mails/find_workspace",
            context={"workspaces": workspaces, "team_url": addresses.platform_url() if is_team else ""},
        )
