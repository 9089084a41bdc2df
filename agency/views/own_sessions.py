"""Where a person is signed in, and when they signed in: their own to see, and to end."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from agency import security, sessions
from agency.models import SignIn
from agency.sessions import OpenSession
from agency.sign_ins import KEPT_DAYS
from subaccounts import assist
from subaccounts.models import Assist
from workspace import pages


def own_sessions(request: HttpRequest) -> HttpResponse:
    """The list; a POST ends every session but this one."""
    open_ones = sessions.open_of(request.user, current_key=request.session.session_key or "")
    if request.method != "POST":
        return render(request, "usersessions/usersession_list.html", {"sessions": open_ones})
    others = [session for session in open_ones if not session.is_current]
    for session in others:
        _end(request, session)
    security.record("person.sessions_ended", user=request.user, request=request, after={"sessions": len(others)})
    messages.success(request, "You are signed out everywhere else.")
    return redirect("usersessions_list")


@require_POST
def own_session_end(request: HttpRequest, mark: str) -> HttpResponse:
    open_ones = sessions.open_of(request.user, current_key=request.session.session_key or "")
    session = next((session for session in open_ones if session.mark == mark and not session.is_current), None)
    if session is None:
        raise Http404
    _end(request, session)
    security.record("person.session_ended", user=request.user, request=request, after={"host": session.host, "address": session.address})
    messages.success(request, "That session is over.")
    return redirect("usersessions_list")


@require_safe
def sign_ins(request: HttpRequest) -> HttpResponse:
    rows = SignIn.objects.filter(user=request.user)
    page = pages.newest(rows, "at", request.GET.get("cursor", ""))
    return render(request, "account/sign_ins.html", {"page": page, "kept_days": KEPT_DAYS})


def _end(request: HttpRequest, session: OpenSession) -> None:
    """An assist that was going on in it ends as well."""
    if session.assist:
        for begun in Assist.objects.filter(public_id=UUID(session.assist), user=request.user, ended_at=None):
            assist.end(assist=begun, by=request.actor)
    sessions.end(session)
