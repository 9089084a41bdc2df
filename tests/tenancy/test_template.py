"""The statements rebuild what the migrations made, whatever a migration may use."""

import hashlib

import pytest
from django.db import OperationalError, connection, transaction

from config import health
from subaccounts import catalogue, template
from subaccounts.models import WorkspaceTemplate
from subaccounts.tenancy import new_schema_name

WITH_EVERYTHING = """
CREATE SCHEMA {name};
CREATE SEQUENCE {name}.tickets START WITH 7 INCREMENT BY 3 CYCLE MAXVALUE 1000;
CREATE FUNCTION {name}.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$;
CREATE FUNCTION {name}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append only'; END $$;
CREATE TABLE {name}.parent (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    renamed_away integer,
    code varchar(20) COLLATE "C" NOT NULL DEFAULT 'it''s',
    loud text GENERATED ALWAYS AS ({name}.shout(code)) STORED,
    tags text[] DEFAULT '{{}}',
    amount numeric(12, 2) CHECK (amount >= 0),
    ticket bigint DEFAULT nextval('{name}.tickets'),
    period tstzrange,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    UNIQUE (code, amount) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT "Odd Name" UNIQUE NULLS NOT DISTINCT (ticket),
    CONSTRAINT no_overlap EXCLUDE USING gist (period WITH &&)
) WITH (fillfactor = 70);
ALTER TABLE {name}.parent DROP COLUMN renamed_away;
ALTER TABLE {name}.parent RENAME COLUMN amount TO price;
CREATE TABLE {name}.child (
    id bigserial PRIMARY KEY,
    parent_id bigint NOT NULL REFERENCES {name}.parent (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    up_id bigint REFERENCES {name}.child (id),
    "Note" text
);
CREATE INDEX partial ON {name}.parent (created_at DESC NULLS LAST) WHERE price > 10;
CREATE UNIQUE INDEX expression ON {name}.parent (lower(code)) INCLUDE (ticket);
CREATE INDEX similar_text ON {name}.parent USING gin (upper(code) gin_trgm_ops) WITH (fastupdate = off);
CREATE TRIGGER append_only BEFORE UPDATE ON {name}.child FOR EACH ROW EXECUTE FUNCTION {name}.refuse();
CREATE VIEW {name}.expensive AS SELECT id, code FROM {name}.parent WHERE price > 100;
COMMENT ON TABLE {name}.child IS 'somebody''s child';
COMMENT ON COLUMN {name}.child."Note" IS 'free text';
ALTER TABLE {name}.child ADD CONSTRAINT not_checked_yet CHECK (id > 0) NOT VALID;
INSERT INTO {name}.parent (code, price, tags) VALUES ('first', 1.5, '{{a,"b c",NULL}}'), (E'back\\\\slash', NULL, NULL);
INSERT INTO {name}.child (parent_id, "Note") VALUES (1, 'line' || chr(10) || 'break');
"""


@pytest.fixture
def schema(db: None) -> str:
    name = new_schema_name()
    with connection.cursor() as cursor:
        cursor.execute(WITH_EVERYTHING.format(name=name))
    return name


def rebuilt(statements: list[str]) -> str:
    name = new_schema_name()
    template.execute(WorkspaceTemplate(statements=statements), name)
    return name


def test_statements_rebuild_everything_postgresql_keeps(schema: str) -> None:
    statements = catalogue.statements(schema)
    copy = rebuilt(statements)
    assert catalogue.difference(schema, copy) == ""
    assert catalogue.digest(schema) == catalogue.digest(copy) != ""
    assert catalogue.statements(copy) == statements


