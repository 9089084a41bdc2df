"""The doors of the platform's host: `person_door` for anyone signed in, `agency_door` for an agency's team."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from agency.access import Can
from kit.doors import Door, View, hang, to_sign_in


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


def agency_door(can: Can, *, unaudited: str = "") -> Callable[[View], View]:
    """A member of an agency's team whose role has `can`. The view finds the agency in `request.agency`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if request.membership is None:
                return redirect("agency_new")
            if can not in request.capabilities:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        hang(inside, Door("agency", can.value, unaudited))
        return inside  # type: ignore[return-value]

    return decorate
