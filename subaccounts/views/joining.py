"""Following an invitation, and the way to a workspace on another host that was just opened by one.

The link's address holds the token, so it is left at once: the token's hash waits in the session, and the page with the form has
an address without secrets. Looking uses nothing up; only the form does.
"""

import re
from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from agency import audit
from agency.models import Membership, User
from kit import clock
from kit.doors import open_door
from kit.requests import client_address
from subaccounts import addresses, hop, invitations, opening
from subaccounts.invitation_forms import JoinForm
from subaccounts.invitations import Joined
from subaccounts.models import Access, Hop, Invitation, SubAccount

FOLLOWED = "invitation"
WISH = "joining"
_HASH = re.compile(r"[0-9a-f]{64}")


@open_door("whoever has the link", unaudited="looking changes nothing")
@require_safe
@never_cache
def invitation_link(request: HttpRequest, token: str) -> HttpResponse:
    token_hash = invitations.hashed(token)
    found = invitations.of_link(token_hash, host=request.site.host)
    over = _over(request, found, token_hash)
    if over is None:
        request.session[FOLLOWED] = token_hash
    response = over or redirect("invitation")
    response["Referrer-Policy"] = "no-referrer"
    return response


@open_door("whoever followed a link")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitation(request: HttpRequest) -> HttpResponse:
    """What one is invited to, and the form that accepts. For each reason why not there is a page with its status."""
    token_hash = request.session.get(FOLLOWED, "")
    found = invitations.of_link(token_hash, host=request.site.host)
    if (over := _over(request, found, token_hash)) or found is None:
        return over or _page(request, "unknown", 404)
    if found.opens is not None and request.site.sub_account is not None:
        # The page wears what the workspace will. The object is this request's own copy.
        request.site.sub_account.is_white_label = invitations.is_white_label(found)
    if (not_now := _not_now(request, found)) is not None:
        return not_now
    known = invitations.known_to(found)
    if known is None:
        return _welcome(request, found, token_hash)
    if found.is_for_team and not request.user.is_authenticated:
        return _shown(request, found, "sign_in", sign_in=f"{reverse('account_login')}?{urlencode({'next': request.path})}")
    if request.method != "POST":
        return _shown(request, found, "accept")
    return _accepted(request, found, token_hash)


def _over(request: HttpRequest, found: Invitation | None, token_hash: str) -> HttpResponse | None:
    """The page for a link that opens nothing, or None."""
    if found is None:
        return _page(request, "unknown", 404)
    reason = invitations.why_over(found, token_hash)
    return _page(request, reason, 410, invitation=found) if reason else None


def _not_now(request: HttpRequest, found: Invitation) -> HttpResponse | None:
    """The page for an invitation that this person, or nobody any more, can accept; or None."""
    if request.user.is_authenticated and not invitations.is_for(found, request.user):
        return _page(request, "other_person", 403, invitation=found)
    if request.POST.get("email", found.email) != found.email:
        return _page(request, "refused", 403, invitation=found, reason=invitations.NotForYou.default_message)
    if reason := invitations.why_not(found):
        return _page(request, "refused", 403, invitation=found, reason=reason)
    if found.is_for_team and request.user.is_authenticated:
        membership = Membership.objects.select_related("agency").filter(user=request.user).first()
        if membership is not None:
            return _page(request, "other_team", 409, invitation=found, membership=membership)
    return None


def _welcome(request: HttpRequest, found: Invitation, token_hash: str) -> HttpResponse:
    """Somebody new: who they are, and a password of their own."""
    form = JoinForm(request.POST or None, invitation=found)
    if not form.is_valid():
        return _shown(request, found, "join", form=form, status=400 if form.is_bound else 200)
    return _accepted(request, found, token_hash, newcomer=form.newcomer)


def _accepted(request: HttpRequest, found: Invitation, token_hash: str, **about: Any) -> HttpResponse:
    signed_in = request.user if request.user.is_authenticated else None
    try:
        joined = invitations.accept(token_hash=token_hash, signed_in=signed_in, address=client_address(request), **about)
    except invitations.LinkOver:
        again = Invitation.objects.select_related("agency", "invited_by").get(pk=found.pk)
        return _over(request, again, token_hash) or _page(request, "used", 410, invitation=again)
    except (invitations.NoLongerValid, invitations.AlreadyIn, invitations.InAnotherTeam, opening.EmailKnown, addresses.SlugTaken) as no:
        return _page(request, "refused", no.status, invitation=found, reason=no.message)
    except opening.SubAccountLimitReached:
        reason = f"{found.agency.name} has no place for another sub-account right now. Tell them; this link stays valid meanwhile."
        return _page(request, "refused", 409, invitation=found, reason=reason)
    del request.session[FOLLOWED]
    return _enter(request, joined)


