from collections.abc import Iterator

from django.db import connection
from psycopg import sql

from kit.invariants import ROWS_SHOWN, invariant
from subaccounts.models import SubAccount

BATCH = 200
LATEST = 10_000  # messages of each workspace that are looked at

_CHATBOTS = "SELECT {name} AS schema, count(*) FROM {schema}.workspace_chatbot WHERE removed_at IS NULL"
_UNPAID = (
    "SELECT {name} AS schema, count(*) FROM (SELECT * FROM {schema}.workspace_message ORDER BY id DESC LIMIT {latest}) AS message"
    " WHERE role = 'bot' AND NOT EXISTS"
    " (SELECT FROM public.credits_key AS paid WHERE paid.key = message.entry_key AND paid.entry_id IS NOT NULL)"
)


@invariant("the number of chatbots kept on a sub-account is the number it has")
def chatbots_are_counted() -> Iterator[str]:
    kept = dict(SubAccount.objects.ready().values_list("schema_name", "chatbots"))
    wrong = [(schema, found) for schema, found in _of_each(_CHATBOTS, list(kept)) if found != kept[schema]]
    for schema, found in wrong[:ROWS_SHOWN]:
        yield f"{schema} has {found} chatbots, kept are {kept[schema]}"


@invariant("every reply has the ledger entry that paid for it")
def replies_are_paid() -> Iterator[str]:
    schemas = list(SubAccount.objects.ready().values_list("schema_name", flat=True))
    unpaid = [(schema, found) for schema, found in _of_each(_UNPAID, schemas) if found]
    for schema, found in unpaid[:ROWS_SHOWN]:
        yield f"{schema} has {found} replies that nothing paid for"


def _of_each(statement: str, schemas: list[str]) -> Iterator[tuple[str, int]]:
    """(schema, count) by `statement` in each schema, many in one query; this runs by the clock, never in a request.

    A schema that does not exist is left out: `subaccounts.invariants` names it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(quote_ident(name) || '.workspace_message') IS NOT NULL",
            [schemas],
        )
        schemas = [name for (name,) in cursor.fetchall()]
    for start in range(0, len(schemas), BATCH):
        parts = [
            sql.SQL(statement).format(name=sql.Literal(schema), schema=sql.Identifier(schema), latest=sql.Literal(LATEST))
            for schema in schemas[start : start + BATCH]
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(" UNION ALL ").join(sql.SQL("({})").format(part) for part in parts))
            yield from cursor.fetchall()
