"""From the host name of a request to the place it is for, and from its session to the person and what they may do."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import structlog
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import logout
from django.db import ProgrammingError, connection
from django.db.models import Exists, F, OuterRef
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponsePermanentRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html

from agency import audit, security
from agency.access import ASSISTING, CAPABILITIES, Can, Role
from agency.models import Membership, OwnershipOffer, User
from agency.realms import is_at_home
from agency.sessions import STAMP, is_over
from kit import clock
from kit.doors import door_of, to_page, to_page_and_back
from kit.ids import uuid_of
from kit.requests import client_address
from subaccounts import addresses, assist, hosts
from subaccounts.hosts import Site
from subaccounts.models import Access, Assist, SubAccount
from subaccounts.tenancy import enter

Response = Callable[[HttpRequest], HttpResponseBase]
log = structlog.get_logger("canopy.hosts")

METHODS = ["GET", "HEAD", "POST"]
ASSIST_COOKIE = "__Host-assist"  # says only that somebody was here to assist; it opens nothing
SEEN_EVERY_SECONDS = 60
SHOWING = frozenset({"account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"})
SETTING_UP = frozenset({"second_factor_required", "mfa_activate_totp", "mfa_add_webauthn"})
TOLD_BY = ("credit_mode", "balance_visibility", "pool_fallback")


# Title, heading and text of the pages that stand where no site can be asked for its brand.
NOWHERE = ("Not found", "Nothing here", "There is no site at this address. Check it for a typing mistake.")
AWAY = ("Not available", "Not available right now", "We know about it and are working on it. Please try again in a few minutes.")
CLOSED = ("Not available", "Not available", "This workspace is not available. Please ask whoever gave you its address.")
PLAIN = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><link rel="stylesheet" href="{css}"></head>
<body><div class="entrance"><main class="entrance-card"><div><h1>{heading}</h1><p class="muted">{text}</p></div></main></div></body></html>
"""
PLAIN_POLICY = "default-src 'none'; style-src 'self'"
UNDEFINED_TABLE = "42P01"


class HostMiddleware:
    """Finds the site or answers 404; a workspace's request runs inside its schema.

    The page for a host that is nobody's is the same for all of them: no name, no cookie, no brand.
    """

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        connection.set_schema_to_public()
        if request.method not in METHODS and not request.path_info.startswith("/api/"):
            return HttpResponseNotAllowed(METHODS)
        host = request.META.get("HTTP_HOST", "")
        site = hosts.site_for(host)
        if site is None:
            return self._elsewhere(request, host)
        request.site = site
        if site.kind == "staff":
            request.urlconf = settings.STAFF_URLCONF
        if site.sub_account is None:
            return self.get_response(request)
        if site.sub_account.agency.deleted_at is not None:
            return closed()
        request.urlconf = settings.WORKSPACE_URLCONF
        with enter(site.sub_account):
            response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse):
            response.streaming_content = _inside(site.sub_account, cast("Iterable[bytes]", response.streaming_content))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """A workspace whose schema is missing or half built: nothing of public's can be seen, and somebody must be told."""
        if not isinstance(exception, ProgrammingError) or getattr(exception.__cause__, "sqlstate", "") != UNDEFINED_TABLE:
            return None
        log.error("workspace is not whole", schema=connection.schema_name, exc_info=exception)
        return _plain(AWAY, status=503)

    def _elsewhere(self, request: HttpRequest, host: str) -> HttpResponseBase:
        if target := hosts.without_www(host):
            return HttpResponsePermanentRedirect(f"{settings.SCHEME}://{target}{request.get_full_path()}", preserve_request=True)
        return _plain(NOWHERE, status=404)


