"""The system checks that keep the border closed."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from subaccounts import checks
from workspace.models import Contact


def test_the_border_is_closed_today() -> None:
    assert checks.the_border_is_closed(None) == []
    assert Contact in checks.workspace_models()
    assert Contact not in checks.public_models()


@isolate_apps("workspace", "agency")
def test_a_foreign_key_across_the_border_is_an_error() -> None:
    class Person(models.Model):
        class Meta:
            app_label = "agency"

    class Note(models.Model):
        person = models.ForeignKey(Person, models.CASCADE)

        class Meta:
            app_label = "workspace"

    assert [error.id for error in checks.crossing_keys([Person], [Note])] == ["subaccounts.E001"]
    assert [error.id for error in checks.crossing_keys([Note], [Person])] == ["subaccounts.E001"]
    assert checks.crossing_keys([], [Person, Note]) == []


@isolate_apps("workspace", "agency")
def test_a_table_on_both_sides_is_an_error() -> None:
    class Mine(models.Model):
        class Meta:
            app_label = "agency"
            db_table = "same"

    class Yours(models.Model):
        class Meta:
            app_label = "workspace"
            db_table = "same"

    assert [error.id for error in checks.shared_tables([Mine], [Yours])] == ["subaccounts.E002"]


def test_a_pooler_that_hands_on_the_search_path_is_an_error(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.the_pooler_follows(None, databases=["default"]) == []
    one_server = SimpleNamespace(path="public")

    class Client:
        """A client of a pooler in transaction mode: all of them share one server connection."""

        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, sql: str) -> Any:
            if sql.startswith("SET"):
                one_server.path = sql.rpartition("= ")[2]
            return SimpleNamespace(fetchone=lambda: (one_server.path,))

    monkeypatch.setattr(connection, "Database", SimpleNamespace(connect=lambda **_: Client()))
    assert [error.id for error in checks.the_pooler_follows(None, databases=["default"])] == ["subaccounts.E003"]
