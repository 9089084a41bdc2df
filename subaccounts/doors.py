"""The door of a workspace."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from agency import security
from agency.access import ASSISTING, Can
from agency.doors import to_confirm
from kit.doors import Door, View, hang, to_sign_in
from subaccounts.models import Suspension

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def workspace_door(can: Can, *, unaudited: str = "", recent: bool = False, assisting: bool = True) -> Callable[[View], View]:
    """A person of this workspace (or an assisting agency user) with `can`; nobody changes anything while it is suspended.

    `recent` as of `agency_door`. Without `assisting` the client alone may: what an agency user could leave behind to come
    back with after the assist (keys, secrets, people).
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            if request.assist is not None and not (assisting and can in request.capabilities):
                raise PermissionDenied("Only the client can do this, not somebody who is assisting. Nothing was changed.")
            if can not in request.capabilities:
                raise PermissionDenied
            if recent and not security.was_recent(request):
                return to_confirm(request)
            suspension = request.site.sub_account.suspension
            if suspension and not _may_still(request, suspension):
                return render(request, "subaccounts/suspended.html", {"suspension": suspension}, status=403)
            return view(request, *args, **kwargs)

        hang(inside, Door("workspace", can.value, unaudited, recent=recent, assisting=assisting and can in ASSISTING))
        return inside  # type: ignore[return-value]

    return decorate


def _may_still(request: HttpRequest, suspension: Suspension) -> bool:
    """Reading goes on, except for the client of a locked account; its agency may always look."""
    return request.method in READING and (suspension.policy != Suspension.LOCKOUT or request.assist is not None)
