"""Workspaces ready to be taken: warm spares, and the script when there is none. Never migrations in a request."""

from django.db import connection, transaction

from subaccounts import template
from subaccounts.models import SpareWorkspace
from subaccounts.postgresql.base import PUBLIC
from subaccounts.tenancy import new_schema_name


class OutsideTransaction(RuntimeError):
    """A workspace is taken inside the transaction that writes its sub-account, or a failure would leave a schema behind."""


def take_workspace() -> tuple[str, str]:
    """The name and fingerprint of an empty workspace that is now the caller's, undone with the caller's transaction.

    Takes a warm spare of this code's fingerprint (each at most once, concurrent callers never wait for each other), or builds
    one with the template's script. Raises `OutsideTransaction`, or `template.TemplateMissing` before the first migrate.
    """
    if not connection.in_atomic_block or connection.schema_name != PUBLIC:
        raise OutsideTransaction("take_workspace() belongs inside transaction.atomic(), outside any workspace")
    return _take_spare() or _build_one()


def _take_spare() -> tuple[str, str] | None:
    fingerprint = template.current_fingerprint()
    table = connection.ops.quote_name(SpareWorkspace._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE schema_name = (SELECT schema_name FROM {table} WHERE fingerprint = %s "
            "ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING schema_name, fingerprint",
            [fingerprint],
        )
        return cursor.fetchone()


def _build_one() -> tuple[str, str]:
    current = template.current()
    schema = new_schema_name()
    template.execute(current, schema)
    return schema, current.fingerprint


def add_spare() -> SpareWorkspace:
    """Build one spare, schema and row in one transaction."""
    with transaction.atomic():
        schema, fingerprint = _build_one()
        return SpareWorkspace.objects.create(schema_name=schema, fingerprint=fingerprint)
