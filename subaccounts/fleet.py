"""Bringing every workspace to this code's migrations."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction

from subaccounts import provisioning, template
from subaccounts.models import SubAccount


@dataclass(frozen=True)
class Failure:
    schema_name: str
    reason: str


def stale() -> list[str]:
    """The schemas of sub-accounts that are not at this code's fingerprint, in one query."""
    return list(SubAccount.objects.exclude(fingerprint=template.current_fingerprint()).order_by("id").values_list("schema_name", flat=True))


def migrate(*, on_step: Callable[[str], None] = lambda schema: None) -> list[Failure]:
    """Build the template if this code has none, and migrate every stale workspace, each by itself.

    One that fails (locked, broken) keeps its old fingerprint and is in the answer; the others do not wait for it, and the
    next run takes it up again. Nothing stale costs two queries. Stale spares are dropped, never used.
    """
    schemas = stale()
    template.build()
    failures = []
    for schema in schemas:
        on_step(schema)
        try:
            _migrate_one(schema)
        except DatabaseError as reason:
            failures.append(Failure(schema, str(reason).strip()))
    provisioning.drop_stale_spares()
    return failures


def _migrate_one(schema: str) -> None:
    if not exists(schema):
        raise DatabaseError("the schema does not exist")
    with transaction.atomic():
        template.migrate(schema)
        SubAccount.objects.filter(schema_name=schema).update(fingerprint=template.current_fingerprint())


def exists(schema: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [schema])
        return bool(cursor.fetchone()[0])
