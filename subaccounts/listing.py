"""The agency's list of sub-accounts: filtered, sorted and paged by key, so that page 200 costs what page 1 costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, Sum

from agency.models import Agency
from subaccounts import credit_use
from subaccounts.models import MonthlyFigures, SubAccount, SubAccountQuerySet, Suspension

PAGE = 50
COLUMNS = {"name": "name", "created": "created_at"}
TOTALS = ("messages", "credits")
DEFAULT_SORT = "name"


@dataclass(frozen=True)
class Wish:
    """What the person asked to see: a text in the name, a status ("active", "suspended" or ""), a sort such as "-messages"."""

    search: str = ""
    status: str = ""
    sort: str = DEFAULT_SORT

    @property
    def is_filtered(self) -> bool:
        return bool(self.search or self.status)

    @property
    def field(self) -> str:
        name = self.sort.removeprefix("-")
        return name if name in COLUMNS or name in TOTALS else DEFAULT_SORT

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


@dataclass(frozen=True)
class Row:
    """`messages` and `credits` are of this month, `leads` of all time."""

    sub_account: SubAccount
    is_suspended: bool
    messages: int
    leads: int
    credits: int


@dataclass(frozen=True)
class Page:
    rows: list[Row]
    next_cursor: UUID | None = None


def page(agency: Agency, sub_accounts: SubAccountQuerySet, wish: Wish, *, month: date, cursor: UUID | None = None) -> Page:
    """The rows after `cursor` (the public id of the last row seen; an unknown one starts over), each with its figures.

    `month` is the first day of the month the figures are of. At most six queries, whatever there is to list.
    """
    wanted = filtered(sub_accounts, wish)
    seen = wanted.filter(public_id=cursor).first() if cursor else None
    found = _by_total(agency, wanted, wish, month, seen) if wish.field in TOTALS else _by_column(wanted, wish, seen)
    more = len(found) > PAGE
    return Page(_figured(agency, found[:PAGE], month), found[PAGE - 1].public_id if more else None)


def every(agency: Agency, sub_accounts: SubAccountQuerySet, wish: Wish, *, month: date) -> Iterator[Row]:
    """All rows in the wished order, read page by page as they are asked for."""
    cursor: UUID | None = None
    while True:
        found = page(agency, sub_accounts, wish, month=month, cursor=cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def filtered(sub_accounts: SubAccountQuerySet, wish: Wish) -> SubAccountQuerySet:
    if wish.search:
        sub_accounts = sub_accounts.filter(name__icontains=wish.search)
    if wish.status == "active":
        return sub_accounts.active()
    return sub_accounts.suspended() if wish.status == "suspended" else sub_accounts


def _by_column(wanted: SubAccountQuerySet, wish: Wish, seen: SubAccount | None) -> list[SubAccount]:
    column = COLUMNS[wish.field]
    if seen:
        wanted = wanted.filter(_after(column, getattr(seen, column), seen.pk, is_descending=wish.is_descending))
    order = (F(column).desc(), "-pk") if wish.is_descending else (column, "pk")
    return list(wanted.order_by(*order)[: PAGE + 1])


def _after(column: str, value: Any, pk: int, *, is_descending: bool) -> Q:
    """A range without the rows already seen, because a range is what an index can start from."""
    if is_descending:
        return Q(**{f"{column}__lte": value}) & ~Q(**{column: value, "pk__gte": pk})
    return Q(**{f"{column}__gte": value}) & ~Q(**{column: value, "pk__lte": pk})


def _by_total(agency: Agency, wanted: SubAccountQuerySet, wish: Wish, month: date, seen: SubAccount | None) -> list[SubAccount]:
    """Sorted by a sum: all sums are made once and joined, which a sub-query for each row would not do."""
    rows_sql, rows_params = wanted.order_by().values("pk", "public_id").query.sql_with_params()
    totals_sql, totals_params = _message_totals(agency, month) if wish.field == "messages" else credit_use.totals_query(agency, month)
    joined = "wanted.id = totals.of" if wish.field == "messages" else "wanted.public_id = totals.of"
    direction, beyond = ("DESC", "<") if wish.is_descending else ("ASC", ">")
    # Every part is written here or by the ORM; what came from outside is a parameter.
    sql = (
        f"WITH wanted(id, public_id) AS ({rows_sql}), totals(of, total) AS ({totals_sql}), "  # noqa: S608
        f"ranked AS (SELECT wanted.id, coalesce(totals.total, 0) AS total FROM wanted LEFT JOIN totals ON {joined}) "
        f"SELECT id FROM ranked WHERE %s OR (total, id) {beyond} (SELECT total, id FROM ranked WHERE id = %s) "
        f"ORDER BY total {direction}, id {direction} LIMIT {PAGE + 1}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*rows_params, *totals_params, seen is None, seen.pk if seen else 0])
        order = [pk for (pk,) in cursor.fetchall()]
    by_pk = SubAccount.objects.in_bulk(order)
    return [by_pk[pk] for pk in order]


def _message_totals(agency: Agency, month: date) -> tuple[str, list[Any]]:
    figures = MonthlyFigures.objects.filter(sub_account__agency=agency, month__gte=month)
    sums = figures.order_by().values("sub_account_id").annotate(total=Sum("messages")).values("sub_account_id", "total")
    sql, params = sums.query.sql_with_params()
    return sql, list(params)


def _figured(agency: Agency, found: list[SubAccount], month: date) -> list[Row]:
    sums = MonthlyFigures.objects.filter(sub_account__in=found).order_by().values("sub_account_id")
    sums = sums.annotate(all_leads=Sum("leads"), month_messages=Sum("messages", filter=Q(month__gte=month)))
    figures: dict[int, dict[str, Any]] = {row["sub_account_id"]: dict(row) for row in sums}
    used = credit_use.by_sub_account(agency, month, among=[sub_account.public_id for sub_account in found])
    suspended = set(Suspension.objects.filter(sub_account__in=found, lifted_at=None).values_list("sub_account_id", flat=True))
    return [
        Row(
            sub_account=sub_account,
            is_suspended=sub_account.pk in suspended,
            messages=figures.get(sub_account.pk, {}).get("month_messages") or 0,
            leads=figures.get(sub_account.pk, {}).get("all_leads") or 0,
            credits=used.get(sub_account.public_id, 0),
        )
        for sub_account in found
    ]
