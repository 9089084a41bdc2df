"""The server is always in the schema the code believes it is in, or the statement does not run."""

import threading
from collections.abc import Iterator
from typing import Any, Self

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction
from django.db.utils import InterfaceError

from subaccounts.models import SubAccount
from subaccounts.postgresql import base
from subaccounts.tenancy import enter
from tests.tenancy.conftest import Pair, whose_contacts
from workspace.models import Contact


def where_the_server_is() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('search_path')")
        return str(cursor.fetchone()[0])


class Counted:
    """Statements that reached the server on the current connection."""

    def __enter__(self) -> Self:
        self.sent: list[bytes] = []
        self.original = psycopg.Cursor._start_query
        counted = self

        def start(cursor: Any, query: Any = None) -> Any:
            if query is not None:
                counted.sent.append(query.query if hasattr(query, "query") else bytes(str(query), "utf8"))
            return counted.original(cursor, query)

        psycopg.Cursor._start_query = start  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        psycopg.Cursor._start_query = self.original  # type: ignore[method-assign]


def cursor_set(path: str) -> None:
    """A SET behind the wrapper's back."""
    psycopg.Cursor(connection.connection).execute(f"SET search_path = {path}".encode())


def test_a_set_is_sent_once_for_many_statements(pair: Pair) -> None:
    whose_contacts_before = where_the_server_is()
    with Counted() as counted, enter(pair.one):
        for _ in range(5):
            whose_contacts()
    assert whose_contacts_before == "public"
    assert len([sent for sent in counted.sent if b"SET search_path" in sent]) == 1
    assert len(counted.sent) == 6


def test_entering_by_itself_sends_nothing(pair: Pair) -> None:
    connection.ensure_connection()
    with Counted() as counted, enter(pair.one), enter(pair.one):
        pass
    assert counted.sent == []


def test_a_raw_set_is_noticed(pair: Pair) -> None:
    with enter(pair.one):
        whose_contacts()
        cursor_set(pair.other.schema_name)
        assert whose_contacts() == {pair.one.schema_name}
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path = {pair.other.schema_name}")
            cursor.execute("SELECT name FROM workspace_contact")
            assert cursor.fetchall() == [(pair.one.schema_name,)]


def test_a_cursor_kept_across_a_border_follows(pair: Pair) -> None:
    with connection.cursor() as kept:
        for sub_account in [*pair, *pair]:
            with enter(sub_account):
                kept.execute("SELECT name FROM workspace_contact")
                assert kept.fetchall() == [(sub_account.schema_name,)]
        with pytest.raises(ProgrammingError):
            kept.execute("SELECT name FROM workspace_contact")


def test_a_raw_psycopg_cursor_follows(pair: Pair) -> None:
    connection.ensure_connection()
    for sub_account in [*pair, *pair]:
        with enter(sub_account), connection.connection.cursor() as raw:
            assert raw.execute("SELECT name FROM workspace_contact").fetchall() == [(sub_account.schema_name,)]
            with raw.copy("COPY workspace_contact (name) TO STDOUT") as copied:
                assert list(copied.rows()) == [(sub_account.schema_name,)]
            assert list(raw.stream("SELECT name FROM workspace_contact")) == [(sub_account.schema_name,)]


def test_a_server_side_cursor_reads_its_own_workspace(pair: Pair) -> None:
    with enter(pair.one):
        names = Contact.objects.values_list("name", flat=True).iterator(chunk_size=1)
        assert list(names) == [pair.one.schema_name]
    with enter(pair.other):
        assert list(Contact.objects.values_list("name", flat=True).iterator(chunk_size=1)) == [pair.other.schema_name]


def test_a_rollback_that_undid_the_set_is_noticed(pair: Pair) -> None:
    with enter(pair.one):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            whose_contacts()
            raise ZeroDivisionError
        assert whose_contacts() == {pair.one.schema_name}


def test_a_savepoint_rollback_that_undid_the_set_is_noticed(pair: Pair) -> None:
    with transaction.atomic():
        with enter(pair.one):
            whose_contacts()
        with pytest.raises(ZeroDivisionError), transaction.atomic(), enter(pair.other):
            whose_contacts()
            raise ZeroDivisionError
        with enter(pair.other):
            assert whose_contacts() == {pair.other.schema_name}
        with enter(pair.one):
            assert whose_contacts() == {pair.one.schema_name}


def test_a_failed_statement_leaves_the_next_transaction_at_home(pair: Pair) -> None:
    for sub_account in [*pair, *pair]:
        with enter(sub_account):
            with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")
            assert whose_contacts() == {sub_account.schema_name}


