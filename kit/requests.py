"""What every request gets: an id, one line in the log, a client address, and an honest answer when a rule or a server says no."""

import ipaddress
import json
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import redis
import structlog
from django.conf import settings
from django.db.utils import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.loader import render_to_string

from kit.refusal import Refusal

log = structlog.get_logger("canopy.requests")

Next = Callable[[HttpRequest], HttpResponse]

API = "/api/"
OUTAGES = (OperationalError, InterfaceError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
RETRY_AFTER_SECONDS = 5
MOST_SEARCHED = 120
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_SECRET_ARGUMENTS = frozenset({"token", "key", "code", "nonce", "secret", "uidb36", "uidb64"})


class Unavailable(Refusal):
    """Something we depend on does not answer; nothing was changed, trying again soon is right."""

    code = "unavailable"
    status = 503
    default_message = "We cannot do this right now. Nothing was changed. Please try again in a few seconds."


def client_address(request: HttpRequest) -> str:
    """The visitor's address, or an empty string when nobody can tell.

    Believes as many entries of X-Forwarded-For, from the right, as we run proxies (`TRUSTED_PROXY_COUNT`).
    """
    direct = _address(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXY_COUNT:
        return direct
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if len(hops) < settings.TRUSTED_PROXY_COUNT:
        return direct
    return _address(hops[-settings.TRUSTED_PROXY_COUNT]) or direct


def words_of(text: str) -> str:
    """What somebody typed to search for, as a query takes it: without null bytes, at most 120 characters."""
    return text.replace("\x00", "").strip()[:MOST_SEARCHED]


def client_network(request: HttpRequest) -> str:
    """The address as a limit counts it: an IPv6 visitor owns its whole /64, so that is one visitor."""
    address = client_address(request)
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


def _address(raw: str) -> str:
    try:
        address = ipaddress.ip_address(raw.strip("[]").split("%")[0])
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class RequestLogMiddleware:
    """Outermost: gives the request an id (returned as X-Request-ID) and writes one line about it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = self._request_id(request)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response.headers["X-Request-ID"] = request_id
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            if request.path_info not in ("/healthz", "/readyz") and not request.path_info.startswith("/static/"):
                log.info(
                    "request",
                    method=request.method,
                    path=_logged_path(request),
                    status=response.status_code,
                    ms=milliseconds,
                    **_who(request),
                )
            return response
        finally:
            structlog.contextvars.clear_contextvars()

    @staticmethod
    def _request_id(request: HttpRequest) -> str:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        trusted = settings.TRUSTED_PROXY_COUNT and _REQUEST_ID.fullmatch(given)
        return given if trusted else uuid4().hex


def _logged_path(request: HttpRequest) -> str:
    """The path without its query, and without an argument that opens something."""
    path = request.path_info[:200]
    match = getattr(request, "resolver_match", None)
    for name, value in (match.kwargs if match else {}).items():
        if name in _SECRET_ARGUMENTS:
            path = path.replace(str(value), "…")
    return path


def _who(request: HttpRequest) -> dict[str, str]:
    site = getattr(request, "site", None)
    agency = getattr(request, "agency", None) or getattr(site, "agency", None)
    sub_account = getattr(site, "sub_account", None)
    actor = getattr(request, "actor", None)
    found = {
        "host": request.META.get("HTTP_HOST", "")[:100],
        "agency": getattr(agency, "slug", ""),
        "workspace": getattr(sub_account, "slug", ""),
        "actor": f"{actor.kind}:{actor.id}" if actor else "",
        "address": client_address(request),
    }
    return {name: value for name, value in found.items() if value}


class NoCookiesMiddleware:
    """Before the sessions: a program comes in with its key. What a browser sends along counts nothing there."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(API):
            request.META.pop("HTTP_COOKIE", None)
        return self.get_response(request)


class RefusalMiddleware:
    """Innermost: a refusal becomes its status with a page, or problem+json for a program; an outage becomes 503.

    An address that only takes forms has nothing to show; whoever types it gets a page that says so.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content and not wants_json(request):
            response.content = render_to_string("errors/405.html", {}, request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refusal):
            return refused(request, exception)
        if isinstance(exception, OUTAGES):
            return outage(request, exception)
        return None


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """The answer to a refusal. A page for people, RFC 9457 problem+json for htmx and programs."""
    log.info("refused", code=refusal.code, status=refusal.status)
    if wants_json(request):
        response = problem(refusal)
    else:
        context = {"refusal": refusal, "support_email": settings.SUPPORT_EMAIL}
        # 503 says that a server is away: then the page is rendered without the request, whose context would ask for it.
        page = render_to_string("errors/refusal.html", context, None if refusal.status == 503 else request)
        response = HttpResponse(page, status=refusal.status)
    retry_after = getattr(refusal, "retry_after", RETRY_AFTER_SECONDS if refusal.status in (429, 503) else None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    response.headers["Cache-Control"] = "no-store"
    return response


def outage(request: HttpRequest, exception: BaseException) -> HttpResponse:
    """503 with Retry-After: PostgreSQL or Redis is away, too slow or busy, and nothing was changed."""
    log.warning("outage", cause=type(exception).__name__, detail=str(exception)[:300])
    return refused(request, Unavailable())


def problem(refusal: Refusal) -> HttpResponse:
    """A refusal as RFC 9457 problem+json. `fields` of a refusal become `errors`, `headers` headers."""
    title = HTTPStatus(refusal.status).phrase
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.message,
    }
    if fields := getattr(refusal, "fields", None):
        body["errors"] = [{"field": field, "message": message} for field, message in fields.items()]
    headers = getattr(refusal, "headers", {})
    return HttpResponse(json.dumps(body), status=refusal.status, content_type="application/problem+json", headers=headers)


def wants_json(request: HttpRequest) -> bool:
    if request.path_info.startswith(API) or request.headers.get("HX-Request") == "true":
        return True
    accepts = request.headers.get("Accept", "")
    return "json" in request.headers.get("Content-Type", "") or ("json" in accepts and "text/html" not in accepts)
