"""An agency person's way into a workspace and back (docs/decisions/0051).

1. Agency's host, POST: the wish is noted in the session, the browser is sent to the workspace's host.
2. Workspace's host, GET: a nonce is set in a cookie, the browser is sent back with the nonce's hash.
3. Agency's host, GET: for the wish noted in step 1 a token is issued, in a form that sends itself to the workspace's host.
4. Workspace's host, POST: the token is used up, an assist begins.
"""

import re
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login, logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agency import audit
from agency.access import Can
from agency.doors import agency_door
from agency.models import Membership
from kit import clock
from kit.doors import open_door
from kit.requests import client_address
from subaccounts import addresses, assist, hop
from subaccounts.forms import EnterForm
from subaccounts.middleware import ASSIST_COOKIE, ways_back
from subaccounts.models import Assist, Hop, SubAccount
from subaccounts.views.detail import sub_account_of

WISH = "entering"
_HASH = re.compile(r"[0-9a-f]{64}")


@agency_door(Can.ENTER_SUB_ACCOUNTS, unaudited="the assist is recorded where it begins")
@never_cache
def sub_account_enter(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Asks for a reason on GET, and on a POST without one where the agency wants it; otherwise step 1."""
    sub_account = sub_account_of(request, public_id)
    needs_reason = request.agency.assists_need_reason
    is_click = "reason" not in request.POST
    form = EnterForm(request.POST if request.method == "POST" and not (is_click and needs_reason) else None, needs_reason=needs_reason)
    if not form.is_valid():
        return render(request, "subaccounts/enter.html", {"sub_account": sub_account, "form": form})
    wish = {"sub_account": str(public_id), "at": clock.now().timestamp(), "reason": form.cleaned_data["reason"]}
    request.session[WISH] = wish
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
    token = hop.issue(
        user=request.user, host=addresses.own_host(sub_account), purpose=Hop.SWITCH, nonce_hash=nonce_hash, reason=wish["reason"]
    )
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
        return _occupied(request)
    return _begin(request) if request.method == "POST" else _send_for_token(request)


def _occupied(request: HttpRequest) -> HttpResponse:
    """A client is signed in here and stays; a token that was sent along is used up."""
    if request.method == "POST":
        try:
            arrived = _consume(request)
            raise hop.HopRefused("somebody is signed in there", user=arrived.user)
        except hop.HopRefused as refusal:
            _record_refusal(request, refusal)
    return render(request, "subaccounts/hop_occupied.html", status=409)


def _send_for_token(request: HttpRequest) -> HttpResponse:
    nonce = hop.new_nonce()
    response = redirect(f"{addresses.platform_url('/hop/')}?{urlencode({'nonce': hop.hashed(nonce)})}")
    # The token comes from the agency's host, so the cookie has to travel with a POST from another site.
    response.set_cookie(hop.NONCE_COOKIE, nonce, max_age=2 * settings.HOP_SECONDS, secure=True, httponly=True, samesite="None")
    return response


def _begin(request: HttpRequest) -> HttpResponse:
    try:
        begun = _assist_of(_consume(request), request)
    except hop.HopRefused as refusal:
        _record_refusal(request, refusal)
        raise
    login(request, begun.user, backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session["assist"] = str(begun.public_id)
    request.session.set_expiry(settings.ASSIST_SECONDS)
    response = redirect("/")
    response.delete_cookie(hop.NONCE_COOKIE, samesite="None")
    response.set_cookie(
        ASSIST_COOKIE, str(begun.public_id), max_age=2 * settings.ASSIST_SECONDS, secure=True, httponly=True, samesite="Lax"
    )
    return response


def _consume(request: HttpRequest) -> Hop:
    token, nonce = request.POST.get("token", ""), request.COOKIES.get(hop.NONCE_COOKIE, "")
    return hop.consume(token=token, host=request.site.host, purpose=Hop.SWITCH, nonce=nonce)


def _assist_of(arrived: Hop, request: HttpRequest) -> Assist:
    try:
        return assist.begin(user=arrived.user, sub_account=request.site.sub_account, reason=arrived.reason, address=client_address(request))
    except assist.MayNotEnter as refusal:
        raise hop.HopRefused("no longer allowed", user=arrived.user) from refusal
    except assist.ReasonNeeded as refusal:
        raise hop.HopRefused("no reason given", user=arrived.user) from refusal


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
    sub_account = request.site.sub_account
    response = render(request, "subaccounts/leaving.html", {"sub_account": sub_account, "next": ways_back(sub_account)["agency_url"]})
    response.delete_cookie(ASSIST_COOKIE, samesite="Lax")
    return response


def _record_refusal(request: HttpRequest, refusal: hop.HopRefused) -> None:
    """Only for tokens that exist: whoever sends made-up ones cannot fill the log.

    On a host of another agency nobody but the person's own learns whose token it was.
    """
    if refusal.user is None:
        return
    sub_account: SubAccount = request.site.sub_account
    by = refusal.user.as_actor(address=client_address(request))
    membership = Membership.objects.select_related("agency").filter(user=refusal.user).order_by("id").first()
    after = {"cause": refusal.cause}
    if membership is not None and membership.agency_id != sub_account.agency_id:
        audit.record("assist.refused", by=by, agency=membership.agency, subject=request.site.host, after=after)
        return
    audit.record(
        "assist.refused",
        by=replace(by, on_behalf_of=sub_account.name),
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after=after,
    )


def _may_send_forms_to(origin: str, response: HttpResponse) -> HttpResponse:
    """This one page's form may leave our own host, for `origin`."""
    response._csp_update = {"form-action": [origin]}  # type: ignore[attr-defined]  # (where django-csp looks for it)
    return response
