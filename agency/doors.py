"""The doors of the platform's hosts: `person_door` for anyone signed in, `agency_door` for an agency's team, `staff_door` for staff."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from agency import security
from agency.access import Can
from kit.doors import Door, View, hang, to_page_and_back, to_sign_in

NOTHING_TO_SHOW = (
    "This takes showing once more that it is you, and your account has no password yet. Sign out, choose “Forgot your password?” "
    "where you sign in, and set one. Nothing was changed."
)


def person_door(reason: str, *, unaudited: str = "") -> Callable[[View], View]:
    """Anyone who is signed in; `reason` says why no capability is asked for."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            return view(request, *args, **kwargs)

        hang(inside, Door("person", reason, unaudited))
        return inside  # type: ignore[return-value]

    return decorate


def to_confirm(request: HttpRequest) -> HttpResponseBase:
    """To the page where somebody signed in shows that it is still them, and back; a form has to be sent again."""
    if not security.can_confirm(request.user):
        raise PermissionDenied(NOTHING_TO_SHOW)
    if request.method not in ("GET", "HEAD"):
        messages.info(request, "Confirm that it is you, then do it again. Nothing was changed yet.")
    return to_page_and_back(request, reverse("account_reauthenticate"))


def agency_door(can: Can, *, unaudited: str = "", recent: bool = False) -> Callable[[View], View]:
    """A member of an agency's team whose role has `can`. The view finds the agency in `request.agency`.

    A `recent` door is for what is hard to undo: it asks who showed longer ago that it is them to show it again first.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if request.membership is None:
                return redirect("agency_new")
            if request.agency.deleted_at is not None:
                return redirect("agency_deleted") if request.method in ("GET", "HEAD") else _refuse_deleted()
            if can not in request.capabilities:
                raise PermissionDenied
            if recent and not security.was_recent(request):
                return to_confirm(request)
            return view(request, *args, **kwargs)

        hang(inside, Door("agency", can.value, unaudited, recent=recent))
        return inside  # type: ignore[return-value]

    return decorate


def _refuse_deleted() -> NoReturn:
    raise PermissionDenied("This agency is deleted. Its Owner can restore it; nothing was changed.")


def staff_door(reason: str, *, unaudited: str = "") -> Callable[[View], View]:
    """Staff on their own host, in a session opened with a second factor. Who has none is sent to set one up first.

    What else a page takes is a permission of Django's, asked for by the page itself.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.site.kind != "staff" or not request.user.is_authenticated:
                return to_sign_in(request)
            opened = security.used_second_factor(request) and security.has_second_factor(request.user)
            if not opened and request.method not in ("GET", "HEAD"):
                raise PermissionDenied("Show your second factor first. Nothing was changed.")
            if not security.has_second_factor(request.user):
                messages.warning(request, "Staff work with a second factor. Add a passkey or an authenticator app to go on.")
                return redirect("mfa_index")
            if not opened:
                return redirect(f"{reverse('mfa_reauthenticate')}?{urlencode({'next': request.get_full_path()})}")
            return view(request, *args, **kwargs)

        hang(inside, Door("staff", reason, unaudited))
        return inside  # type: ignore[return-value]

    return decorate
