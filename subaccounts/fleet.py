"""Bringing every workspace to this code's migrations."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from subaccounts import catalogue, provisioning, replay, template
from subaccounts.models import SubAccount

log = structlog.get_logger("canopy.fleet")

LOCK_TIMEOUT = "2s"
PAUSES = (1, 5)  # seconds before a workspace that failed is tried again
BATCH = 500

Scripts = Mapping[str, str | None]


@dataclass(frozen=True)
class Failure:
    schema_name: str
    reason: str


class SchemaMissing(Exception):
    """A sub-account's schema is not there."""


def stale() -> list[str]:
    """The schemas of sub-accounts that are not at this code's fingerprint, in one query."""
    return [schema for schema, _ in _stale()]


def migrate(*, on_step: Callable[[str], None] = lambda schema: None) -> list[Failure]:
    """Build the template if this code has none, and migrate every stale workspace, each in a transaction of its own.

    Migrations that are plain SQL are collected once and replayed; others go through Django's executor for each workspace.
    One that fails (locked, broken) is tried again after the others, keeps its old fingerprint if that fails too, and is in the
    answer; the next run takes it up. Two runs at once share the work. Nothing stale costs a few short queries. Stale spares
    are dropped, never used.
    """
    template.build()
    todo = _stale()
    scripts = {fingerprint: replay.collect(fingerprint) for fingerprint in {fingerprint for _, fingerprint in todo}}
    failures = _migrate([schema for schema, _ in todo], scripts, on_step)
    for pause in PAUSES:
        if failures:
            time.sleep(pause)
            failures = _migrate([failure.schema_name for failure in failures], scripts, on_step)
    provisioning.drop_stale_spares()
    return failures


def _stale() -> list[tuple[str, str]]:
    behind = SubAccount.objects.filter(purged_at=None).exclude(fingerprint=template.current_fingerprint())
    return list(behind.order_by("id").values_list("schema_name", "fingerprint"))


def different() -> list[str]:
    """The workspaces whose catalogue is not what this code's template says, whatever their fingerprint; a query for every 500."""
    there = SubAccount.objects.filter(purged_at=None)
    schemas, whole = list(there.order_by("id").values_list("schema_name", flat=True)), template.current().digest
    found: dict[str, str] = {}
    for start in range(0, len(schemas), BATCH):
        found |= catalogue.digests(schemas[start : start + BATCH])
    return [schema for schema in schemas if found.get(schema) != whole]


def _migrate(schemas: Iterable[str], scripts: Scripts, on_step: Callable[[str], None]) -> list[Failure]:
    failures = []
    for schema in schemas:
        # Outside any transaction: here a connection that has touched too many workspaces may end.
        connection.set_schema_to_public()
        try:
            _migrate_one(schema, scripts)
            on_step(schema)
        except Exception as reason:  # whatever one workspace's rows do to a migration must not stop the others
            log.warning("workspace not migrated", schema=schema, exc_info=reason)
            failures.append(Failure(schema, str(reason).strip() or type(reason).__name__))
    return failures


def _migrate_one(schema: str, scripts: Scripts) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Not waiting for the disk is safe: a commit lost with the power takes its fingerprint along, and the next run repeats it.
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL synchronous_commit = off")
            cursor.execute("SELECT to_regnamespace(%s) IS NOT NULL", [schema])
            if cursor.fetchone() != (True,):
                raise SchemaMissing("the schema does not exist")
        # Another run may be at it: whoever has the row migrates, the other then finds nothing to do.
        mine = SubAccount.objects.select_for_update(no_key=True).get(schema_name=schema)
        if mine.fingerprint == template.current_fingerprint():
            return
        if script := scripts.get(mine.fingerprint):
            replay.run(script, schema)
        else:
            template.migrate(schema)
        SubAccount.objects.filter(pk=mine.pk).update(fingerprint=template.current_fingerprint())
