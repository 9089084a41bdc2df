"""Background work enters its workspace in one place, or does not run."""

from typing import Any
from uuid import uuid4

import pytest
from celery import shared_task
from django.db import OperationalError, ProgrammingError, connection

from subaccounts.models import SubAccount
from subaccounts.tasks import WorkspaceGone, WorkspaceTask
from tests.cast import Cast
from workspace.models import Contact

ran: list[Any] = []


@shared_task(base=WorkspaceTask, name="tests.note_contact")
def note_contact(sub_account: SubAccount, name: str) -> str:
    ran.append((sub_account.name, connection.schema_name))
    Contact.objects.create(name=name)
    return connection.schema_name


@shared_task(name="tests.forgetful")
def forgetful() -> None:
    Contact.objects.create(name="nobody's")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def test_the_body_runs_inside_the_workspace_of_its_sub_account(cast: Cast) -> None:
    result = note_contact.apply(args=["Vera"], kwargs={"sub_account_id": str(cast.acme.public_id)})
    assert result.get() == cast.acme.schema_name
    assert ran == [("Acme Plumbing", cast.acme.schema_name)]
    assert connection.schema_name == "public"


def test_without_a_sub_account_it_fails(cast: Cast) -> None:
    result = note_contact.apply(args=["Vera"])
    assert isinstance(result.result, TypeError)
    assert ran == []


def test_for_an_unknown_sub_account_it_never_runs(cast: Cast) -> None:
    result = note_contact.apply(args=["Vera"], kwargs={"sub_account_id": str(uuid4())})
    assert isinstance(result.result, WorkspaceGone)
    assert ran == []


def test_for_a_removed_sub_account_it_never_runs(cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    result = note_contact.apply(args=["Vera"], kwargs={"sub_account_id": str(cast.acme.public_id)})
    assert isinstance(result.result, WorkspaceGone)
    assert ran == []


def test_without_a_database_it_never_runs(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    public_id = str(cast.acme.public_id)

    def down() -> None:
        raise OperationalError("the connection is closed")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "ensure_connection", down)
        patched.setattr(connection, "_cursor", lambda name=None: down())
        result = note_contact.apply(args=["Vera"], kwargs={"sub_account_id": public_id})
    assert isinstance(result.result, OperationalError)
    assert ran == []


def test_a_task_that_forgot_its_workspace_fails(cast: Cast) -> None:
    result = forgetful.apply()
    assert isinstance(result.result, ProgrammingError)


def test_a_failing_body_leaves_the_worker_in_public(cast: Cast) -> None:
    result = note_contact.apply(args=["x" * 500], kwargs={"sub_account_id": str(cast.acme.public_id)})
    assert result.failed()
    assert connection.schema_name == "public"
