"""Spares, the script, and what is left behind when something goes wrong."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from pytest_django import Settings

from kit import clock
from subaccounts import catalogue, fleet, provisioning, template
from subaccounts.models import SpareWorkspace, SubAccount, WorkspaceTemplate
from subaccounts.tenancy import enter, new_schema_name
from tests.cast import Cast
from tests.tenancy.conftest import Pair, bare_sub_account
from workspace.models import Contact


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^t_[0-9a-f]{16}$'")
        return {row[0] for row in cursor.fetchall()}


def test_a_spare_is_taken_before_the_script_runs(db: None) -> None:
    spare = provisioning.add_spare()
    assert provisioning.take_workspace() == (spare.schema_name, template.current_fingerprint())
    assert not SpareWorkspace.objects.exists()


def test_without_a_spare_the_script_builds_a_whole_workspace(cast: Cast) -> None:
    sub_account = bare_sub_account(cast.northlight, "by-script")
    assert catalogue.digest(sub_account.schema_name) == template.current().digest
    with enter(sub_account):
        assert Contact.objects.create(name="first").pk == 1


def test_a_spare_of_another_fingerprint_is_never_used(db: None) -> None:
    old = provisioning.add_spare()
    SpareWorkspace.objects.update(fingerprint="a" * 64)
    assert provisioning.take_workspace()[0] != old.schema_name
    assert SpareWorkspace.objects.filter(pk=old.pk).exists()


def test_taking_outside_a_transaction_or_inside_a_workspace_is_refused(pair: Pair) -> None:
    with pytest.raises(provisioning.OutsideTransaction):
        provisioning.take_workspace()
    with transaction.atomic(), enter(pair.one), pytest.raises(provisioning.OutsideTransaction):
        provisioning.take_workspace()


def test_a_failed_opening_leaves_nothing_and_gives_the_spare_back(transactional_db: None) -> None:
    spare = provisioning.add_spare()
    before = schemas()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            assert provisioning.take_workspace()[0] == spare.schema_name
            provisioning.take_workspace()
            raise ZeroDivisionError
    assert schemas() == before
    assert SpareWorkspace.objects.filter(pk=spare.pk).exists()
    provisioning._drop_spare(spare.schema_name)


def test_a_spare_is_taken_at_most_once_by_eight_threads(transactional_db: None) -> None:
    spares = {provisioning.add_spare().schema_name for _ in range(6)}

    def take(_: int) -> str:
        try:
            with transaction.atomic():
                return provisioning.take_workspace()[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(take, range(8)))
    assert len(set(taken)) == 8
    assert spares < set(taken)
    assert not SpareWorkspace.objects.exists()
    for schema in taken:
        template.drop(schema)


def test_the_keeper_fills_up_to_the_target_and_only_once(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "target", lambda: 2)
    assert provisioning.keep_spares() == 2
    assert provisioning.keep_spares() == 0
    spares = list(SpareWorkspace.objects.values_list("schema_name", flat=True))
    assert catalogue.digests(spares) == dict.fromkeys(spares, template.current().digest)
    SpareWorkspace.objects.update(fingerprint="a" * 64)
    assert provisioning.keep_spares() == 2
    assert not schemas() & set(spares)
    for spare in SpareWorkspace.objects.all():
        provisioning._drop_spare(spare.schema_name)


def test_the_target_is_twice_the_busiest_ten_minutes(cast: Cast, settings: Settings) -> None:
    settings.SPARE_WORKSPACES = 5
    noon = clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    SubAccount.objects.update(created_at=noon - timedelta(days=3))
    with time_machine.travel(noon + timedelta(hours=6), tick=False):
        assert provisioning.target() == 5
        for number in range(4):
            made = bare_sub_account(cast.northlight, f"busy-{number}")
            SubAccount.objects.filter(pk=made.pk).update(created_at=noon + timedelta(minutes=number))
        assert provisioning.target() == 8


def test_a_second_keeper_does_nothing(transactional_db: None, settings: Settings) -> None:
    settings.SPARE_WORKSPACES = 1

    def keep() -> int:
        try:
            return provisioning.keep_spares()
        finally:
            connection.close()

    with template.advisory_lock(provisioning.KEEPER_LOCK) as is_mine, ThreadPoolExecutor(1) as thread:
        assert is_mine
        assert thread.submit(keep).result() == 0
    assert not SpareWorkspace.objects.exists()


def test_the_keeper_waits_for_the_deploy(transactional_db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SPARE_WORKSPACES = 3
    monkeypatch.setattr(template, "current_fingerprint", lambda: "d" * 64)
    assert provisioning.keep_spares() == 0
    assert not WorkspaceTemplate.objects.filter(fingerprint="d" * 64).exists()


def test_an_orphan_is_dropped_after_an_hour_and_nothing_else(pair: Pair, scratch_schema: str) -> None:
    spare = provisioning.add_spare()
    assert provisioning.drop_orphans() == []
    with time_machine.travel(clock.now() + timedelta(minutes=50)):
        assert provisioning.drop_orphans() == []
    with time_machine.travel(clock.now() + timedelta(minutes=70)):
        assert scratch_schema in provisioning.drop_orphans()
    assert scratch_schema not in schemas()
    assert {pair.one.schema_name, pair.other.schema_name, spare.schema_name} <= schemas()
    provisioning._drop_spare(spare.schema_name)


def test_an_orphan_in_use_is_left_for_the_next_time(scratch_schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    provisioning.drop_orphans()

    def busy(schema: str) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    with time_machine.travel(clock.now() + timedelta(hours=2)):
        with monkeypatch.context() as patched:
            patched.setattr(template, "drop", busy)
            assert scratch_schema not in provisioning.drop_orphans()
        assert scratch_schema in provisioning.drop_orphans()


def test_many_workspaces_are_dropped_one_by_one(transactional_db: None) -> None:
    with transaction.atomic():
        names = [provisioning.take_workspace()[0] for _ in range(3)]
    for name in names:
        template.drop(name)
        template.drop(name)
    assert not schemas() & set(names)


def test_the_fleet_with_nothing_stale_costs_two_short_looks(db: None, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(5):
        assert fleet.migrate() == []


def stale_copy(sub_account: SubAccount) -> None:
    """As if its schema had been made before the latest migration: one table and its migration are missing."""
    with enter(sub_account), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'workspace'")
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [sub_account.schema_name])
        for (table,) in cursor.fetchall():
            if table != "django_migrations":
                cursor.execute(f'DROP TABLE "{table}" CASCADE')
        cursor.execute("SELECT p.proname FROM pg_proc p WHERE p.pronamespace = %s::regnamespace", [sub_account.schema_name])
        for (function,) in cursor.fetchall():
            cursor.execute(f'DROP FUNCTION "{function}" CASCADE')
    SubAccount.objects.filter(pk=sub_account.pk).update(fingerprint="e" * 64)


def test_the_fleet_migrates_the_stale_and_names_the_broken(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PAUSES", (0,))
    stale = bare_sub_account(cast.northlight, "stale-one")
    broken = bare_sub_account(cast.northlight, "broken-one")
    stale_copy(stale)
    SubAccount.objects.filter(pk=broken.pk).update(schema_name=new_schema_name(), fingerprint="e" * 64)
    assert {stale.schema_name} < set(fleet.stale())
    failures = fleet.migrate()
    assert [failure.reason for failure in failures] == ["the schema does not exist"]
    stale.refresh_from_db()
    assert stale.fingerprint == template.current_fingerprint()
    assert catalogue.digest(stale.schema_name) == template.current().digest
    assert fleet.stale() == [failures[0].schema_name]


def test_a_locked_workspace_is_named_the_others_are_done_and_the_next_run_finishes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PAUSES", (0,))
    monkeypatch.setattr(fleet, "LOCK_TIMEOUT", "100ms")
    with transaction.atomic():
        locked, free = (bare_sub_account(pair.one.agency, f"fleet-{new_schema_name()[2:]}") for _ in range(2))
        stale_copy(locked)
        stale_copy(free)
    parameters = connection.get_connection_params()
    del parameters["cursor_factory"], parameters["context"]
    errors = io.StringIO()
    with psycopg.connect(**parameters) as holder:
        holder.execute(f"LOCK TABLE {locked.schema_name}.django_migrations".encode())
        with pytest.raises(CommandError, match="1 workspaces were not migrated"):
            call_command("migrate_workspaces", verbosity=0, stderr=errors)
    assert errors.getvalue().startswith(f"{locked.schema_name}: canceling statement due to lock timeout")
    assert fleet.stale() == [locked.schema_name]
    call_command("migrate_workspaces", verbosity=0)
    assert fleet.stale() == []
    call_command("migrate_workspaces", "--check", "--deep", verbosity=0)
    for sub_account in (locked, free):
        SubAccount.objects.filter(pk=sub_account.pk).delete()
        template.drop(sub_account.schema_name)


def test_a_deep_look_finds_a_workspace_that_was_changed_by_hand(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {cast.acme.schema_name}.workspace_contact ADD COLUMN extra integer")
    errors = io.StringIO()
    with pytest.raises(CommandError, match="0 workspaces are behind this code's migrations, 1 differ"):
        call_command("migrate_workspaces", "--deep", stderr=errors)
    assert errors.getvalue().split() == [cast.acme.schema_name]


def test_what_one_workspaces_rows_do_to_a_migration_does_not_stop_the_others(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PAUSES", ())
    SubAccount.objects.filter(pk__in=[cast.acme.pk, cast.koala.pk]).update(fingerprint="e" * 64)
    bad = cast.acme.schema_name

    def migrate(schema: str) -> None:
        if schema == bad:
            raise KeyError("a row nobody expected")

    monkeypatch.setattr(template, "migrate", migrate)
    assert [failure.schema_name for failure in fleet.migrate()] == [bad]
    assert fleet.stale() == [bad]
