"""Browsers a person has signed in with before. Failures of a stranger elsewhere do not lock them out."""

import hashlib

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import get_random_string

COOKIE = "__Host-device"
SECONDS = 365 * 24 * 3600
PEOPLE = 5
"""How many people who share a browser it is known to; one more, and the one who came first is forgotten."""


def known(request: HttpRequest, key: str) -> str:
    """The mark of this browser if the person counted under `key` has signed in with it on this host before, else an empty string."""
    return _marks(request).get(_owner(key), "")


def remember(request: HttpRequest, response: HttpResponseBase, key: str) -> None:
    """Mark this browser as one of the person counted under `key`; it keeps the mark it has."""
    marks = _marks(request)
    mark = marks.pop(_owner(key), "") or get_random_string(16)
    kept = dict([*marks.items(), (_owner(key), mark)][-PEOPLE:])
    response.set_cookie(COOKIE, _signer(request).sign_object(kept), max_age=SECONDS, secure=True, httponly=True, samesite="Lax")


def _marks(request: HttpRequest) -> dict[str, str]:
    """Whose marks this browser carries, the latest last."""
    try:
        found = _signer(request).unsign_object(request.COOKIES.get(COOKIE, ""))
    except (BadSignature, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _signer(request: HttpRequest) -> Signer:
    return Signer(salt=f"device {request.site.host}")


def _owner(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
