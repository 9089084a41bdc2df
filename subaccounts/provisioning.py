"""Workspaces ready to be taken: warm spares, and the script when there is none. Never migrations in a request."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from kit import clock
from subaccounts import template
from subaccounts.models import SpareWorkspace, SubAccount
from subaccounts.postgresql.base import PUBLIC
from subaccounts.tenancy import new_schema_name

log = structlog.get_logger("canopy.provisioning")

KEEPER_LOCK = 0x7370_6172_6573  # "spares"
ORPHAN_AFTER = timedelta(hours=1)


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
    table = connection.ops.quote_name(SpareWorkspace._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE schema_name = (SELECT schema_name FROM {table} WHERE fingerprint = %s "
            "ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING schema_name, fingerprint",
            [template.current_fingerprint()],
        )
        taken: tuple[str, str] | None = cursor.fetchone()
        return taken


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


def keep_spares() -> int:
    """Bring the stock of spares up to `target()` and drop schemas that belong to nobody; returns how many spares were built.

    Safe to run at any time, twice at once (the second does nothing), and to be killed anywhere. Builds nothing while this
    code's template is missing: a deploy is on its way.
    """
    with template.advisory_lock(KEEPER_LOCK) as is_mine:
        if not is_mine:
            return 0
        drop_stale_spares()
        drop_orphans()
        if not template.exists():
            log.warning("no workspace template for this code's migrations; run manage.py migrate")
            return 0
        missing = target() - SpareWorkspace.objects.filter(fingerprint=template.current_fingerprint()).count()
        for _ in range(missing):
            add_spare()
        return max(0, missing)


def target() -> int:
    """How many spares to keep: SPARE_WORKSPACES, or twice what the busiest ten minutes of the last day opened."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coalesce(max(opened), 0) FROM (SELECT count(*) AS opened FROM {SubAccount._meta.db_table} "
            "WHERE created_at > %s GROUP BY date_bin('10 minutes', created_at, 'epoch')) AS windows",
            [clock.now() - timedelta(days=1)],
        )
        peak = cursor.fetchone()[0]
    return max(settings.SPARE_WORKSPACES, 2 * peak) if settings.SPARE_WORKSPACES else 0


def drop_stale_spares() -> int:
    """Drop the spares of other fingerprints, each with its row in one transaction. Returns how many."""
    stale = list(SpareWorkspace.objects.exclude(fingerprint=template.current_fingerprint()).values_list("schema_name", flat=True))
    return sum(_drop_spare(schema) for schema in stale)


def _drop_spare(schema: str) -> bool:
    with transaction.atomic():
        # Whoever deletes the row owns the schema: an opener of the code before this one may be taking it right now.
        mine = SpareWorkspace.objects.select_for_update(skip_locked=True).filter(schema_name=schema)
        if not mine.exists():
            return False
        SpareWorkspace.objects.filter(schema_name=schema).delete()
        template.drop(schema)
        return True


def drop_orphans() -> list[str]:
    """Drop the schemas with one of our names that belong to no sub-account and no spare for an hour; returns their names.

    PostgreSQL does not say how old a schema is, so the first sight of an orphan is written into its comment. One per
    transaction, with a short lock_timeout; one that is in use is left for the next time.
    """
    dropped = []
    for schema, seen in _orphans():
        if seen is None:
            _mark(schema)
        elif clock.now().timestamp() - float(seen) > ORPHAN_AFTER.total_seconds() and _try_drop(schema):
            dropped.append(schema)
    return dropped


def _orphans() -> list[tuple[str, str | None]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, substring(obj_description(n.oid, 'pg_namespace') FROM '^orphan since ([0-9]+)$') FROM pg_namespace n "
            "WHERE n.nspname ~ '^t_[0-9a-f]{16}$' "
            f"AND NOT EXISTS (SELECT FROM {SubAccount._meta.db_table} WHERE schema_name = n.nspname) "
            f"AND NOT EXISTS (SELECT FROM {SpareWorkspace._meta.db_table} WHERE schema_name = n.nspname) ORDER BY 1"
        )
        return list(cursor.fetchall())


def _mark(schema: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON SCHEMA \"{schema}\" IS 'orphan since {int(clock.now().timestamp())}'")


def _try_drop(schema: str) -> bool:
    try:
        template.drop(schema)
    except OperationalError as busy:
        log.warning("orphan schema is in use", schema=schema, cause=str(busy).strip())
        return False
    log.info("orphan schema dropped", schema=schema)
    return True