def test_seed_rows_and_sequences_come_along(schema: str) -> None:
    copy = rebuilt(catalogue.statements(schema))
    with connection.cursor() as cursor:
        rows = []
        for name in (schema, copy):
            cursor.execute(f"INSERT INTO {name}.parent (code) VALUES ('next')")
            cursor.execute(
                "SELECT p.id, code, loud, tags, price, ticket, c.id, "
                f'"Note" FROM {name}.parent p LEFT JOIN {name}.child c ON c.parent_id = p.id ORDER BY p.id'
            )
            rows.append(cursor.fetchall())
    assert len(rows[0]) == 3
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE {name}.child ALTER COLUMN up_id SET NOT NULL",
        "ALTER TABLE {name}.parent ALTER COLUMN code DROP DEFAULT",
        "ALTER TABLE {name}.parent ALTER COLUMN code SET STORAGE EXTERNAL",
        "ALTER TABLE {name}.parent SET (fillfactor = 71)",
        "ALTER TABLE {name}.parent ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {name}.child DISABLE TRIGGER append_only",
        "ALTER SEQUENCE {name}.tickets INCREMENT BY 4",
        "ALTER INDEX {name}.partial RENAME TO partially",
        "CREATE TYPE {name}.mood AS ENUM ('good')",
        "CREATE STATISTICS {name}.together ON code, price FROM {name}.parent",
        "COMMENT ON TABLE {name}.child IS 'other'",
        "CREATE OR REPLACE FUNCTION {name}.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1) $$",
    ],
)
def test_the_digest_sees_every_change(schema: str, change: str) -> None:
    before = catalogue.digest(schema)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"DELETE FROM {schema}.child")
        cursor.execute(change.format(name=schema))
    assert catalogue.digest(schema) != before


def test_what_the_statements_cannot_express_is_not_kept(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    really = template.migrate

    def migrate(schema: str) -> None:
        really(schema)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {schema}.workspace_contact ENABLE ROW LEVEL SECURITY")

    monkeypatch.setattr(template, "migrate", migrate)
    monkeypatch.setattr(template, "current_fingerprint", lambda: "b" * 64)
    with pytest.raises(template.TemplateDiffers, match="workspace_contact"):
        template.build()
    assert not WorkspaceTemplate.objects.filter(fingerprint="b" * 64).exists()


def test_a_workspace_by_script_equals_one_by_migrations(transactional_db: None, scratch_schema: str) -> None:
    migrated = new_schema_name()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {migrated}")
    try:
        template.migrate(migrated)
        assert catalogue.difference(migrated, scratch_schema) == ""
        assert catalogue.digests([migrated, scratch_schema]) == dict.fromkeys([migrated, scratch_schema], template.current().digest)
    finally:
        template.drop(migrated)


def test_every_foreign_key_is_a_statement_of_its_own(db: None) -> None:
    for statement in template.current().statements:
        assert statement.count("FOREIGN KEY") <= 1
        assert "FOREIGN KEY" not in statement or statement.startswith("ALTER TABLE")


def test_the_fingerprint_follows_names_and_contents_of_the_workspace_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template.current_fingerprint.__wrapped__()
    files = list(template._migration_files("workspace"))
    assert before == template.current_fingerprint.__wrapped__()
    assert len(before) == hashlib.sha256().digest_size * 2

    def with_files(changed: list[tuple[str, bytes]]) -> str:
        monkeypatch.setattr(template, "_migration_files", lambda label: iter(changed))
        return template.current_fingerprint.__wrapped__()

    assert with_files(files) == before
    assert with_files([*files, ("0002_more", b"")]) != before
    assert with_files([(files[0][0], files[0][1] + b"\n"), *files[1:]]) != before


def test_a_migration_of_rows_may_be_followed_by_one_of_their_table(schema: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {schema}.child (parent_id) VALUES (1)")
        with pytest.raises(OperationalError, match="pending trigger events"), transaction.atomic():
            cursor.execute(f"ALTER TABLE {schema}.child ADD COLUMN later integer")
        template._settle("apply_success")
        cursor.execute(f"ALTER TABLE {schema}.child ADD COLUMN later integer")


def test_without_a_template_nothing_is_opened(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "current_fingerprint", lambda: "c" * 64)
    with transaction.atomic(), pytest.raises(template.TemplateMissing, match=r"manage\.py migrate"):
        template.current()


def test_a_process_without_its_template_is_not_ready(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_applied", set())
    with monkeypatch.context() as patched:
        patched.setattr(template, "current_fingerprint", lambda: "c" * 64)
        assert not health.migrations_applied()
    assert health.migrations_applied()
