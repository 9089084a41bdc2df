"""django-tenants' PostgreSQL backend, made to fail closed.

The schema a connection works in is compared with what the server itself reports (PostgreSQL 18 reports `search_path`
after every change), so a `SET` is sent only when it is needed, and a rollback that undid one is noticed. A refused
`SET` drops the connection: django-tenants swallows it and would run the next query in the schema of whoever came before.
"""

from typing import Any

from django.db.utils import OperationalError
from django_tenants.postgresql_backend import base
from psycopg.pq import TransactionStatus

# PostgreSQL keeps about a quarter of a megabyte for every schema a connection has touched and never gives it back.
MAX_SCHEMAS_PER_CONNECTION = 200


class DatabaseWrapper(base.DatabaseWrapper):
    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        # Without django-tenants' clearing of the content type cache: no content types live in workspaces.
        self.tenant = tenant
        self.schema_name = tenant.schema_name
        self.include_public_schema = include_public
        self.set_settings_schema(self.schema_name)
        self.search_path_set_schemas = None

    def _handle_search_path(self, cursor: Any = None) -> None:
        if self._setting_search_path or self.connection is None:
            return
        wanted = ", ".join(self._get_cursor_search_paths())
        connection = self.connection
        reported = connection.pgconn.parameter_status(b"search_path")
        if reported is not None and reported.decode() == wanted:
            return
        status = connection.info.transaction_status
        if status == TransactionStatus.INERROR:
            return  # PostgreSQL refuses every statement until the rollback
        self._setting_search_path = True
        try:
            with connection.cursor() as setter:
                setter.execute(f"SET search_path = {wanted}".encode())
        except Exception as refused:
            self._setting_search_path = False
            self.close()
            if self.connection is not None:
                self.connection.close()
            raise OperationalError("search_path could not be set: refusing to run") from refused
        finally:
            self._setting_search_path = False
