"""Every successful change leaves an audit record or its door says why not: watched in every test of the suite."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from agency.models import AuditRecord
from kit.doors import door_of

unexplained: list[str] = []


class AuditWatch:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return self.get_response(request)
        before = AuditRecord.objects.count()
        response = self.get_response(request)
        match = getattr(request, "resolver_match", None)
        door = door_of(match.func) if match else None
        refused = any(
            door in response.headers.get("Location", "")
            for door in ("/sign-in/", "/agency/new/", "/security/required/", "/security/confirm/")
        )
        succeeded = response.status_code in (201, 204, 302, 303) and not refused
        if succeeded and door is not None and not door.unaudited and AuditRecord.objects.count() == before:
            unexplained.append(f"{request.method} {request.path} ({match.view_name}) → {response.status_code}")
        return response
