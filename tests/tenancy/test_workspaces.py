"""Being in a workspace, and what happens when there is less of it than there should be."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction

from subaccounts.models import SubAccount
from subaccounts.tenancy import NestedWorkspace, NotAWorkspace, enter
from tests.tenancy.conftest import Pair, whose_contacts
from workspace.models import Contact


def test_no_table_stands_both_in_public_and_in_a_workspace(pair: Pair) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, array_agg(table_name::text) FROM information_schema.tables WHERE table_schema IN ('public', %s) GROUP BY 1",
            [pair.one.schema_name],
        )
        tables = {schema: set(names) for schema, names in cursor.fetchall()}
    assert tables["public"] & tables[pair.one.schema_name] == {"django_migrations"}
    assert "workspace_contact" in tables[pair.one.schema_name]


def test_leaving_returns_to_where_one_was_whatever_happened(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError), enter(pair.one):
        with enter(pair.one):
            pass
        assert connection.schema_name == pair.one.schema_name
        raise ZeroDivisionError
    assert connection.schema_name == "public"


def test_entering_another_workspace_from_inside_one_is_refused(pair: Pair) -> None:
    with enter(pair.one):
        with pytest.raises(NestedWorkspace), enter(pair.other):
            pass
        assert whose_contacts() == {pair.one.schema_name}


@pytest.mark.parametrize("name", ["public", "pg_catalog", "acme", 'x"; DROP TABLE y; --', "t_0123456789abcdeg", "", "../../etc"])
def test_only_generated_names_are_entered(name: str) -> None:
    with pytest.raises(NotAWorkspace), enter(SubAccount(schema_name=name)):
        pass


def test_with_sub_account_is_refused(pair: Pair) -> None:
    with pytest.raises(TypeError, match=r"tenancy\.enter"):
        pair.one.__enter__()


def test_a_missing_schema_fails_closed(db: None) -> None:
    with enter(SubAccount(schema_name="t_ffffffffffffffff")):
        for attempt in everything_one_can_do_with(Contact):
            with pytest.raises(ProgrammingError), transaction.atomic():
                attempt()


def test_a_half_built_schema_fails_closed(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA t_eeeeeeeeeeeeeeee CREATE TABLE workspace_chatbot (id bigint)")
    with enter(SubAccount(schema_name="t_eeeeeeeeeeeeeeee")):
        for attempt in everything_one_can_do_with(Contact):
            with pytest.raises(ProgrammingError), transaction.atomic():
                attempt()


def everything_one_can_do_with(model: Any) -> list[Any]:
    return [
        lambda: list(model.objects.all()),
        lambda: model.objects.create(),
        lambda: model.objects.update(name="taken over"),
        lambda: model.objects.all().delete(),
    ]


def test_threads_and_failing_transactions_never_mix_two_workspaces(pair: Pair) -> None:
    wrong: list[str] = []

    def work(number: int) -> int:
        reads = 0
        try:
            for turn in range(40):
                sub_account = [*pair][(number + turn) % 2]
                with enter(sub_account):
                    reads += look_and_fail(sub_account, turn, wrong)
        finally:
            connection.close()
        return reads

    with ThreadPoolExecutor(8) as threads:
        reads = sum(threads.map(work, range(8)))
    assert reads == 8 * 40 * 2
    assert wrong == []


def look_and_fail(sub_account: SubAccount, turn: int, wrong: list[str]) -> int:
    for fails in (turn % 3 == 0, False):
        try:
            with transaction.atomic():
                wrong.extend(whose_contacts() - {sub_account.schema_name})
                if fails:
                    Contact.objects.raw("SELECT * FROM nowhere")[0]
        except ProgrammingError:
            assert fails
    return 2


def test_rows_do_not_cross_with_an_object_saved_elsewhere(pair: Pair) -> None:
    with transaction.atomic():
        with enter(pair.one):
            contact = Contact.objects.get()
        with enter(pair.other):
            assert Contact.objects.filter(public_id=contact.public_id).count() == 0
        transaction.set_rollback(True)


def test_a_bystander_signs_in_while_workspaces_open_and_drop_beside_an_open_writer(pair: Pair) -> None:
    """With a foreign key to the users' table, opening a workspace waits for the writer, and everybody waits for the opening."""
    from agency.models import User
    from subaccounts import provisioning, template

    state = SimpleNamespace(waits=[], stop=threading.Event())
    user = User.objects.order_by("id").first()

    def bystander() -> None:
        import time

        try:
            while not state.stop.is_set():
                began = time.perf_counter()
                User.objects.filter(pk=user.pk).update(last_login=user.last_login)
                state.waits.append(time.perf_counter() - began)
        finally:
            connection.close()

    other = User.objects.order_by("id").last()
    thread = threading.Thread(target=bystander)
    with transaction.atomic():
        User.objects.filter(pk=other.pk).update(last_login=other.last_login)
        thread.start()

        def open_and_drop() -> None:
            try:
                for _ in range(5):
                    with transaction.atomic():
                        schema, _ = provisioning.take_workspace()
                    template.drop(schema)
            finally:
                connection.close()

        worker = threading.Thread(target=open_and_drop)
        worker.start()
        worker.join(20)
        assert not worker.is_alive()
        state.stop.set()
        thread.join(20)
    assert len(state.waits) > 5
    assert max(state.waits) < 1
