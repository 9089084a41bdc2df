"""Browsers a person has signed in with before. Failures of a stranger elsewhere do not lock them out."""

import hashlib

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import get_random_string

COOKIE = "__Host-device"
SECONDS = 365 * 24 * 3600


def known(request: HttpRequest, key: str) -> str:
    """The mark of this browser if the person counted under `key` has signed in with it on this host before, else an empty string."""
    try:
        owner, mark = _signer(request).unsign_object(request.COOKIES.get(COOKIE, ""))
    except (BadSignature, ValueError):
        return ""
    return str(mark) if owner == _owner(key) else ""


def remember(request: HttpRequest, response: HttpResponseBase, key: str) -> None:
    """Mark this browser as one of the person counted under `key`; it keeps the mark it has."""
    value = _signer(request).sign_object([_owner(key), known(request, key) or get_random_string(16)])
    response.set_cookie(COOKIE, value, max_age=SECONDS, secure=True, httponly=True, samesite="Lax")


def _signer(request: HttpRequest) -> Signer:
    return Signer(salt=f"device {request.site.host}")


def _owner(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
