"""Keys of the API: the agency's on the platform's host, a sub-account's on its own. `urls.py` of each says who may."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from agency import api_keys
from agency.api_keys import BadKeyWish, NewKey, Scope, TooManyKeys
from agency.forms import ApiKeyForm
from agency.models import ApiKey
from kit import clock, sealed

SHOWN = 200
SHOWN_WITHIN_SECONDS = 600
_PURPOSE = "api key"


@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    """Those that work first, then the newest that no longer do."""
    found = list(_keys_of(request).select_related("created_by").order_by("-pk")[:SHOWN])
    rows = [{"key": key, "end": _end(key), "scopes": [Scope(scope) for scope in key.scopes if scope in Scope.values]} for key in found]
    rows.sort(key=lambda row: bool(row["end"]))
    return render(request, "agency/api_keys.html", {"rows": rows, "may_make": request.assist is None})


def new(request: HttpRequest) -> HttpResponse:
    form = ApiKeyForm(request.POST or None, scopes=api_keys.scopes_for(_sub_account_id(request)))
    if form.is_valid():
        made = _made(request, form)
        if made is not None:
            request.session[_waiting(made.row)] = sealed.seal(made.secret, purpose=_PURPOSE)
            return redirect("api_key_made", public_id=made.row.public_id)
    return render(request, "agency/api_key_new.html", {"form": form})


@require_safe
@never_cache
def made(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The key that was made. It waits sealed in the session and is gone with the first look."""
    key = get_object_or_404(_keys_of(request), public_id=public_id)
    waiting = request.session.pop(_waiting(key), "")
    secret = sealed.unseal(waiting, purpose=_PURPOSE, max_age=SHOWN_WITHIN_SECONDS) if waiting else None
    return render(request, "agency/api_key_made.html", {"key": key, "secret": secret, "host": request.site.host})


@require_POST
def revoke(request: HttpRequest, public_id: UUID) -> HttpResponse:
    key = api_keys.revoke(key=get_object_or_404(_keys_of(request), public_id=public_id), by=request.actor)
    messages.success(request, f"{key.name} is revoked. It opens nothing any more.")
    return redirect("api_keys")


def _made(request: HttpRequest, form: ApiKeyForm) -> NewKey | None:
    """The key, or None when a rule said no: the form says which."""
    wanted = form.cleaned_data
    expires_at = clock.now() + timedelta(days=wanted["days"]) if wanted["days"] else None
    try:
        return api_keys.make(
            agency=request.agency,
            sub_account_id=_sub_account_id(request),
            name=wanted["name"],
            scopes=wanted["scopes"],
            expires_at=expires_at,
            allowed_networks=wanted["allowed_networks"],
            user=request.user,
            by=request.actor,
        )
    except (BadKeyWish, TooManyKeys) as refusal:
        form.add_error(None, refusal.message)
        return None


def _keys_of(request: HttpRequest) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(agency=request.agency, sub_account_id=_sub_account_id(request))


def _sub_account_id(request: HttpRequest) -> UUID | None:
    return request.site.sub_account.public_id if request.site.kind == "workspace" else None


def _end(key: ApiKey) -> str:
    """How it ended, in a word; empty while it works."""
    if key.revoked_at is not None:
        return "Revoked"
    return "Ended" if key.expires_at is not None and key.expires_at <= clock.now() else ""


def _waiting(key: ApiKey) -> str:
    return f"api key:{key.public_id}"
