"""Addresses of pages: with one id in them, for lists that show hundreds, and the same page with another wish."""

from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.urls import get_urlconf, reverse
from django.utils.http import urlencode

_NOBODY = UUID(int=0)


def url_of(name: str, id: UUID, *, urlconf: str | None = None) -> str:
    """What `reverse(name, urlconf, args=[id])` says; looked up once for each name. A name that is none is a NoReverseMatch."""
    before, after = _around(name, urlconf or get_urlconf() or settings.ROOT_URLCONF)
    return f"{before}{id}{after}"


def this_with(request: HttpRequest, **changes: str) -> str:
    """This page's address with other query parameters; an empty one is left out."""
    query = {name: value for name, value in {**request.GET.dict(), **changes}.items() if value}
    return f"{request.path}?{urlencode(query)}" if query else request.path


@lru_cache(maxsize=256)
def _around(name: str, urlconf: str) -> tuple[str, str]:
    before, _, after = reverse(name, urlconf, args=[_NOBODY]).partition(str(_NOBODY))
    return before, after
