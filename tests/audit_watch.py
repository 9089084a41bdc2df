"""Every successful change leaves an audit record or its door says why not: watched in every test of the suite."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponseBase

from agency.models import AuditRecord
from kit.doors import door_of

unexplained: list[str] = []
DOORS = ("/sign-in/", "/agency/new/", "/security/confirm/", "/security/required/")


def leads_to_a_door(response: HttpResponseBase) -> bool:
    """Somebody was sent to sign in, to confirm that it is them or to open an agency first: nothing was done."""
    return urlsplit(response.headers.get("Location", "")).path.startswith(DOORS)


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
        # A page that is shown again after a form is a 200 too; a program's is an answer.
        well = (200, 201, 202, 204) if request.path.startswith("/api/") else (201, 204, 302, 303)
        is_replayed = "Idempotent-Replayed" in response.headers
        succeeded = response.status_code in well and not leads_to_a_door(response) and not is_replayed
        if succeeded and door is not None and not door.unaudited and AuditRecord.objects.count() == before:
            unexplained.append(f"{request.method} {request.path} ({match.view_name}) → {response.status_code}")
        return response
