"""An agency person's way into a workspace and back (docs/decisions/0051).

1. Agency's host, POST: the wish is noted in the session, the browser is sent to the workspace's host.
2. Workspace's host, GET: a nonce is set in a cookie, the browser is sent back with the nonce's hash.
3. Agency's host, GET: for the wish noted in step 1 a token is issued, in a form that sends itself to the workspace's host.
4. Workspace's host, POST: the token is used up, an assist begins.
"""

import re
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agency import audit
from agency.access import Can
from agency.doors import agency_door
from kit import clock
from kit.doors import open_door
from kit.requests import client_address
from subaccounts import addresses, assist, hop
from subaccounts.middleware import may_enter
from subaccounts.models import Hop, SubAccount
from subaccounts.views.detail import sub_account_of

WISH = "entering"
_HASH = re.compile(r"[0-9a-f]{64}")


@agency_door(Can.ENTER_SUB_ACCOUNTS, unaudited="the assist is recorded where it begins")
@require_POST
@never_cache
def sub_account_enter(request: HttpRequest, public_id: UUID) -> HttpResponse:
    sub_account = sub_account_of(request, public_id)
    request.session[WISH] = {"sub_account": str(public_id), "at": clock.now().timestamp()}
    return render(request, "subaccounts/entering.html", {"sub_account": sub_account, "next": addresses.own_url(sub_account, "/hop/")})


@agency_door(Can.ENTER_SUB_ACCOUNTS)
@require_safe
@never_cache
def hop_issue(request: HttpRequest) -> HttpResponse:
    """Step 3. Without a fresh wish of this very person nothing is issued, so a link to here does nothing."""
    wish = request.session.pop(WISH, None)
    nonce_hash = request.GET.get("nonce", "")
    if wish is None or not _HASH.fullmatch(nonce_hash) or clock.now().timestamp() - wish["at"] > settings.HOP_SECONDS:
        return redirect("sub_account_list")
    sub_account = sub_account_of(request, UUID(wish["sub_account"]))
    token = hop.issue(user=request.user, host=addresses.own_host(sub_account), purpose=Hop.SWITCH, nonce_hash=nonce_hash)
    response = render(
        request,
        "subaccounts/arriving.html",
        {"sub_account": sub_account, "token": token, "target": addresses.own_url(sub_account, "/hop/")},
    )
    response["Referrer-Policy"] = "no-referrer"
    return _may_send_forms_to(addresses.own_url(sub_account, ""), response)


@csrf_exempt  # the token is the proof: random, for this host, and worth nothing without this browser's nonce cookie
@open_door("an agency person arrives with a token", unaudited="a begun assist and a refused token record themselves")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def hop_arrive(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated and request.assist is None:
        return render(request, "subaccounts/hop_occupied.html", status=409)
    return _begin(request) if request.method == "POST" else _send_for_token(request)


def _send_for_token(request: HttpRequest) -> HttpResponse:
    nonce = hop.new_nonce()
    response = redirect(f"{addresses.platform_url('/hop/')}?{urlencode({'nonce': hop.hashed(nonce)})}")
    # The token comes from the agency's host, so the cookie has to travel with a POST from another site.
    response.set_cookie(hop.NONCE_COOKIE, nonce, max_age=2 * settings.HOP_SECONDS, secure=True, httponly=True, samesite="None")
    return response


def _begin(request: HttpRequest) -> HttpResponse:
    sub_account: SubAccount = request.site.sub_account
    try:
        user = hop.consume(
            token=request.POST.get("token", ""), host=request.site.host, purpose=Hop.SWITCH, nonce=request.COOKIES.get(hop.NONCE_COOKIE, "")
        )
        if not may_enter(user, sub_account):
            raise hop.HopRefused("no longer allowed", user=user)
    except hop.HopRefused as refusal:
        _record_refusal(request, refusal)
        raise
    begun = assist.begin(user=user, sub_account=sub_account, address=client_address(request))
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session["assist"] = str(begun.public_id)
    request.session.set_expiry(settings.ASSIST_SECONDS)
    response = redirect("/")
    response.delete_cookie(hop.NONCE_COOKIE, samesite="None")
    return response


@open_door("leaving is always possible", unaudited="the end of an assist records itself")
@require_POST
@never_cache
def assist_return(request: HttpRequest) -> HttpResponse:
    """Back to the agency. Works for a person whose assist is over already; a client has nothing to end here."""
    if request.user.is_authenticated and request.assist is None:
        raise Http404
    if request.assist is not None:
        assist.end(assist=request.assist, by=request.actor)
        logout(request)
    target = addresses.platform_url(reverse("sub_account", args=[request.site.sub_account.public_id], urlconf=settings.ROOT_URLCONF))
    return render(request, "subaccounts/leaving.html", {"sub_account": request.site.sub_account, "next": target})


def _record_refusal(request: HttpRequest, refusal: hop.HopRefused) -> None:
    """Only for tokens that exist: whoever sends made-up ones cannot fill the log."""
    if refusal.user is None:
        return
    sub_account: SubAccount = request.site.sub_account
    audit.record(
        "assist.refused",
        by=refusal.user.as_actor(on_behalf_of=sub_account.name, address=client_address(request)),
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"cause": refusal.cause},
    )


def _may_send_forms_to(origin: str, response: HttpResponse) -> HttpResponse:
    """This one page's form may leave our own host, for `origin`."""
    response._csp_update = {"form-action": [origin]}  # type: ignore[attr-defined]  # (where django-csp looks for it)
    return response
