"""Bounded looks: a page of a long table by id, the newest first, where an index finds some of what is asked and the rest is asked of each row.

Nothing is ever counted or skipped by number, and no look reads more than so many rows: a page that is not full then says how far
it looked. Ids begin with their own milliseconds (`kit.ids`), so a range of ids is a range of time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model

from kit.ids import least_of

_LOOK = """
SELECT * FROM (
    SELECT {table}.*, {wanted} AS is_wanted, row_number() OVER (ORDER BY {along}) AS place
    FROM public.{table} WHERE {found_by} ORDER BY {along} LIMIT {reach}
) AS looked WHERE is_wanted OR place = {reach} ORDER BY id {order} LIMIT {most}
"""


@dataclass
class Conditions:
    """Conditions that all hold, with their parameters."""

    texts: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def add(self, text: str, *params: Any) -> None:
        self.texts.append(text)
        self.params += params

    def between(self, since: datetime | None, until: datetime | None) -> None:
        """From `since` on, before `until`."""
        if since is not None:
            self.add("id >= %s", least_of(since))
        if until is not None:
            self.add("id < %s", least_of(until))

    def __str__(self) -> str:
        return " AND ".join(self.texts) or "true"


@dataclass
class Search:
    """`found_by` is what one index finds, in the order of ids; `wanted` is what is asked of each row it finds, of `reach` at most.

    `along` are the columns that index begins with. By a plain equality PostgreSQL knows that they do not matter for the order, and may
    read everybody's newest rows instead, picking out ours: no bound where ours are old. Told to sort by them, and not that each has
    one value only (`only`), it reads that index (17 and newer keep its order).
    """

    model: type[Model]
    reach: int
    along: list[str] = field(default_factory=list)
    found_by: Conditions = field(default_factory=Conditions)
    wanted: Conditions = field(default_factory=Conditions)

    def only(self, column: str, value: object, kind: str) -> None:
        """Rows with this `value` in the next column of the index, which holds values of the SQL type `kind`."""
        self.along.append(column)
        self.found_by.add(f"{column} = ANY(ARRAY[%s]::{kind}[])", value)


def look(
    search: Search, cursor: UUID | None, size: int, *, reach: int | None = None, upwards: bool = False
) -> tuple[list[Any], UUID | None]:
    """The next rows that are wanted, at most `size` among at most `reach` rows, and the id to go on from: None at the end.

    The last row within reach comes back whether it is wanted or not, for it says where the look ended.
    """
    reach = (reach or search.reach) if search.wanted.texts else size + 1
    found_by = Conditions([*search.found_by.texts], [*search.found_by.params])
    if cursor is not None:
        found_by.add("id > %s" if upwards else "id < %s", cursor)
    # Every part is written in our code; what came from outside is a parameter.
    order = "ASC" if upwards else "DESC"
    sql = _LOOK.format(
        table=search.model._meta.db_table,
        wanted=search.wanted,
        found_by=found_by,
        order=order,
        along=", ".join(f"{column} {order}" for column in (*search.along, "id")),
        reach=reach,
        most=size + 1,
    )
    rows: list[Any] = list(search.model._default_manager.raw(sql, [*search.wanted.params, *found_by.params]))
    wanted = [row for row in rows if row.is_wanted]
    if len(wanted) > size:
        return wanted[:size], wanted[size - 1].pk
    return wanted, rows[-1].pk if rows and rows[-1].place == reach else None
