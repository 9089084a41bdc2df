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
    SELECT {table}.*, {wanted} AS is_wanted, row_number() OVER (ORDER BY id {order}) AS place
    FROM public.{table} WHERE {found_by} ORDER BY id {order} LIMIT {reach}
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
    """`found_by` is what one index finds, in the order of ids; `wanted` is what is asked of each row it finds, of `reach` at most."""

    model: type[Model]
    reach: int
    found_by: Conditions = field(default_factory=Conditions)
    wanted: Conditions = field(default_factory=Conditions)


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
    sql = _LOOK.format(
        table=search.model._meta.db_table,
        wanted=search.wanted,
        found_by=found_by,
        order="ASC" if upwards else "DESC",
        reach=reach,
        most=size + 1,
    )
    rows: list[Any] = list(search.model._default_manager.raw(sql, [*search.wanted.params, *found_by.params]))
    wanted = [row for row in rows if row.is_wanted]
    if len(wanted) > size:
        return wanted[:size], wanted[size - 1].pk
    return wanted, rows[-1].pk if rows and rows[-1].place == reach else None
