"""What stands in one schema, read from PostgreSQL's catalogue: as statements that rebuild it, and as a digest.

Both read with nothing but `pg_catalog` in the search path, so that PostgreSQL writes every name with its schema and the
schema's own name can be replaced by `STAND_IN` (it is 64 random bits, nothing else contains it). The digest is taken from
more than the statements can express (storage, policies, comments, statistics …), so a migration that uses something they
leave out is noticed when the template is built.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import connection

STAND_IN = "{{workspace}}"


def statements(schema: str) -> list[str]:
    """Single statements that build the schema with its seed rows; every foreign key is an ALTER of its own."""
    with connection.looking_at("pg_catalog"):
        tables = _tables(schema)
        found = [
            f"CREATE SCHEMA {schema}",
            "SET LOCAL check_function_bodies = off",
            *_column(_FUNCTIONS, schema),
            *_column(_SEQUENCES, schema),
            *tables.values(),
            *_column(_OWNERSHIPS, schema),
            *_seeds(schema, list(tables)),
            *_column(_SEQUENCE_POSITIONS, schema),
            *_column(_INDEXES, schema),
            *_column(_LATER_CONSTRAINTS, schema),
            *_column(_VIEWS, schema),
            *_column(_TRIGGERS, schema),
            *_column(_COMMENTS, schema),
        ]
    return [statement.replace(schema, STAND_IN) for statement in found]


def digest(schema: str) -> str:
    """sha256 of the catalogue of one schema, the same for two schemas that differ only in their name."""
    return digests([schema]).get(schema, "")


def digests(schemas: Sequence[str]) -> dict[str, str]:
    """The digests of many schemas in one query; one that does not exist is left out."""
    return dict(
        _rows(
            f"""
            SELECT nspname, encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex')
            FROM ({_LINES}) AS lines GROUP BY nspname
            """,
            list(schemas),
        )
    )


def difference(one: str, other: str) -> str:
    """The catalogue lines that only one of two schemas has, for the person who must find out why."""
    lines: dict[str, set[str]] = defaultdict(set)
    for schema, line in _rows(_LINES, [one, other]):
        lines[schema].add(line)
    only_one, only_other = sorted(lines[one] - lines[other]), sorted(lines[other] - lines[one])
    return "\n".join([*(f"- {line}" for line in only_one), *(f"+ {line}" for line in only_other)])


def _rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.looking_at("pg_catalog"), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _column(sql: str, schema: str) -> list[str]:
    return [row[0] for row in _rows(sql, schema)]


def _tables(schema: str) -> dict[str, str]:
    inside: dict[str, list[str]] = defaultdict(list)
    heads: dict[str, tuple[str, str]] = {}
    for table, before, after in _rows(_TABLES, schema):
        heads[table] = (before, after)
    for table, line in [*_rows(_COLUMNS, schema), *_rows(_TABLE_CONSTRAINTS, schema)]:
        inside[table].append(line)
    return {table: f"{before} (\n  " + ",\n  ".join(inside[table]) + f"\n){after}" for table, (before, after) in heads.items()}


def _seeds(schema: str, tables: list[str]) -> list[str]:
    found = []
    for table in tables:
        columns = [row[0] for row in _rows(_INSERTABLE, schema, table)]
        name = f"{schema}.{connection.ops.quote_name(table)}"
        values = " || ', ' || ".join(f"quote_nullable({column}::text)" for column in columns)
        rows = _rows(f"SELECT '(' || {values} || ')' FROM {name} ORDER BY ctid") if columns else []
        if rows:
            found.append(f"INSERT INTO {name} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES\n" + ",\n".join(row[0] for row in rows))
    return found


_FUNCTIONS = """
SELECT pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = %s::regnamespace AND p.prokind IN ('f', 'p') ORDER BY p.oid
"""

_SEQUENCES = """
SELECT format('CREATE SEQUENCE %%s AS %%s START WITH %%s INCREMENT BY %%s MINVALUE %%s MAXVALUE %%s CACHE %%s%%s',
              s.seqrelid::regclass, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
              CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END)
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
WHERE c.relnamespace = %s::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i')
ORDER BY c.relname
"""

_OWNERSHIPS = """
SELECT format('ALTER SEQUENCE %%s OWNED BY %%s.%%I', c.oid::regclass, d.refobjid::regclass, a.attname)
FROM pg_class c
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a' AND d.refobjsubid > 0
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND c.relnamespace = %s::regnamespace ORDER BY c.relname
"""

_SEQUENCE_POSITIONS = """
SELECT format('SELECT setval(%%L, %%s, true)', quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value)
FROM pg_sequences WHERE schemaname = %s AND last_value IS NOT NULL ORDER BY sequencename
"""

_TABLES = """
SELECT c.relname,
       format('CREATE %%sTABLE %%s', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, c.oid::regclass),
       coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = %s::regnamespace ORDER BY c.relname COLLATE "C"