def _inside(sub_account: SubAccount, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Each piece of a streamed answer is made in the workspace, long after the view returned; between them nobody is in it."""
    pieces = iter(chunks)
    while True:
        with enter(sub_account):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def closed() -> HttpResponse:
    """What stands where a workspace of a deleted agency was, the same for everybody and without a name."""
    return _plain(CLOSED, status=404)


def _plain(words: tuple[str, str, str], *, status: int) -> HttpResponse:
    title, heading, text = words
    page = format_html(PLAIN, title=title, heading=heading, text=text, css=static("css/app.css"))
    return HttpResponse(page, status=status, headers={"Cache-Control": "no-store", "Content-Security-Policy": PLAIN_POLICY})


class SessionStampMiddleware:
    """A session is good on the host and in the workspace it was made for, for a time, and nowhere else.

    Idle for `SESSION_IDLE_SECONDS` it is over, and in any case after `SESSION_COOKIE_AGE` for clients, after
    `SESSION_AGENCY_SECONDS` for agency teams and after `ASSIST_SECONDS` for an assist; on the staff's host after
    `SESSION_STAFF_IDLE_SECONDS` and `SESSION_STAFF_SECONDS`. A replayed cookie kills its session.
    """

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        stamp = request.session.get(STAMP)
        if stamp is not None and [stamp["host"], stamp["workspace"]] != place(request):
            self._refuse(request, stamp)
        elif stamp is not None and is_over(stamp):
            request.session.flush()
        response = self.get_response(request)
        if response.status_code < 500 and hasattr(request, "user"):  # after an outage, asking for the person would be the next one
            if "public" not in response.get("Cache-Control", ""):  # what others may keep must carry nobody's cookie
                self._stamp(request)
            if request.user.is_authenticated and not response.has_header("Cache-Control"):
                response["Cache-Control"] = "private, no-store"
        return response

    def _refuse(self, request: HttpRequest, stamp: dict[str, Any]) -> None:
        user = User.objects.filter(pk=stamp["user"]).first()
        request.session.flush()
        if user is not None:
            by = user.as_actor(address=client_address(request))
            audit.record(
                "session.refused",
                by=by,
                agency=user.realm,
                subject=user.email,
                before={"host": stamp["host"]},
                after={"host": request.site.host},
            )

    def _stamp(self, request: HttpRequest) -> None:
        session = request.session
        if session.is_empty():
            return
        now = int(clock.now().timestamp())
        stamp = session.get(STAMP)
        identity = [session.get("_auth_user_id"), session.get("assist")]
        role = getattr(request, "role", "")
        if stamp is None or [stamp["user"], stamp["assist"]] != identity:
            host, workspace = place(request)
            session[STAMP] = {
                "host": host,
                "workspace": workspace,
                "user": identity[0],
                "assist": identity[1],
                "role": role,
                "began": now,
                "seen": now,
                "lasts": lasts(request),
                "idle": settings.SESSION_STAFF_IDLE_SECONDS if request.site.kind == "staff" else settings.SESSION_IDLE_SECONDS,
            }
        elif role and stamp.get("role") != role:
            if stamp.get("role"):
                _renew_key(request)
            session[STAMP] = {**stamp, "seen": now, "role": role}
        elif now - stamp["seen"] >= SEEN_EVERY_SECONDS:
            session[STAMP] = {**stamp, "seen": now}
        else:
            return
        if request.user.is_authenticated:
            UserSession.objects.create_from_request(request)


def _renew_key(request: HttpRequest) -> None:
    """Another role, another key: a copy of the cookie from before is worth nothing."""
    UserSession.objects.filter(session_key=request.session.session_key).delete()
    request.session.cycle_key()


def place(request: HttpRequest) -> list[str]:
    """Where a session belongs: host name and workspace (empty on the platform's own hosts)."""
    sub_account = request.site.sub_account
    return [request.site.host, str(sub_account.public_id) if sub_account else ""]


def lasts(request: HttpRequest) -> int:
    """How many seconds a session of this person may last here, however busy."""
    if request.session.get("assist"):
        return settings.ASSIST_SECONDS
    if request.site.kind == "staff":
        return settings.SESSION_STAFF_SECONDS
    user = request.user
    return settings.SESSION_AGENCY_SECONDS if user.is_authenticated and user.realm_id is None else settings.SESSION_COOKIE_AGE


class FirstPasswordMiddleware:
    """Somebody with a generated password chooses one of their own before anything else."""

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        user = request.user
        if not user.is_authenticated or not user.must_change_password or request.assist is not None:
            return None
        door = door_of(view)
        is_public = door is not None and door.kind == "open" and request.path_info != "/"
        return None if is_public or request.resolver_match.url_name == "first_password" else redirect("first_password")


class SecondFactorMiddleware:
    """Whose agency asks for a second factor sets one up, and in this very session shows it, before anything else.

    On staff's host the door asks (`staff_door`); while assisting, the person showed it on the agency's host.
    """

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if request.factor_wanted_by is None or request.user.must_change_password:
            return None
        has_one = security.has_second_factor(request.user)
        if has_one and security.used_second_factor(request):
            return None
        request.capabilities = frozenset()
        door, name = door_of(view), request.resolver_match.url_name if request.resolver_match else ""
        is_public = door is not None and door.kind in ("open", "key") and request.path_info != "/"
        if is_public or name in SHOWING or (name in SETTING_UP and not has_one):
            return None
        if has_one:
            return to_page_and_back(request, reverse(security.page_to_show_factor(request.user)))
        return to_page(request, reverse("second_factor_required"))


class PersonMiddleware:
    """Who this is and what they may do here, read anew on every request so that a change acts on the very next one."""

    def __init__(self, get_response: Response) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.membership = request.agency = request.assist = request.actor = request.factor_wanted_by = None
        request.capabilities = frozenset()
        request.role = ""
        if request.user.is_authenticated:
            self._recognise(request)
        # As the database has it now; the site's own copy may be as old as the host cache.
        if request.site.sub_account is not None and request.agency is not None and request.agency.deleted_at is not None:
            return closed()
        return self.get_response(request)

    def _recognise(self, request: HttpRequest) -> None:
        site: Site = request.site
        user = request.user
        if site.kind == "staff":
            if is_at_home(user, site):
                request.actor = user.as_staff(address=client_address(request))
            else:
                logout(request)
            return
        request.actor = user.as_actor(address=client_address(request))
        if site.sub_account is None:
            if user.realm_id is not None:
                logout(request)
                return
            request.membership = membership_of(user)
            if request.membership is not None:
                request.agency = request.membership.agency
                request.role = request.membership.role
                request.capabilities = CAPABILITIES[Role(request.role)] if request.agency.deleted_at is None else frozenset()
                request.factor_wanted_by = request.agency if request.agency.team_needs_mfa else None
            return
        request.agency = site.agency
        if user.realm_id == site.sub_account.agency_id:
            access = Access.objects.select_related("sub_account__agency").filter(sub_account=site.sub_account, user=user).first()
            if access is not None:
                request.agency.deleted_at = access.sub_account.agency.deleted_at
                renew(site.sub_account, access.sub_account)
                request.role = access.role
                request.capabilities = may_here(access)
            # Not the agency of the site, which may be as old as the host cache.
            agency = access.sub_account.agency if access is not None else user.realm
            request.factor_wanted_by = agency if agency is not None and agency.clients_need_mfa else None
            return
        self._recognise_assist(request, site.sub_account)

    def _recognise_assist(self, request: HttpRequest, sub_account: SubAccount) -> None:
        """An agency user on a workspace's host: only with an open assist, and only while their membership allows it."""
        begun = request.session.get("assist")
        known = assist.known_by(uuid_of(begun), sub_account) if begun else None
        if known is None or known.user_id != request.user.pk or not known.is_open:
            logout(request)
            return
        if not assist.may_enter(request.user, known.sub_account):
            assist.end(assist=known, by=request.user.as_actor(address=client_address(request)), how=Assist.LOST)
            logout(request)
            return
        renew(sub_account, known.sub_account)
        request.assist = known
        request.capabilities = ASSISTING
        request.actor = request.user.as_actor(on_behalf_of=sub_account.name, address=client_address(request))

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Whose assist is over reads that, instead of the page where clients sign in."""
        site: Site = request.site
        if site.sub_account is None or request.user.is_authenticated or ASSIST_COOKIE not in request.COOKIES:
            return None
        door = door_of(view)
        ended = assist.known_by(uuid_of(request.COOKIES[ASSIST_COOKIE]), site.sub_account)
        if ended is None or door is None or door.kind not in ("workspace", "person"):
            return None
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        context = {"assist": ended, "was_sent": request.method == "POST", **ways_back(ended.sub_account)}
        return render(request, "subaccounts/assist_ended.html", context, status=403)


def ways_back(sub_account: SubAccount) -> dict[str, str]:
    """Where an agency person goes from a workspace: to its page in the dashboard, and to where a new assist begins."""
    return {
        name: addresses.platform_url(reverse(url_name, args=[sub_account.public_id], urlconf=settings.ROOT_URLCONF))
        for name, url_name in (("agency_url", "sub_account"), ("again_url", "sub_account_enter"))
    }


def membership_of(user: User) -> Membership | None:
    """Their place in a team, one that is not deleted before others; `is_offered` says whether its agency is offered to them."""
    offers = OwnershipOffer.objects.filter(agency=OuterRef("agency"), offered_to=user, settled_at=None, expires_at__gt=clock.now())
    found = Membership.objects.select_related("agency__plan").annotate(is_offered=Exists(offers))
    return found.filter(user=user, agency__purged_at=None).order_by(F("agency__deleted_at").asc(nulls_first=True), "id").first()


def may_here(access: Access) -> frozenset[Can]:
    """What the client's role allows in this sub-account: its agency may keep its Subaccount Members from buying."""
    allowed = CAPABILITIES[Role(access.role)]
    if access.role == Role.SUB_ACCOUNT_MEMBER and not access.sub_account.members_may_buy:
        return allowed - {Can.BUY}
    return allowed


def renew(sub_account: SubAccount, stored: SubAccount) -> None:
    """What a person here is told by, as it stands now: the object of a request may be as old as the host cache."""
    for field in TOLD_BY:
        setattr(sub_account, field, getattr(stored, field))
