"""Introspection that sees one schema: what Django finds in a workspace must not include public's tables."""

from typing import Any

from django.db.backends.postgresql.introspection import DatabaseIntrospection


class WorkspaceIntrospection(DatabaseIntrospection):
    connection: Any

    def get_table_list(self, cursor: Any) -> Any:
        with self.connection.looking_at(self.connection.schema_name):
            return super().get_table_list(cursor)

    def get_table_description(self, cursor: Any, table_name: str) -> Any:
        with self.connection.looking_at(self.connection.schema_name):
            return super().get_table_description(cursor, table_name)

    def get_sequences(self, cursor: Any, table_name: str, table_fields: Any = ()) -> Any:
        with self.connection.looking_at(self.connection.schema_name):
            return super().get_sequences(cursor, table_name, table_fields)

    def get_relations(self, cursor: Any, table_name: str) -> Any:
        with self.connection.looking_at(self.connection.schema_name):
            return super().get_relations(cursor, table_name)

    def get_constraints(self, cursor: Any, table_name: str) -> Any:
        with self.connection.looking_at(self.connection.schema_name):
            return super().get_constraints(cursor, table_name)
