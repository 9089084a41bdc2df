"""One deploy over many workspaces: the SQL of the migrations, collected once and replayed in each schema."""

from collections.abc import Iterable

import structlog
from django.db import connection, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from subaccounts import catalogue, template
from subaccounts.models import WorkspaceTemplate
from subaccounts.tenancy import new_schema_name

log = structlog.get_logger("canopy.fleet")


def collect(fingerprint: str) -> str | None:
    """The script that brings a workspace from `fingerprint` to this code's migrations; None when only Django's executor can.

    That is so when the template of `fingerprint` is gone, when a migration is not plain SQL (RunPython, non-atomic), or when the
    script, tried in a scratch workspace, does not end with the catalogue this code's template has.
    """
    start = WorkspaceTemplate.objects.filter(fingerprint=fingerprint).first()
    if start is None:
        return None
    scratch = new_schema_name()
    try:
        with transaction.atomic():
            template.execute(start, scratch)
        with template.working_in(scratch):
            script = _collect_here()
        if script is not None and catalogue.digest(scratch) != template.current().digest:
            log.warning("replayed migrations differ, taking the slow way", fingerprint=fingerprint)
            return None
        return script
    finally:
        template.drop(scratch)


def run(script: str, schema: str) -> None:
    """Replay a collected script in `schema`, in the caller's transaction."""
    with template.working_in(schema), connection.cursor() as cursor:
        cursor.execute(script)


def _collect_here() -> str | None:
    executor = MigrationExecutor(connection)
    pending = [migration for migration, _ in executor.migration_plan(template.leaves(executor.loader))]
    if not all(migration.atomic and _is_plain(migration.operations) for migration in pending):
        return None
    steps = []
    for migration in pending:
        # Each is applied before the next is collected: Django looks up names of constraints in the database.
        step = _sql_of(migration, executor.loader)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(step)
        steps.append(step)
    return "\n".join(steps)


def _is_plain(operations: Iterable[Operation]) -> bool:
    return all(
        _is_plain(operation.database_operations) if isinstance(operation, SeparateDatabaseAndState) else operation.reduces_to_sql
        for operation in operations
    )


def _sql_of(migration: Migration, loader: MigrationLoader) -> str:
    before = loader.project_state((migration.app_label, migration.name), at_end=False)
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        migration.apply(before, editor, collect_sql=True)
    names = ", ".join(editor.quote_value(name) for name in (migration.app_label, migration.name))
    recorded = f"INSERT INTO django_migrations (app, name, applied) VALUES ({names}, now());"
    settled = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;"
    return "\n".join([*editor.collected_sql, settled, recorded])
