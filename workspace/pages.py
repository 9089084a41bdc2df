"""Lists in pages by key, not by number: the thousandth page costs what the first does, and nothing is shown twice."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

Row = TypeVar("Row", bound=Model)
SIZE = 30


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """`after` is the cursor of the next page; empty on the last. `is_first` tells whether one can go back to the start."""

    rows: list[Row]
    after: str
    is_first: bool


def asked(request: HttpRequest, name: str) -> str:
    """What the address asks for under `name`, as the database takes it: short, without the NUL that a text there cannot have."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:100]


def newest(rows: QuerySet[Row], field: str, cursor: str, size: int = SIZE) -> Page[Row]:
    """`rows` by the moment `field` and id, newest first, after `cursor`. A cursor that makes no sense is the first page."""
    key = _parsed(cursor)
    if key:
        moment, pk = key
        rows = rows.filter(Q(**{f"{field}__lt": moment}) | Q(**{field: moment, "pk__lt": pk}))
    found = list(rows.order_by(f"-{field}", "-pk")[: size + 1])
    after = _cursor(found[size - 1], field) if len(found) > size else ""
    return Page(found[:size], after, key is None)


def _cursor(row: Any, field: str) -> str:
    return f"{getattr(row, field).isoformat()}~{row.pk}"


def _parsed(cursor: str) -> tuple[datetime, int] | None:
    moment, _, pk = cursor.partition("~")
    try:
        parsed = datetime.fromisoformat(moment)
        number = int(pk)
        is_key = parsed.tzinfo is not None and 0 < number < 2**63
        return (parsed.astimezone(UTC), number) if is_key else None
    except (ValueError, OverflowError):  # OverflowError: the last hour of the year 9999 in a time zone behind UTC
        return None
