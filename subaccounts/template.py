"""The template of an empty workspace: the statements that build one, made once for each state of the migrations.

Django's migrations run once, in a scratch schema; what they left there is read from PostgreSQL's catalogue as single
statements with a token for the schema's name. The statements are tried in a second scratch schema, and the template is
kept only when its catalogue has the same digest.
"""

import hashlib
import importlib
import pkgutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django_tenants.postgresql_backend.base import FakeTenant

from subaccounts import catalogue
from subaccounts.models import WorkspaceTemplate
from subaccounts.tenancy import new_schema_name

BUILDER_LOCK = 0x7465_6D70_6C61_7465  # "template"
PATIENCE_SECONDS = 120


class TemplateMissing(RuntimeError):
    """Nobody ran `manage.py migrate` for the workspace migrations this process carries."""


class TemplateDiffers(RuntimeError):
    """The statements did not rebuild what the migrations made: a workspace migration uses something they cannot express."""


def workspace_apps() -> list[str]:
    """The labels of the apps whose tables stand in every workspace."""
    return [config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]


@cache
def current_fingerprint() -> str:
    """The state of the workspace migrations in this code: sha256 over their names and contents, read once per process."""
    digest = hashlib.sha256()
    for label in sorted(workspace_apps()):
        for name, content in _migration_files(label):
            digest.update(f"{label}.{name}:{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _migration_files(label: str) -> Iterator[tuple[str, bytes]]:
    module_name, _ = MigrationLoader.migrations_module(label)
    if module_name is None:
        return
    module = importlib.import_module(module_name)
    for found in sorted(pkgutil.iter_modules(module.__path__), key=lambda item: item.name):
        if not found.ispkg and found.name[0] not in "_~":
            yield found.name, Path(found.module_finder.path, f"{found.name}.py").read_bytes()  # type: ignore[union-attr]


def exists() -> bool:
    return WorkspaceTemplate.objects.filter(fingerprint=current_fingerprint()).exists()


def current() -> WorkspaceTemplate:
    """The template this code opens workspaces from; raises `TemplateMissing`. Never builds: a request must not migrate."""
    template = WorkspaceTemplate.objects.filter(fingerprint=current_fingerprint()).first()
    if template is None:
        raise TemplateMissing("There is no workspace template for this code's migrations: run manage.py migrate.")
    return template


def execute(template: WorkspaceTemplate, schema: str) -> None:
    """Build the schema `schema` from `template`, in one round trip."""
    script = ";\n".join(template.statements).replace(catalogue.STAND_IN, schema)
    with connection.cursor() as cursor:
        cursor.execute(script)


def build() -> WorkspaceTemplate:
    """The template for this code's migrations, made now if nobody has; one process builds while others wait for it."""
    with advisory_lock(BUILDER_LOCK, patience=PATIENCE_SECONDS) as is_mine:
        if not is_mine:
            raise TimeoutError("Another process has been building the workspace template for two minutes.")
        fingerprint = current_fingerprint()
        existing = WorkspaceTemplate.objects.filter(fingerprint=fingerprint).first()
        return existing or _build(fingerprint)


def _build(fingerprint: str) -> WorkspaceTemplate:
    migrated, rebuilt = new_schema_name(), new_schema_name()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE SCHEMA "{migrated}"')
        migrate(migrated)
        template = WorkspaceTemplate(fingerprint=fingerprint, statements=catalogue.statements(migrated), digest=catalogue.digest(migrated))
        execute(template, rebuilt)
        if catalogue.digest(rebuilt) != template.digest or catalogue.statements(rebuilt) != template.statements:
            raise TemplateDiffers(catalogue.difference(migrated, rebuilt))
        template.save(force_insert=True)
        return template
    finally:
        for schema in (migrated, rebuilt):
            drop(schema)


def migrate(schema: str) -> None:
    """Apply the workspace migrations, and only those, in `schema` with Django's own executor."""
    with working_in(schema):
        executor = MigrationExecutor(connection, progress_callback=_settle)
        executor.recorder.ensure_schema()
        executor.migrate(leaves(executor.loader))


@contextmanager
def working_in(schema: str) -> Iterator[None]:
    """Run the block in a schema that may belong to nobody: for building and migrating only. People's work uses `tenancy.enter`."""
    before = connection.tenant
    connection.set_tenant(FakeTenant(schema_name=schema))
    try:
        yield
    finally:
        connection.set_tenant(before)


def leaves(loader: MigrationLoader) -> list[tuple[str, str]]:
    """The latest migration of each workspace app."""
    return [node for node in loader.graph.leaf_nodes() if node[0] in workspace_apps()]


def _settle(step: str, *_: Any) -> None:
    # Several migrations share one transaction: rows the one wrote must be checked before the next alters their table.
    if step == "apply_success":
        connection.check_constraints()


def drop(schema: str, *, lock_timeout: str = "2s") -> None:
    """Drop one schema in a transaction of its own; raises when a lock is not to be had in time. A missing one is fine."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{lock_timeout}'")
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@contextmanager
def advisory_lock(key: int, *, patience: float = 0) -> Iterator[bool]:
    """Hold PostgreSQL's advisory lock `key` for the block; False when somebody else held it for `patience` seconds."""
    # Tried again and again instead of waited for: a waiting statement would run into lock_timeout.
    deadline = time.monotonic() + patience
    while not (is_mine := _ask("SELECT pg_try_advisory_lock(%s)", key)) and time.monotonic() < deadline:
        time.sleep(0.2)
    try:
        yield is_mine
    finally:
        if is_mine and connection.connection is not None:
            _ask("SELECT pg_advisory_unlock(%s)", key)


def _ask(sql: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]
