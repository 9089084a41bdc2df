"""Webhook endpoints and what was delivered: the agency's on the platform's host, a sub-account's on its own. `urls.py` says who may."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing import deliveries, verification, webhooks
from billing.event_types import EVENT_TYPES, TEST
from billing.forms import EndpointForm, ReplayForm, beginning_of
from billing.models import Attempt, Delivery, Endpoint
from billing.webhooks import EndpointOff, TooManyEndpoints
from kit import sealed
from kit.egress import TargetRefused
from subaccounts.models import SubAccount
from workspace import pages

SHOWN_WITHIN_SECONDS = 600
_PURPOSE = "webhook secret on its way to the page"
_LOG_SIZE = 30


@require_safe
def endpoints(request: HttpRequest) -> HttpResponse:
    newest = Delivery.objects.filter(endpoint=OuterRef("pk")).order_by("-id")
    found = _endpoints_of(request).annotate(
        last_state=Subquery(newest.values("state")[:1]), last_at=Subquery(newest.values("event__at")[:1])
    )
    rows = [{"endpoint": endpoint, "hears": _words(endpoint), "last": _STATES.get(endpoint.last_state)} for endpoint in found]
    return render(request, "billing/webhooks.html", {"rows": rows, "may_change": _may_change(request)})


def new(request: HttpRequest) -> HttpResponse:
    form = EndpointForm(request.POST or None, kinds=webhooks.types_for(_sub_account(request)))
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            made = webhooks.make(
                agency=request.agency,
                sub_account=_sub_account(request),
                url=wanted["url"],
                event_types=form.events(),
                description=wanted["description"],
                made_by=request.user,
                by=request.actor,
            )
        except TargetRefused as refusal:
            form.add_error("url", refusal.message)
        except TooManyEndpoints as refusal:
            form.add_error(None, refusal.message)
        else:
            return _to_secret(request, made.endpoint, made.secret)
    return render(request, "billing/webhook_form.html", {"form": form})


@require_safe
def endpoint(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One endpoint: how it is doing, and what was sent to it."""
    shown = _endpoint_of(request, public_id)
    wish = _Wish(request.GET, request.agency.time_zone)
    answered = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-id")
    rows = wish.of(deliveries.tellable(Delivery.objects.filter(endpoint=shown)).select_related("event")).annotate(
        status=Subquery(answered.values("status")[:1]), error=Subquery(answered.values("error")[:1])
    )
    page = _newest(rows, request.GET.get("cursor", ""))
    context = {
        "endpoint": shown,
        "hears": _kinds(shown),
        "page": page,
        "rows": [{"delivery": row, "words": _words_of(row), "state": _STATES[row.state]} for row in page.rows],
        "wish": wish,
        "states": Delivery.STATES,
        "kinds": [*webhooks.types_for(_sub_account(request)), TEST],
        "may_change": _may_change(request),
        "replay_form": ReplayForm(zone=request.agency.time_zone),
        "kept_days": webhooks.REPLAY_DAYS,
        "overlap_hours": webhooks.OVERLAP_HOURS,
    }
    return render(request, "billing/webhook.html", context)


def edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = _endpoint_of(request, public_id)
    form = EndpointForm(request.POST or None, kinds=webhooks.types_for(_sub_account(request)), endpoint=shown)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            webhooks.change(
                endpoint=shown, url=wanted["url"], description=wanted["description"], event_types=form.events(), by=request.actor
            )
        except TargetRefused as refusal:
            form.add_error("url", refusal.message)
        else:
            messages.success(request, "The endpoint is saved. What is on its way goes to the address that stands there now.")
            return redirect("webhook", public_id)
    return render(request, "billing/webhook_form.html", {"form": form, "endpoint": shown})