"""

_COLUMNS = """
SELECT c.relname, concat_ws(' ',
    quote_ident(a.attname),
    format_type(a.atttypid, a.atttypmod),
    'COLLATE ' || CASE WHEN a.attcollation <> t.typcollation THEN
        (SELECT quote_ident(n.nspname) || '.' || quote_ident(o.collname)
         FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE o.oid = a.attcollation) END,
    CASE WHEN a.attgenerated = 's' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
         WHEN a.attgenerated = 'v' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
         ELSE 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END,
    'CONSTRAINT ' || (SELECT quote_ident(k.conname) FROM pg_constraint k
                      WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]),
    CASE WHEN a.attnotnull THEN 'NOT NULL' END,
    CASE WHEN a.attidentity <> '' THEN (
        SELECT format('GENERATED %%s AS IDENTITY (SEQUENCE NAME %%s START WITH %%s INCREMENT BY %%s MINVALUE %%s MAXVALUE %%s CACHE %%s%%s)',
                      CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, s.seqrelid::regclass,
                      s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END)
        FROM pg_depend i JOIN pg_sequence s ON s.seqrelid = i.objid
        WHERE i.classid = 'pg_class'::regclass AND i.deptype = 'i' AND i.refobjid = c.oid AND i.refobjsubid = a.attnum) END)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = %s::regnamespace ORDER BY c.relname, a.attnum
"""

_TABLE_CONSTRAINTS = """
SELECT c.relname, format('CONSTRAINT %%I %%s', k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = %s::regnamespace AND k.contype IN ('p', 'u', 'x', 'c') AND k.convalidated ORDER BY c.relname, k.contype, k.conname
"""

_LATER_CONSTRAINTS = """
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = %s::regnamespace AND (k.contype = 'f' OR (k.contype = 'c' AND NOT k.convalidated))
  AND k.conparentid = 0 ORDER BY c.relname, k.conname
"""

_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = %s::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY c.relname
"""

_VIEWS = """
SELECT format('CREATE VIEW %%s AS %%s', c.oid::regclass, rtrim(pg_get_viewdef(c.oid), ';'))
FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = %s::regnamespace ORDER BY c.oid
"""

_TRIGGERS = """
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = %s::regnamespace AND NOT t.tgisinternal ORDER BY c.relname, t.tgname
"""

_COMMENTS = """
SELECT CASE WHEN d.objsubid = 0 THEN format('COMMENT ON TABLE %%s IS %%L', c.oid::regclass, d.description)
            ELSE format('COMMENT ON COLUMN %%s.%%I IS %%L', c.oid::regclass, a.attname, d.description) END
FROM pg_description d JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid
WHERE c.relkind = 'r' AND c.relnamespace = %s::regnamespace ORDER BY c.relname, d.objsubid
"""

_INSERTABLE = """
SELECT quote_ident(a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = %s::regnamespace AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""

_LINES = """
WITH wanted AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY(%s))
SELECT found.nspname, replace(found.line, found.nspname, '{{workspace}}') AS line FROM (
  SELECT n.nspname, concat_ws('|', 'schema', n.nspname) AS line FROM wanted n
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'relation', c.relname, c.relkind, c.relpersistence, c.reloptions::text, c.relrowsecurity,
                              c.relforcerowsecurity, c.relreplident, (SELECT amname FROM pg_am WHERE oid = c.relam))
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'column', c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
                              format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                              'default ' || pg_get_expr(d.adbin, d.adrelid), 'collation ' || a.attcollation::regcollation,
                              a.attstorage, a.attcompression, a.attoptions::text, a.attacl::text,
                              'comment ' || col_description(c.oid, a.attnum))
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'v', 'm', 'c', 'p', 'f')
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'constraint', k.conrelid::regclass, k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated)
  FROM wanted n JOIN pg_constraint k ON k.connamespace = n.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'index', pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisvalid, i.indisclustered, i.indisreplident)
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_index i ON i.indexrelid = c.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'function', CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE p.proname::text END)
  FROM wanted n JOIN pg_proc p ON p.pronamespace = n.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'sequence', s.seqrelid::regclass, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
                              s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
                              (SELECT concat_ws('.', d.deptype, d.refobjid::regclass, a.attname) FROM pg_depend d
                               JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_sequence s ON s.seqrelid = c.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'view', c.oid::regclass, pg_get_viewdef(c.oid))
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('v', 'm')
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'type', t.typname, t.typtype) FROM wanted n JOIN pg_type t ON t.typnamespace = n.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'statistics', pg_get_statisticsobjdef(x.oid))
  FROM wanted n JOIN pg_statistic_ext x ON x.stxnamespace = n.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'policy', p.polrelid::regclass, p.polname)
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid JOIN pg_policy p ON p.polrelid = c.oid
  UNION ALL
  SELECT n.nspname, concat_ws('|', 'comment', c.relname, obj_description(c.oid, 'pg_class'))
  FROM wanted n JOIN pg_class c ON c.relnamespace = n.oid WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
) AS found
"""
