"""/healthz, /readyz and /internal/tls-ask: for whoever runs us, so answered before the host of a request is looked up."""

import ipaddress
from collections.abc import Callable, Iterator

import redis
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from kit import cache, health
from subaccounts import template
from subaccounts.models import Domain, SubAccount

NEIGHBOURS = [ipaddress.ip_network(net) for net in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")]

Next = Callable[[HttpRequest], HttpResponseBase]


class HealthMiddleware:
    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response
        self.views = {"/healthz": alive, "/readyz": ready, "/internal/tls-ask": may_have_certificate}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = self.views.get(request.path_info)
        answer = view(request) if view else None
        return answer or self.get_response(request)


def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers at all; asks nobody else."""
    return _plain("ok")


def ready(request: HttpRequest) -> HttpResponse:
    """200 when a visitor can be served and work gets done, else 503. Which part is missing is told to the machine itself only."""
    missing = list(_missing())
    told = " ".join(["not ready:", *missing]) if _is_direct(request, only_loopback=True) else "not ready"
    return _plain(told, 503) if missing else _plain("ready")


def may_have_certificate(request: HttpRequest) -> HttpResponse | None:
    """Whether Caddy may get a certificate for `?domain=`: 200 for our own names and for workspaces' names, else 404.

    Only for neighbours on a private network that did not come through a proxy; for anybody else this address does not exist.
    """
    if not _is_direct(request):
        return None
    name = request.GET.get("domain", "").lower().rstrip(".")
    return _plain("yes") if _is_ours(name) else _plain("no", 404)


def _is_ours(name: str) -> bool:
    if name in (settings.BASE_DOMAIN.partition(":")[0], settings.STAFF_HOST.partition(":")[0]):
        return True
    try:
        return Domain.objects.filter(domain=name, tenant__status=SubAccount.READY).exists()
    except (DatabaseError, ValueError):  # ValueError: a NUL in the name
        return False


def _missing() -> Iterator[str]:
    try:
        connection.set_schema_to_public()
        if not migrations_applied():
            yield "migrations"
        elif health.is_late("worker"):
            yield "worker"
    except DatabaseError:
        yield "database"
    try:
        cache.client().ping()
    except redis.exceptions.RedisError:
        yield "redis"


_applied: set[tuple[str, str]] = set()


def migrations_applied() -> bool:
    """Whether public is at this code's migrations and workspaces can be opened at them. Asked until it is true, then remembered.

    A single workspace that is behind (locked, broken) makes nobody unready: it is named by `migrate_workspaces --check`.
    """
    if _applied:
        return True
    loader = MigrationLoader(connection)
    shared = {app.label for app in apps.get_app_configs() if app.name not in settings.TENANT_APPS}
    wanted = {leaf for leaf in loader.graph.leaf_nodes() if leaf[0] in shared}
    if not wanted:
        raise ImproperlyConfigured("no migrations found: is this a complete checkout?")
    if wanted <= set(loader.applied_migrations) and template.exists():
        _applied.update(wanted)
    return bool(_applied)


def _is_direct(request: HttpRequest, *, only_loopback: bool = False) -> bool:
    """Whether a neighbour asks by itself, not somebody through a proxy."""
    if "HTTP_X_FORWARDED_FOR" in request.META:
        return False
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return address.is_loopback if only_loopback else any(address in network for network in NEIGHBOURS)


def _plain(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain", headers={"Cache-Control": "no-store"})
