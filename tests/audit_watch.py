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
        if door is None or AuditRecord.objects.count() > before:
            return response
        if door.kind == "key":  # a page that is shown again after a form is a 200 too; a program's is an answer
            is_replayed = "Idempotent-Replayed" in response.headers
            succeeded, unaudited = response.status_code < 300 and not is_replayed, match.func.unaudited.get(request.method, "")
        else:
            succeeded = response.status_code in (201, 204, 302, 303) and not leads_to_a_door(response)
            unaudited = door.unaudited
        if succeeded and not unaudited:
            unexplained.append(f"{request.method} {request.path} ({match.view_name}) → {response.status_code}")
        return response
