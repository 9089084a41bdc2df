"""The pages of the entrance that are our own, and allauth's with something added."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from allauth.account import views as account_views
from allauth.account.utils import get_next_redirect_url
from allauth.core.ratelimit import consume
from allauth.mfa.base import views as mfa_views
from allauth.mfa.webauthn import views as passkey_views
from django import forms
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agency import security, strength
from agency.access import Can
from agency.forms import FindWorkspaceForm, FirstPasswordForm
from agency.models import SignIn, User
from kit import mail, ratelimit
from kit.doors import door_of
from kit.refusal import Refusal
from kit.requests import client_network
from subaccounts import addresses, switching

STRENGTHS_A_MINUTE = 60


class TooManyEstimates(Refusal):
    """A network asks for more estimates than people type passwords."""

    code = "too_many_estimates"
    status = 429
    default_message = "Please wait a moment before you try more passwords."


class SignInView(account_views.LoginView):
    def form_invalid(self, form: forms.Form) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
            response.status_code = 429
        return response


sign_in = SignInView.as_view()


class ForAPurpose:
    """Showing that it is still you, with what for: the door one wants to go through tells."""

    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]  # (of the view it is mixed into)
        must_show = security.has_second_factor(self.request.user) and not security.used_second_factor(self.request)
        wanted_by = self.request.factor_wanted_by if must_show else None
        return {**context, "purpose": purpose_of(self.request), "factor_wanted_by": wanted_by}


def purpose_of(request: HttpRequest) -> str:
    """What the page that `next` names is for, in the words of the roles; empty where its door says nothing."""
    wanted = urlsplit(get_next_redirect_url(request) or "").path
    try:
        door = door_of(resolve(wanted, getattr(request, "urlconf", None)).func)
    except Resolver404:
        return ""
    return str(Can(door.needs).label) if door is not None and door.recent else ""


class ConfirmWithPasswordView(ForAPurpose, account_views.ReauthenticateView):
    pass


class ConfirmWithCodeView(ForAPurpose, mfa_views.ReauthenticateView):
    pass


class ConfirmWithPasskeyView(ForAPurpose, passkey_views.ReauthenticateWebAuthnView):
    pass


confirm_with_password = ConfirmWithPasswordView.as_view()
confirm_with_code = ConfirmWithCodeView.as_view()
confirm_with_passkey = ConfirmWithPasskeyView.as_view()


class OwnSecurityView(mfa_views.IndexView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mine = SignIn.objects.filter(user=self.request.user).order_by("-at")
        return {
            **super().get_context_data(**kwargs),
            "last_sign_in": mine.filter(outcome=SignIn.SUCCEEDED).first(),
            "last_failure": mine.filter(outcome=SignIn.FAILED).first(),
        }


own_security = OwnSecurityView.as_view()


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
            raise PermissionDenied(
                "You are working in a client's workspace. Return to your agency to change your own sign-in and security."
            )
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
        with transaction.atomic():
            form.save()
            security.record("person.password_set", user=user, request=request)
        update_session_auth_hash(request, user)
        return redirect("/")
    return render(request, "account/first_password.html", {"form": form})


@never_cache
def second_factor_required(request: HttpRequest) -> HttpResponse:
    """The first page of a person whose agency asks for a second factor and who has none."""
    if request.factor_wanted_by is None or security.has_second_factor(request.user):
        return redirect("/")
    return render(request, "account/second_factor_required.html", {"agency": request.factor_wanted_by})


@require_POST
@never_cache
def password_strength(request: HttpRequest) -> HttpResponse:
    """A piece of a form: how hard what was typed is to guess. Nothing of it is kept or logged."""
    if not ratelimit.allow(f"strength:{client_network(request)}", STRENGTHS_A_MINUTE, 60):
        raise TooManyEstimates()
    password = request.POST.get("password1") or request.POST.get("password") or ""
    words = [request.POST.get(name, "")[:254] for name in ("email", "first_name", "last_name")]
    if request.user.is_authenticated:
        words += strength.words_of(request.user)
    return render(request, "account/_strength.html", {"estimate": strength.estimate(password, words) if password else None})


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
    users = User.objects.in_every_realm(email).filter(is_active=True)
    workspaces = [workspace for user in users if user.realm_id is not None for workspace in switching.workspaces_of(user)]
    is_team = any(user.realm_id is None for user in users)
    if workspaces or is_team:
        mail.send(
            to=email,
            template="mails/find_workspace",
            context={"workspaces": workspaces, "team_url": addresses.platform_url() if is_team else ""},
        )