def test_a_refused_set_raises_and_drops_the_connection(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with enter(pair.one):
        whose_contacts()
    dropped = connection.connection
    refuse_sets(monkeypatch)
    with enter(pair.other), pytest.raises(OperationalError, match="refusing to run"):
        whose_contacts()
    monkeypatch.undo()
    assert dropped.closed
    assert connection.connection is None
    with enter(pair.other):
        assert whose_contacts() == {pair.other.schema_name}


def test_a_refused_set_inside_a_transaction_ends_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        with enter(pair.one):
            whose_contacts()
        refuse_sets(monkeypatch)
        with enter(pair.other):
            with pytest.raises(OperationalError, match="refusing to run"):
                whose_contacts()
            monkeypatch.undo()
            with pytest.raises((OperationalError, InterfaceError)):
                whose_contacts()
            raise OperationalError
    connection.close()
    with enter(pair.one):
        assert whose_contacts() == {pair.one.schema_name}


def refuse_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cancel request that hits the SET does it."""

    class Refusing(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    monkeypatch.setattr(base.psycopg, "Cursor", Refusing)


def test_a_server_that_does_not_report_is_told_before_every_statement(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "reported_path", lambda raw: None)
    with Counted() as counted, enter(pair.one):
        assert whose_contacts() == {pair.one.schema_name}
        cursor_set(pair.other.schema_name)
        assert whose_contacts() == {pair.one.schema_name}
    assert len([sent for sent in counted.sent if b"SET search_path" in sent]) == 3


@pytest.mark.parametrize(
    ("reported", "names"),
    [
        (b"public", ("public",)),
        (b"t_0123456789abcdef, public", ("t_0123456789abcdef", "public")),
        (b'"$user", public', ("$user", "public")),
        (b'"a ""quoted"", name", "user"', ('a "quoted", name', "user")),
        (b'""', ("",)),
        (b"", ()),
    ],
)
def test_the_servers_own_spelling_is_understood(reported: bytes, names: tuple[str, ...]) -> None:
    assert base.names_in(reported) == names


def test_a_thread_starts_in_public(pair: Pair) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(connection.schema_name)
        try:
            whose_contacts()
        except ProgrammingError as error:
            seen.append(error)
        connection.close()

    with enter(pair.one):
        whose_contacts()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen[0] == "public"
    assert isinstance(seen[1], ProgrammingError)


@pytest.fixture
def pooled(pair: Pair) -> Iterator[None]:
    """The default database behind psycopg's pool, with one connection for everybody."""
    connections.close_all()
    options = connections.settings["default"]["OPTIONS"]
    before = dict(options)
    options["pool"] = {"min_size": 1, "max_size": 1, "timeout": 10}
    yield
    connection.close_pool()
    connections.close_all()
    options.clear()
    options.update(before)


def in_thread(work: Any) -> Any:
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0]


def test_two_workspaces_take_turns_on_one_pooled_connection(pooled: None, pair: Pair) -> None:
    def visit(sub_account: Any) -> tuple[int, set[str]]:
        with enter(sub_account):
            names = whose_contacts()
            return connection.connection.info.backend_pid, names

    visits = [(sub_account, in_thread(lambda s=sub_account: visit(s))) for sub_account in [*pair] * 10]
    assert len({pid for _, (pid, _) in visits}) == 1
    assert all(names == {sub_account.schema_name} for sub_account, (_, names) in visits)


def test_a_pooled_connection_with_a_refused_set_does_not_come_back(pooled: None, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def pid() -> int:
        connection.ensure_connection()
        return int(connection.connection.info.backend_pid)

    def refused() -> bool:
        with enter(pair.one), pytest.raises(OperationalError, match="refusing to run"):
            whose_contacts()
        return True

    first = in_thread(pid)
    refuse_sets(monkeypatch)
    assert in_thread(refused)
    monkeypatch.undo()
    assert in_thread(pid) != first


@pytest.mark.parametrize("with_pool", [False, True])
def test_a_connection_ends_after_too_many_workspaces(
    request: pytest.FixtureRequest, pair: Pair, monkeypatch: pytest.MonkeyPatch, with_pool: bool
) -> None:
    if with_pool:
        request.getfixturevalue("pooled")
    monkeypatch.setattr(base, "MAX_SCHEMAS_PER_CONNECTION", 2)

    def visit_both() -> int:
        for sub_account in pair:
            with enter(sub_account):
                whose_contacts()
        connection.ensure_connection()
        return int(connection.connection.info.backend_pid)

    assert in_thread(visit_both) != in_thread(visit_both)


def test_a_worn_connection_is_kept_while_somebody_reads_or_writes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_SCHEMAS_PER_CONNECTION", 1)
    connection.ensure_connection()
    with transaction.atomic():
        pid = connection.connection.info.backend_pid
        for sub_account in [*pair, *pair]:
            with enter(sub_account):
                assert whose_contacts() == {sub_account.schema_name}
        assert connection.connection.info.backend_pid == pid


def test_a_worn_connection_is_kept_while_a_server_side_cursor_is_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_SCHEMAS_PER_CONNECTION", 1)
    seen = []
    for sub_account in SubAccount.objects.filter(pk__in=[row.pk for row in pair]).order_by("id").iterator(chunk_size=1):
        with enter(sub_account):
            seen.append(whose_contacts())
    assert seen == [{pair.one.schema_name}, {pair.other.schema_name}]
    pid = connection.connection.info.backend_pid
    with enter(pair.one):
        whose_contacts()
        assert connection.connection.info.backend_pid != pid