def _enter(request: HttpRequest, joined: Joined) -> HttpResponse:
    """Where they work from now on. Only whom the link made is signed in by it; everybody else proves who they are."""
    there = joined.sub_account
    if there is None or there == request.site.sub_account:
        return _sign_in(request, joined.user) if joined.is_new else redirect("/")
    path = "/"
    if joined.is_new:
        request.session[WISH] = {"user": joined.user.pk, "sub_account": there.pk, "at": clock.now().timestamp()}
        path = reverse("join_arrive")
    return render(request, "subaccounts/joining.html", {"sub_account": there, "next": addresses.own_url(there, path)})


def _sign_in(request: HttpRequest, user: User) -> HttpResponse:
    """As after the sign-in form: they have just chosen the password."""
    response: HttpResponse = perform_password_login(request, {"email": user.email}, Login(user=user, redirect_url="/"))
    return response


# --- To the host of a workspace that was just opened ---------------------------------------------------------------------------


@open_door("whoever just opened a workspace by an invitation", unaudited="looking changes nothing")
@require_safe
@never_cache
def join_issue(request: HttpRequest) -> HttpResponse:
    """Without a fresh wish of this very browser nothing is issued, so a link to here does nothing."""
    wish = request.session.pop(WISH, None)
    nonce_hash = request.GET.get("nonce", "")
    if wish is None or not _HASH.fullmatch(nonce_hash) or clock.now().timestamp() - wish["at"] > settings.HOP_SECONDS:
        return redirect("/")
    sub_account = get_object_or_404(SubAccount.objects.ready(), pk=wish["sub_account"], agency=request.site.agency)
    user = get_object_or_404(User, pk=wish["user"], realm=request.site.agency)
    token = hop.issue(user=user, host=addresses.own_host(sub_account), purpose=Hop.JOIN, nonce_hash=nonce_hash)
    context = {"sub_account": sub_account, "token": token, "target": addresses.own_url(sub_account, reverse("join_arrive"))}
    response = render(request, "subaccounts/joined.html", context)
    response["Referrer-Policy"] = "no-referrer"
    response._csp_update = {"form-action": [addresses.own_url(sub_account, "")]}  # type: ignore[attr-defined]  # (where django-csp looks for it)
    return response


@csrf_exempt  # the token is the proof: random, for this host, and worth nothing without this browser's nonce cookie
@open_door("a client arrives with a token", unaudited="joining was recorded; a refused token records itself")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join_arrive(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return render(request, "subaccounts/hop_occupied.html", status=409)
    return _arrive(request) if request.method == "POST" else _send_for_token(request)


def _send_for_token(request: HttpRequest) -> HttpResponse:
    nonce = hop.new_nonce()
    primary = SubAccount.objects.get(agency=request.site.agency, is_primary=True)
    response = redirect(f"{addresses.own_url(primary, reverse('join_issue'))}?{urlencode({'nonce': hop.hashed(nonce)})}")
    # The token comes from another host of the agency, so the cookie has to travel with a POST from another site.
    response.set_cookie(hop.NONCE_COOKIE, nonce, max_age=2 * settings.HOP_SECONDS, secure=True, httponly=True, samesite="None")
    return response


def _arrive(request: HttpRequest) -> HttpResponse:
    sub_account: SubAccount = request.site.sub_account
    token, nonce = request.POST.get("token", ""), request.COOKIES.get(hop.NONCE_COOKIE, "")
    try:
        user = hop.consume(token=token, host=request.site.host, purpose=Hop.JOIN, nonce=nonce).user
        if user.realm_id != sub_account.agency_id or not Access.objects.filter(user=user, sub_account=sub_account).exists():
            raise hop.HopRefused("no longer allowed", user=user)
    except hop.HopRefused as refusal:
        _record_refusal(request, refusal)
        raise
    response = _sign_in(request, user)
    response.delete_cookie(hop.NONCE_COOKIE, samesite="None")
    return response


def _record_refusal(request: HttpRequest, refusal: hop.HopRefused) -> None:
    """Only for tokens that exist: whoever sends made-up ones cannot fill the log."""
    if refusal.user is None:
        return
    sub_account: SubAccount = request.site.sub_account
    is_ours = refusal.user.realm_id == sub_account.agency_id  # on another agency's host only the person's own learns of it
    audit.record(
        "join.refused",
        by=refusal.user.as_actor(address=client_address(request)),
        agency=refusal.user.realm,
        sub_account_id=sub_account.public_id if is_ours else None,
        subject=sub_account.name if is_ours else request.site.host,
        after={"cause": refusal.cause},
    )


def _shown(request: HttpRequest, found: Invitation, way: str, *, status: int = 200, **about: Any) -> HttpResponse:
    return render(request, f"invitation/{way}.html", {"invitation": found, "agency": found.agency, **about}, status=status)


def _page(request: HttpRequest, name: str, status: int, *, invitation: Invitation | None = None, **about: Any) -> HttpResponse:
    agency = invitation.agency if invitation else None
    return render(
        request, f"invitation/{name}.html", {"invitation": invitation, "agency": agency, "status": status, **about}, status=status
    )