@require_safe
@never_cache
def secret(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The secret that was made. It waits sealed in the session and is gone with the first look."""
    shown = _endpoint_of(request, public_id)
    waiting = request.session.pop(_waiting(shown), "")
    clear = sealed.unseal(waiting, purpose=_PURPOSE, max_age=SHOWN_WITHIN_SECONDS) if waiting else None
    has_former = shown.secrets.exclude(expires_at=None).exists()
    context = {"endpoint": shown, "secret": clear, "has_former": has_former, "overlap_hours": webhooks.OVERLAP_HOURS}
    return render(request, "billing/webhook_secret.html", context)


@require_POST
def rotation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = _endpoint_of(request, public_id)
    return _to_secret(request, shown, webhooks.rotate(endpoint=shown, by=request.actor))


@require_POST
def switch(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = _endpoint_of(request, public_id)
    if request.POST.get("is_on") == "1":
        webhooks.switch_on(endpoint=shown, by=request.actor)
        messages.success(request, "The endpoint is on. What was waiting is being delivered.")
    else:
        webhooks.switch_off(endpoint=shown, by=request.actor)
        messages.success(request, "The endpoint is off. Nothing is sent to it until you switch it on.")
    return redirect("webhook", public_id)


@require_POST
def removal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = _endpoint_of(request, public_id)
    webhooks.remove(endpoint=shown, by=request.actor)
    messages.success(request, f"{shown.url} is removed. Nothing is sent to it any more.")
    return redirect("webhook_list")


@require_POST
def test(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A test on its way; the page it was asked from shows what came of it."""
    sent = webhooks.test(endpoint=_endpoint_of(request, public_id), by=request.actor)
    if request.headers.get("HX-Request") == "true":
        return render(request, "billing/_webhook_test.html", _outcome(sent))
    return redirect("webhook_delivery", public_id, sent.public_id)


@require_safe
def test_outcome(request: HttpRequest, public_id: UUID, delivery_id: UUID) -> HttpResponse:
    return render(request, "billing/_webhook_test.html", _outcome(_delivery_of(request, public_id, delivery_id)))


@require_safe
def delivery(request: HttpRequest, public_id: UUID, delivery_id: UUID) -> HttpResponse:
    """One event as it was sent to one endpoint, and what came back each time."""
    shown = _delivery_of(request, public_id, delivery_id)
    context = {
        "endpoint": shown.endpoint,
        "delivery": shown,
        "words": _words_of(shown),
        "state": _STATES[shown.state],
        "body": json.dumps(json.loads(shown.event.body), indent=2, ensure_ascii=False),
        "tries": shown.tries_made,  # type: ignore[attr-defined]
        "may_change": _may_change(request),
    }
    return render(request, "billing/webhook_delivery.html", context)


@require_POST
def replay(request: HttpRequest, public_id: UUID, delivery_id: UUID) -> HttpResponse:
    webhooks.replay(delivery=_delivery_of(request, public_id, delivery_id), by=request.actor)
    messages.success(request, "It is being sent again, with the same id.")
    return redirect("webhook_delivery", public_id, delivery_id)


@require_POST
def replay_since(request: HttpRequest, public_id: UUID) -> HttpResponse:
    shown = _endpoint_of(request, public_id)
    form = ReplayForm(request.POST, zone=request.agency.time_zone)
    if not form.is_valid():
        messages.error(request, f"{form.errors['since'][0]} Nothing was sent.")
        return redirect("webhook", public_id)
    try:
        count = webhooks.replay_since(endpoint=shown, since=form.moment(), by=request.actor)
    except EndpointOff as refusal:
        messages.error(request, refusal.message)
        return redirect("webhook", public_id)
    messages.success(
        request, f"{count:,} event{'' if count == 1 else 's'} that had failed {'is' if count == 1 else 'are'} being sent again."
    )
    return redirect("webhook", public_id)


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    kinds = [{"kind": kind, "example": verification.example(kind)} for kind in webhooks.types_for(_sub_account(request))]
    snippets = [("Python, by hand", verification.BY_HAND), ("Python, with the package standardwebhooks", verification.WITH_PACKAGE)]
    context = {
        "kinds": kinds,
        "snippets": [*snippets, ("Node, with its standard library", verification.IN_NODE)],
        "vector": verification.VECTOR,
        "kept_days": webhooks.REPLAY_DAYS,
    }
    return render(request, "billing/webhook_documentation.html", context)


class _Wish:
    """The filters of a log; whatever makes no sense filters nothing."""

    def __init__(self, asked: Mapping[str, str], zone: str) -> None:
        self.zone = zone
        self.state = asked.get("state", "") if asked.get("state") in _STATES else ""
        self.type = asked.get("type", "") if asked.get("type") in {*EVENT_TYPES, TEST.code} else ""
        self.day = _day(asked.get("day", ""))

    @property
    def is_any(self) -> bool:
        return bool(self.state or self.type or self.day)

    def of(self, rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
        if self.state:
            rows = rows.filter(state=self.state)
        if self.type:
            rows = rows.filter(event__type=self.type)
        if self.day:
            begins = beginning_of(self.day, self.zone)
            rows = rows.filter(event__at__gte=begins, event__at__lt=begins + timedelta(days=1))
        return rows


_STATES = {
    Delivery.WAITING: {"word": "Waiting", "tone": "info"},
    Delivery.DELIVERED: {"word": "Delivered", "tone": "good"},
    Delivery.FAILED: {"word": "Failed", "tone": "bad"},
}


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 2000 <= day.year < 3000 else None


def _newest(rows: QuerySet[Delivery], cursor: str) -> pages.Page[Delivery]:
    after = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = [*rows.order_by("-pk")[: _LOG_SIZE + 1]]
    return pages.Page(found[:_LOG_SIZE], str(found[_LOG_SIZE - 1].pk) if len(found) > _LOG_SIZE else "", after is None)


def _sub_account(request: HttpRequest) -> SubAccount | None:
    return request.site.sub_account if request.site.kind == "workspace" else None


def _endpoints_of(request: HttpRequest) -> QuerySet[Endpoint]:
    return webhooks.endpoints_of(request.agency, _sub_account(request))


def _endpoint_of(request: HttpRequest, public_id: UUID) -> Endpoint:
    return get_object_or_404(_endpoints_of(request), public_id=public_id)


def _delivery_of(request: HttpRequest, public_id: UUID, delivery_id: UUID) -> Delivery:
    found = deliveries.tellable(Delivery.objects.filter(endpoint=_endpoint_of(request, public_id))).select_related("endpoint", "event")
    tries = Prefetch("attempts", queryset=Attempt.objects.order_by("-id"), to_attr="tries_made")
    return get_object_or_404(found.prefetch_related(tries), public_id=delivery_id)


def _may_change(request: HttpRequest) -> bool:
    return request.assist is None


def _kinds(endpoint: Endpoint) -> list[str]:
    return [EVENT_TYPES[code].words for code in endpoint.event_types if code in EVENT_TYPES]


def _words(endpoint: Endpoint) -> str:
    count = len(endpoint.event_types)
    return f"{count} kind{'' if count == 1 else 's'} of event" if count else "Every event"


def _words_of(delivery: Delivery) -> str:
    kind = EVENT_TYPES.get(delivery.event.type, TEST)
    return kind.words


def _outcome(delivery: Delivery) -> dict[str, Any]:
    latest = delivery.attempts.order_by("-id").first()
    return {"endpoint": delivery.endpoint, "delivery": delivery, "attempt": latest, "is_delivered": delivery.state == Delivery.DELIVERED}


def _to_secret(request: HttpRequest, endpoint: Endpoint, clear: str) -> HttpResponse:
    request.session[_waiting(endpoint)] = sealed.seal(clear, purpose=_PURPOSE)
    return redirect("webhook_secret", endpoint.public_id)


def _waiting(endpoint: Endpoint) -> str:
    return f"webhook secret:{endpoint.public_id}"
