"""What must hold between public's tables and a workspace's, looked at before anything runs."""

import threading
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.models import Model

Models = Iterable[type[Model]]


def workspace_models() -> list[type[Model]]:
    return _models(settings.TENANT_APPS)


def public_models() -> list[type[Model]]:
    return _models(settings.SHARED_APPS)


def _models(app_names: Iterable[str]) -> list[type[Model]]:
    return [
        model for config in apps.get_app_configs() if config.name in app_names for model in config.get_models(include_auto_created=True)
    ]


@register(Tags.models)
def the_border_is_closed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Errors `subaccounts.E001` (a foreign key crosses the border) and `subaccounts.E002` (a table stands on both sides)."""
    public, workspace = public_models(), workspace_models()
    return [*crossing_keys(public, workspace), *shared_tables(public, workspace)]


def crossing_keys(public: Models, workspace: Models) -> list[CheckMessage]:
    sides = {**dict.fromkeys(public, "public"), **dict.fromkeys(workspace, "workspace")}
    return [
        Error(
            f"{model._meta.label}.{field.name} points from {side} to {sides[field.related_model]}: {field.related_model._meta.label}.",
            hint="Opening or dropping a workspace would block everybody else. Keep the id and a label instead.",
            obj=model,
            id="subaccounts.E001",
        )
        for model, side in sides.items()
        for field in model._meta.local_fields
        if field.related_model in sides and sides[field.related_model] != side
    ]


def shared_tables(public: Models, workspace: Models) -> list[CheckMessage]:
    both = {model._meta.db_table for model in public} & {model._meta.db_table for model in workspace}
    return [
        Error(
            f"The table {table} stands in public and in workspaces.",
            hint="A missing or half-built workspace would silently use public's.",
            id="subaccounts.E002",
        )
        for table in sorted(both)
    ]


@register(Tags.database)
def the_pooler_follows(app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Error `subaccounts.E003` when something between us and PostgreSQL hands one client's search path to another."""
    return [
        Error(
            f"Connections of the database {alias!r} see each other's search_path.",
            hint="A pooler in transaction mode must track it: PgBouncer >= 1.20 with track_extra_parameters = search_path.",
            id="subaccounts.E003",
        )
        for alias in databases or ()
        if _paths_leak(alias)
    ]


def _paths_leak(alias: str) -> bool:
    """Two connections take turns: what one sets outside a transaction, the other must never see."""
    database: Any = connections[alias]
    parameters = database.get_connection_params()
    del parameters["cursor_factory"], parameters["context"]
    connect = database.Database.connect
    mine = f"probe_{threading.get_ident()}"
    with connect(**parameters, autocommit=True) as one, connect(**parameters, autocommit=True) as other:
        for _ in range(5):
            one.execute(f"SET search_path = {mine}")
            if other.execute("SHOW search_path").fetchone() == (mine,) or one.execute("SHOW search_path").fetchone() != (mine,):
                return True
            other.execute("SET search_path = public")
            if one.execute("SHOW search_path").fetchone() != (mine,):
                return True
    return False
