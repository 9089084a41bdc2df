"""django-tenants' PostgreSQL backend, made to fail closed.

Before every statement the schemas a connection should work in are compared with what the server itself reports
(PostgreSQL 18 reports `search_path` after each change), so a `SET` is sent only when it is needed, and a rollback, a raw
`SET` or a pooled connection that came back from somebody else is noticed. A refused `SET` closes the connection and
raises: django-tenants swallows it and would run the statement in the schema of whoever came before.

A server older than 18 does not report it; there a `SET` goes before every statement.
"""

import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from django.db.backends.postgresql.base import Cursor, ServerBindingCursor
from django.db.utils import OperationalError
from django_tenants.postgresql_backend import base
from psycopg.pq import TransactionStatus

from subaccounts.postgresql.introspection import WorkspaceIntrospection

PUBLIC = "public"

# PostgreSQL keeps about a quarter of a megabyte for every schema a connection has touched and never gives it back.
MAX_SCHEMAS_PER_CONNECTION = 200


@lru_cache(maxsize=4096)
def names_in(search_path: bytes) -> tuple[str, ...]:
    """The schemas in a `search_path` as the server writes it: comma-separated, quoted where SQL needs it."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', search_path.decode())
    return tuple(plain or quoted.replace('""', '"') for quoted, plain in found)


def reported_path(connection: Any) -> bytes | None:
    """The `search_path` the server reported last; None when it does not report it (before PostgreSQL 18)."""
    reported: bytes | None = connection.pgconn.parameter_status(b"search_path")
    return reported


class _Guarded:
    """A psycopg cursor that asks its wrapper for the right schema before each statement, raw cursors included."""

    connection: Any

    def _guard(self) -> None:
        wrapper = getattr(self.connection, "wrapper", None)
        if wrapper is not None and (guard := wrapper()) is not None:
            guard.stand_in_the_right_schema()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        self._guard()
        return super().execute(*args, **kwargs)  # type: ignore[misc]

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        self._guard()
        return super().executemany(*args, **kwargs)  # type: ignore[misc]

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        self._guard()
        return super().copy(*args, **kwargs)  # type: ignore[misc]

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        self._guard()
        return super().stream(*args, **kwargs)  # type: ignore[misc]


class GuardedCursor(_Guarded, Cursor):
    pass


class GuardedServerBindingCursor(_Guarded, ServerBindingCursor):
    pass


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._path: tuple[str, ...] = (PUBLIC,)
        self._reading: weakref.WeakSet[Any] = weakref.WeakSet()
        super().__init__(*args, **kwargs)
        self.introspection = WorkspaceIntrospection(self)

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        """Work in the schema of `tenant` from the next statement on; sends nothing by itself."""
        # Without django-tenants' clearing of the content type cache: no content types live in workspaces.
        self.tenant = tenant
        self.schema_name = tenant.schema_name
        self.include_public_schema = include_public
        self.set_settings_schema(self.schema_name)
        self._path = tuple(self._get_cursor_search_paths())
        self._retire()

    @contextmanager
    def looking_at(self, *schemas: str) -> Iterator[None]:
        """Run the block with exactly these schemas in the search path: for catalogue work, never for a person's request."""
        before = self._path
        self._path = schemas
        try:
            yield
        finally:
            self._path = before

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        binds_on_server = self.settings_dict["OPTIONS"].get("server_side_binding") is True
        params["cursor_factory"] = GuardedServerBindingCursor if binds_on_server else GuardedCursor
        params["options"] = f"{params.get('options', '')} -c search_path={PUBLIC}".strip()
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        # Weak, or a thread that ends would leave its connection open until the garbage collector comes by.
        connection.wrapper = weakref.ref(self)
        if not hasattr(connection, "touched"):
            connection.touched = set()
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name=name)
        if name:
            self._reading.add(cursor)
        return cursor

    def stand_in_the_right_schema(self) -> None:
        """Make the server agree with `_path`, or close the connection and raise `OperationalError`."""
        connection: Any = self.connection
        if connection is None or connection.info.transaction_status == TransactionStatus.INERROR:
            return  # PostgreSQL itself refuses every statement until the rollback
        reported = reported_path(connection)
        if reported is not None and names_in(reported) == self._path:
            return
        try:
            # A plain cursor: the guarded one would ask again.
            with psycopg.Cursor(connection) as setter:
                setter.execute(("SET search_path = " + ", ".join(f'"{name}"' for name in self._path)).encode())
        except psycopg.Error as refused:
            connection.close()
            self.close()
            raise OperationalError("search_path could not be set: refusing to run") from refused
        connection.touched.add(self._path[0])

    def _handle_search_path(self, cursor: Any = None) -> None:
        # An ordinary cursor asks before each statement; a server-side one is of another class, so it is asked for here.
        if cursor is None:
            self.stand_in_the_right_schema()

    def _close(self) -> Any:
        connection: Any = self.connection
        if connection is not None:
            connection.wrapper = None
            if self._is_worn:
                connection.close()
        return super()._close()

    @property
    def _is_worn(self) -> bool:
        return len(self.connection.touched) >= MAX_SCHEMAS_PER_CONNECTION

    def _retire(self) -> None:
        """Close a connection that has touched too many workspaces, at a moment when nobody is in the middle of anything."""
        if self.connection is None or self.in_atomic_block or not self._is_worn:
            return
        if not any(not cursor.closed for cursor in self._reading) and self.get_autocommit():
            self.close()
