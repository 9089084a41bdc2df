"""A deploy over workspaces that exist, with migrations that come after today's."""

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from subaccounts import catalogue, fleet, provisioning, replay, template
from subaccounts.models import SubAccount, WorkspaceTemplate
from subaccounts.tenancy import enter
from tests.cast import Cast
from tests.tenancy.conftest import bare_sub_account
from workspace.migrations import __file__ as migrations_today
from workspace.models import Contact

PLAIN = """
        migrations.AddField("contact", "city", models.CharField(max_length=40, default="it's \\\\ here")),
        migrations.AddIndex("contact", models.Index(fields=["city"], name="contact_city")),
        migrations.RunSQL("INSERT INTO workspace_contact (public_id, name, email, phone, city, first_seen_at, last_seen_at) "
                          "VALUES (gen_random_uuid(), '100%', '', '', '', now(), now())"),
"""
WITH_PYTHON = """
        migrations.AddField("contact", "city", models.CharField(max_length=40, default="")),
        migrations.RunPython(lambda apps, editor: apps.get_model("workspace", "Contact").objects.update(city="Oslo")),
        migrations.AlterField("contact", "city", models.CharField(max_length=41, default="")),
"""
Deploy = Callable[..., None]


@pytest.fixture
def deploy(tmp_path: Path, settings: Settings) -> Iterator[Deploy]:
    """Code with more workspace migrations than today's: each text is the operations of one more."""
    package = f"deployed_{tmp_path.name.replace('-', '_')}"

    def write(*operations: str) -> None:
        folder = tmp_path / package
        shutil.copytree(Path(migrations_today or "").parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
        before = sorted(path.stem for path in folder.glob("0*.py"))[-1]
        for number, lines in enumerate(operations, 900):
            (folder / f"{number:04d}_more.py").write_text(
                "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
                f'    dependencies = [("workspace", "{before}")]\n    operations = [{lines}]\n'
            )
            before = f"{number:04d}_more"
        sys.path.insert(0, str(tmp_path))
        importlib.invalidate_caches()
        settings.MIGRATION_MODULES = {"workspace": package}
        template.current_fingerprint.cache_clear()

    yield write
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))
    settings.MIGRATION_MODULES = {}
    template.current_fingerprint.cache_clear()


def with_a_contact(cast: Cast, count: int) -> list[SubAccount]:
    made = [bare_sub_account(cast.northlight, f"deployed-{number}") for number in range(count)]
    for sub_account in made:
        with enter(sub_account):
            Contact.objects.create(name="was here before")
    return made


def cities(sub_account: SubAccount) -> list[tuple[str, str]]:
    with enter(sub_account), connection.cursor() as cursor:
        cursor.execute("SELECT name, city FROM workspace_contact ORDER BY id")
        return list(cursor.fetchall())


def test_plain_migrations_are_replayed_in_every_workspace(cast: Cast, deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    old, clients = template.current_fingerprint(), with_a_contact(cast, 2)
    deploy(PLAIN, 'migrations.RenameField("contact", "phone", "telephone")')
    script = replay.collect(old) if template.build() else None
    assert script is not None
    monkeypatch.setattr(replay, "collect", lambda fingerprint: script)
    monkeypatch.setattr(template, "migrate", lambda schema: pytest.fail("took the slow way"))
    assert fleet.migrate() == []
    whole = template.current().digest
    for sub_account in clients:
        assert catalogue.digest(sub_account.schema_name) == whole
        assert cities(sub_account) == [("was here before", "it's \\ here"), ("100%", "")]
        with enter(sub_account), connection.cursor() as cursor:
            cursor.execute("SELECT name FROM django_migrations ORDER BY id DESC LIMIT 2")
            assert cursor.fetchall() == [("0901_more",), ("0900_more",)]
    assert fleet.stale() == [] and fleet.different() == []


def test_a_migration_with_python_goes_through_djangos_executor(cast: Cast, deploy: Deploy) -> None:
    old, clients = template.current_fingerprint(), with_a_contact(cast, 1)
    deploy(WITH_PYTHON)
    template.build()
    assert replay.collect(old) is None
    assert fleet.migrate() == []
    assert cities(clients[0]) == [("was here before", "Oslo")]
    assert catalogue.digest(clients[0].schema_name) == template.current().digest


def test_a_script_that_does_not_end_where_the_template_is_is_not_replayed(cast: Cast, deploy: Deploy) -> None:
    old = template.current_fingerprint()
    deploy(PLAIN)
    template.build()
    WorkspaceTemplate.objects.filter(fingerprint=template.current_fingerprint()).update(digest="0" * 64)
    assert replay.collect(old) is None


def test_spares_from_before_the_deploy_are_dropped_and_new_openings_are_whole(cast: Cast, deploy: Deploy) -> None:
    spare = provisioning.add_spare()
    deploy(PLAIN)
    assert fleet.migrate() == []
    made = bare_sub_account(cast.northlight, "after-the-deploy")
    assert made.schema_name != spare.schema_name and cities(made) == [("100%", "")]
    assert not catalogue.digest(spare.schema_name)
