"""Every view stands behind a door; a view without one does not start.

A door is a decorator that says who may come in. It leaves a `Door` on the view, which the system check below, the
tests and the roles page read. The doors of an agency and of a workspace live beside their nouns
(`agency/doors.py`, `subaccounts/doors.py`); here are the frame and the open door.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.checks import CheckMessage, Error, register
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.http import url_has_allowed_host_and_scheme

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
DoorKind = Literal["open", "person", "agency", "staff", "workspace", "key"]


@dataclass(frozen=True)
class Door:
    """Which door a view stands behind, what it needs (a capability, or the reason it is open).

    `unaudited` says why a successful non-GET leaves no audit record; empty means it must leave one. `recent` doors want the
    person to have shown lately that it is them. Without `assisting` an agency user inside a client's workspace is refused.
    """

    kind: DoorKind
    needs: str
    unaudited: str = ""
    recent: bool = False
    assisting: bool = True


def hang(view: Callable[..., Any], door: Door) -> None:
    view.door = door  # type: ignore[attr-defined]


def door_of(view: Callable[..., Any]) -> Door | None:
    return getattr(view, "door", None)


def to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """To the sign-in page and back here; after a form, to the page it stood on, since its address may answer no GET.

    A piece that htmx asked for would be filled with that page: there the whole page reloads.
    """
    return to_page_and_back(request, resolve_url(settings.LOGIN_URL))


def to_page(request: HttpRequest, url: str) -> HttpResponseBase:
    """To `url`, the whole page also where htmx asked for a piece."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return redirect(url)


def to_page_and_back(request: HttpRequest, url: str) -> HttpResponseBase:
    """To `url` with a `next` that leads back here; see `to_sign_in`."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return redirect_to_login(request.get_full_path() if request.method in ("GET", "HEAD") else _page_of_the_form(request), url)


def _page_of_the_form(request: HttpRequest) -> str:
    page = request.headers.get("referer", "")
    if not url_has_allowed_host_and_scheme(page, allowed_hosts={request.get_host()}):  # also what is no address at all
        return "/"
    path = urlsplit(page)._replace(scheme="", netloc="").geturl()
    return path if url_has_allowed_host_and_scheme(path, allowed_hosts=None) else "/"


def open_door(reason: str, *, unaudited: str = "") -> Callable[[View], View]:
    """Anybody may come in; `reason` says why that is right."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(*args: Any, **kwargs: Any) -> HttpResponseBase:
            return view(*args, **kwargs)

        hang(inside, Door("open", reason, unaudited))
        return inside  # type: ignore[return-value]

    return decorate


def all_views(urlconf: str) -> Iterator[tuple[str, URLPattern]]:
    """Every (route, pattern) of `urlconf`, includes unfolded."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            else:
                yield route, pattern

    yield from walk(get_resolver(urlconf).url_patterns, "/")


@register("doors")
def every_view_has_a_door(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Error `kit.E001` for each view of a urlconf of ours that no door guards."""
    return [
        Error(f"{urlconf}: the view at {route} has no door.", hint="Decorate it with a door.", id="kit.E001")
        for urlconf in (settings.ROOT_URLCONF, settings.WORKSPACE_URLCONF, settings.STAFF_URLCONF)
        for route, pattern in all_views(urlconf)
        if door_of(pattern.callback) is None
    ]
