"""Figures of use: sums per day and month that stay fast however many entries there are, and exact at every moment.

A fold adds up a wallet's entries in the order of their gapless numbers and remembers the last one; whoever reads adds what came
after it, in the same statement and so of the same moment. Days are those of the agency's calendar. `DayTotal` and its like are
written by the fold and by nothing else; what is lost with them is made anew from the entries (`rebuild`).
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from credits.models import AgencyDayTotal, Calendar, DayTotal, Fold, MonthTotal

USED = "used"
RETURNED = "returned"
GRANTED = "granted"
WITHDRAWN = "withdrawn"
RECEIVED = "received"
SENT = "sent"
EXPIRED = "expired"
ADDED = "added"
DEDUCTED = "deducted"

NOBODY = UUID(int=0)
_EARLIEST = date(1970, 1, 1)
MOST_AT_ONCE = 100_000
Query = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Days:
    """By which days an agency's figures are counted: those of `time_zone`. `id` is 0 before anything was folded.

    `behind` are the wallets that had lines to fold at the moment of asking, where that was looked for: what is read by these days
    looks for such lines there only, so that a page with several figures looks through the wallets once. Lines of other wallets
    that came later are left out until they are folded; none is counted twice.
    """

    id: int
    agency_id: UUID
    time_zone: str
    behind: tuple[UUID, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """What happened in one day: `amount` smallest steps in `lines` lines. `direction` is one of the names above."""

    day: date
    unit: str
    is_pool: bool
    direction: str
    kind: str
    amount: int
    lines: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """`rows` are (client, what it used), the largest first; `users` is how many clients used anything."""

    rows: list[tuple[UUID, int]]
    users: int


@dataclass(frozen=True, slots=True)
class Trend:
    """`largest` are (client, what it used on each day), `together` the days of all, `users` how many clients used anything."""

    largest: list[tuple[UUID, dict[date, int]]]
    together: dict[date, int]
    users: int


# --- Folding --------------------------------------------------------------------------------------------------------------


def keep_days(agency_id: UUID, time_zone: str) -> Calendar:
    """Count the agency's days in `time_zone` from now on. Those of before stay in use until the new ones are folded."""
    newest = Calendar.objects.filter(agency_id=agency_id).order_by("-id").first()
    if newest is not None and newest.time_zone == time_zone:
        return newest
    return Calendar.objects.create(agency_id=agency_id, time_zone=time_zone)


def fold(*, most: int = MOST_AT_ONCE, seconds: float = 45) -> int:
    """Fold what is not folded yet, in transactions of at most `most` lines, for about `seconds`; how many lines it was.

    May run twice, at once, and be killed: a calendar is folded by one at a time, and how far it is stands where its totals stand.
    """
    until, folded = time.monotonic() + seconds, 0
    for calendar_id in _behind():
        while some := _fold_some(calendar_id, most):
            folded += some
            if some < most or time.monotonic() > until:
                break
        if time.monotonic() > until:
            break
    _drop_outdated()
    return folded


def rebuild(agency_id: UUID, time_zone: str) -> int:
    """Make the agency's totals anew from its entries; how many lines they were. Pages show the old ones until it is done."""
    calendar = Calendar.objects.create(agency_id=agency_id, time_zone=time_zone)
    folded = 0
    while some := _fold_some(calendar.pk, MOST_AT_ONCE):
        folded += some
    _drop_outdated()
    return folded


def _behind() -> list[int]:
    """Calendars with lines to fold, or not known to have none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM public.credits_calendar WHERE NOT is_ready UNION"
            " SELECT calendar.id FROM public.credits_calendar AS calendar"
            " JOIN public.credits_wallet AS wallet ON wallet.agency_id = calendar.agency_id"
            " LEFT JOIN public.credits_fold AS fold ON fold.calendar_id = calendar.id AND fold.wallet_id = wallet.id"
            " WHERE wallet.sequence > coalesce(fold.sequence, 0) ORDER BY 1"
        )
        return [calendar_id for (calendar_id,) in cursor.fetchall()]


def _fold_some(calendar_id: int, most: int) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '2min'")
        cursor.execute("SELECT public.credits_fold_some(%s, %s)", [calendar_id, most])
        return int(cursor.fetchone()[0] or 0)


def _drop_outdated() -> None:
    """Calendars that a newer one of the same agency has replaced, with their totals."""
    calendars = list(Calendar.objects.order_by("id").values_list("agency_id", "id", "is_ready"))
    newest = {agency_id: calendar_id for agency_id, calendar_id, is_ready in calendars if is_ready}
    for calendar_id in [id for agency_id, id, _ in calendars if id < newest.get(agency_id, 0)]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '5min'")
            Calendar.objects.filter(pk=calendar_id).delete()
            for model in (Fold, DayTotal, AgencyDayTotal, MonthTotal):
                model.objects.filter(calendar_id=calendar_id).delete()


# --- Reading --------------------------------------------------------------------------------------------------------------


def days_of(agency_id: UUID, time_zone: str) -> Days:
    """The calendar to read by: the newest that is ready, or whatever there is. `time_zone` is the agency's, should there be none."""
    found = Calendar.objects.filter(agency_id=agency_id).order_by("-is_ready", "-id").first()
    return Days(found.pk, agency_id, found.time_zone) if found else Days(0, agency_id, time_zone)


def looked_through(days: Days, unit: str) -> Days:
    """The same days, knowing which wallets of `unit` are behind, for a page that reads several figures of that unit. One query."""
    behind, values = _behind_of(days, [unit], None)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT wallet.id {behind}", values)
        return replace(days, behind=tuple(wallet_id for (wallet_id,) in cursor.fetchall()))


def used(days: Days, unit: str, first: date, last: date, *, among: Collection[UUID] | None = None) -> dict[UUID, int]:
    """What each client used from `first` to `last`, less what was given back; who used nothing is left out. One query.

    What was used for no client counts under `NOBODY`, here and below.
    """
    with connection.cursor() as cursor:
        cursor.execute(*used_query(days, unit, first, last, among=among))
        return {client: int(amount) for client, amount in cursor.fetchall() if amount}


def used_query(days: Days, unit: str, first: date, last: date, *, among: Collection[UUID] | None = None) -> Query:
    """The same as a statement with rows of client and amount, to be joined."""
    tail, tail_values = _tail(days, [unit], among)
    some, some_values = _some(among)
    folded, values = _months_of(days, unit, first, last, among)
    return (
        f"SELECT sub_account_id, sum(amount) AS amount FROM ({folded} UNION ALL"  # noqa: S608
        f" SELECT sub_account_id, CASE direction WHEN 'used' THEN amount ELSE -amount END FROM ({tail}) AS tail"
        f" WHERE direction IN ('used', 'returned') AND day BETWEEN %s AND %s {some}) AS part GROUP BY 1",
        [*values, *tail_values, first, last, *some_values],
    )


def ranking(days: Days, unit: str, first: date, last: date, *, most: int, after: tuple[int, UUID] | None = None) -> Ranking:
    """The `most` clients that used most, the largest first, those after the one given: its amount and id. One query."""
    sql, values = used_query(days, unit, first, last)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH used AS MATERIALIZED (SELECT * FROM ({sql}) AS all_used WHERE amount <> 0)"  # noqa: S608
            " SELECT sub_account_id, amount, (SELECT count(*) FROM used) FROM used"
            " WHERE %s OR (-amount, sub_account_id) > (-%s::numeric, %s::uuid) ORDER BY -amount, sub_account_id LIMIT %s",
            [*values, after is None, *(after or (0, NOBODY)), most],
        )
        rows = cursor.fetchall()
    return Ranking([(client, int(amount)) for client, amount, _ in rows], rows[0][2] if rows else 0)


def trend(days: Days, unit: str, first: date, last: date, *, most: int) -> Trend:
    """What the `most` clients that used most used on each day, and all together. One query, so that they fit each other."""
    tail, tail_values = _tail(days, [unit], None)
    folded, folded_values = _months_of(days, unit, first, last)
    net = "CASE direction WHEN 'used' THEN amount ELSE -amount END AS amount"
    of_days = "calendar_id = %s AND unit_id = %s AND direction IN ('used', 'returned') AND day BETWEEN %s AND %s"
    sql = (
        f"WITH late AS MATERIALIZED (SELECT sub_account_id, day, {net} FROM ({tail}) AS tail"  # noqa: S608  (parts of our own)
        " WHERE direction IN ('used', 'returned') AND day BETWEEN %s AND %s), used AS MATERIALIZED (SELECT sub_account_id, sum(amount) AS amount"
        f" FROM ({folded} UNION ALL SELECT sub_account_id, amount FROM late) AS part GROUP BY 1 HAVING sum(amount) <> 0),"
        " top AS MATERIALIZED (SELECT sub_account_id, amount AS whole FROM used ORDER BY -amount, sub_account_id LIMIT %s)"
        " SELECT sub_account_id, day, sum(amount) FROM ("
        f"SELECT sub_account_id, day, {net} FROM public.credits_daytotal JOIN top USING (sub_account_id) WHERE {of_days}"
        " UNION ALL SELECT sub_account_id, day, amount FROM late JOIN top USING (sub_account_id)"
        f" UNION ALL SELECT NULL, day, {net} FROM public.credits_agencydaytotal WHERE {of_days}"
        " UNION ALL SELECT NULL, day, amount FROM late) AS part GROUP BY 1, 2"
        " UNION ALL SELECT sub_account_id, NULL, whole FROM top UNION ALL SELECT NULL, NULL, count(*) FROM used"
    )
    range_values: list[Any] = [days.id, unit, first, last]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*tail_values, first, last, *folded_values, most, *range_values, *range_values])
        rows = cursor.fetchall()
    whole: dict[UUID, int] = {client: int(amount) for client, day, amount in rows if day is None and client is not None}
    users = next(int(amount) for client, day, amount in rows if day is None and client is None)
    by_day: dict[UUID | None, dict[date, int]] = {}
    for client, day, amount in rows:
        if day is not None and amount:
            by_day.setdefault(client, {})[day] = int(amount)
    largest = sorted(whole, key=lambda client: (-whole[client], client))
    return Trend([(client, by_day.get(client, {})) for client in largest], by_day.get(None, {}), users)


def used_by_day(days: Days, unit: str, first: date, last: date, *, among: Collection[UUID] | None = None) -> dict[UUID, dict[date, int]]:
    """What each of some clients used on each day, less what was given back that day; days where that is nothing are left out. One query.

    Without `among` the whole agency together, under `NOBODY`.
    """
    return _together_by_day(days, unit, first, last) if among is None else _some_by_day(days, unit, first, last, among)


def _together_by_day(days: Days, unit: str, first: date, last: date) -> dict[UUID, dict[date, int]]:
    parts, values = _parts(days, [unit], first, last, None, directions=[USED, RETURNED])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, sum(CASE direction WHEN 'used' THEN amount ELSE -amount END)"  # noqa: S608
            f" FROM ({parts}) AS part GROUP BY 1 ORDER BY 1",
            values,
        )
        found = {day: int(amount) for day, amount in cursor.fetchall() if amount}
    return {NOBODY: found} if found else {}


def _some_by_day(days: Days, unit: str, first: date, last: date, among: Collection[UUID]) -> dict[UUID, dict[date, int]]:
    """Out of the months' running sums: a row for each client and month, where day totals are several for each day."""
    tail, tail_values = _tail(days, [unit], among)
    some, some_values = _some(among)
    sql = (
        "SELECT sub_account_id, month, through, NULL FROM public.credits_monthtotal"  # noqa: S608  (parts of our own)
        f" WHERE calendar_id = %s AND unit_id = %s AND month = ANY (%s) {some}"
        " UNION ALL SELECT sub_account_id, day, NULL, sum(CASE direction WHEN 'used' THEN amount ELSE -amount END)"
        f" FROM ({tail}) AS tail WHERE direction IN ('used', 'returned') AND day BETWEEN %s AND %s {some} GROUP BY 1, 2"
    )
    found: dict[UUID, dict[date, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, [days.id, unit, _months(first, last), *some_values, *tail_values, first, last, *some_values])
        rows = cursor.fetchall()
    for client, month, through, _ in [row for row in rows if row[2] is not None]:
        found.setdefault(client, {}).update(_changes(through, month, first, last))
    for client, day, _, amount in [row for row in rows if row[2] is None]:
        by_day = found.setdefault(client, {})
        by_day[day] = by_day.get(day, 0) + int(amount)
    return {client: {day: amount for day, amount in sorted(by_day.items()) if amount} for client, by_day in found.items()}


def _changes(through: list[int], month: date, first: date, last: date) -> dict[date, int]:
    """The days from `first` to `last` on which a month's running sum changes, and by how much."""
    start, end = max(0, (first - month).days), (last - month).days + 1
    sums = [through[start - 1] if start else 0, *through[start:end]]
    return {day: now - before for day, before, now in zip(_dates(month)[start:end], sums, sums[1:], strict=False) if now != before}


@lru_cache(maxsize=64)
def _dates(month: date) -> list[date]:
    return [month + timedelta(days=number) for number in range(31)]


def used_of_pool(days: Days, unit: str, first: date, last: date, *, among: Collection[UUID]) -> dict[UUID, int]:
    """What each of some clients used of the pool, less what was given back; who used nothing is left out. One query."""
    parts, values = _parts(days, [unit], first, last, among, directions=[USED, RETURNED])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT client, sum(CASE direction WHEN 'used' THEN amount ELSE -amount END)"  # noqa: S608
            f" FROM ({parts}) AS part WHERE is_pool GROUP BY 1",
            values,
        )
        return {client: int(amount) for client, amount in cursor.fetchall()}


def sums(days: Days, units: Iterable[str], first: date, last: date, *, client: UUID | None = None, is_by_day: bool = True) -> list[Sum]:
    """What happened on each day, by direction and kind: to the whole agency, or to the units of one client. One query.

    Or, not by day, in all of them together; `day` is the first of them then.
    """
    parts, values = _parts(days, list(units), first, last, None if client is None else [client])
    day = "day" if is_by_day else "min(day)"
    grouped = "1, 2, 3, 4, 5" if is_by_day else "2, 3, 4, 5"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {day}, unit_id, is_pool, direction, kind, sum(amount), sum(lines) FROM ({parts}) AS part"  # noqa: S608
            f" GROUP BY {grouped} ORDER BY 1, 2, 3, 4, 5",
            values,
        )
        return [
            Sum(day, of_unit, is_pool, direction, kind, int(amount), int(lines))
            for day, of_unit, is_pool, direction, kind, amount, lines in cursor.fetchall()
        ]


def sums_and_before(days: Days, units: Iterable[str], first: date, last: date, *, client: UUID | None = None) -> list[Sum]:
    """`sums` of the whole time from `first` to `last`, which has the day `first`, and of all time before, which has the day before.

    One query, and so of one moment.
    """
    parts, values = _parts(days, list(units), _EARLIEST, last, None if client is None else [client])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE WHEN day < %s THEN %s ELSE %s END, unit_id, is_pool, direction, kind, sum(amount), sum(lines)"  # noqa: S608
            f" FROM ({parts}) AS part GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
            [first, first - timedelta(days=1), first, *values],
        )
        return [
            Sum(day, of_unit, is_pool, direction, kind, int(amount), int(lines))
            for day, of_unit, is_pool, direction, kind, amount, lines in cursor.fetchall()
        ]


def net(found: Iterable[Sum], *directions: str, minus: str = "") -> int:
    """The amounts of `directions` together, less those of `minus`."""
    return sum(-line.amount if line.direction == minus else line.amount for line in found if line.direction in (*directions, minus))


def _months_of(days: Days, unit: str, first: date, last: date, among: Collection[UUID] | None = None) -> Query:
    """What is folded of each client's use in the range: a row for each month of it."""
    some, some_values = _some(among)
    return (
        "SELECT sub_account_id, through[CASE WHEN month = %s THEN %s ELSE 31 END]"  # noqa: S608  (parts of our own)
        " - coalesce(through[CASE WHEN month = %s THEN %s ELSE 0 END], 0) AS amount"
        f" FROM public.credits_monthtotal WHERE calendar_id = %s AND unit_id = %s AND month = ANY (%s) {some}",
        [last.replace(day=1), last.day, first.replace(day=1), first.day - 1, days.id, unit, _months(first, last), *some_values],
    )


def _parts(
    days: Days, units: list[str], first: date, last: date, among: Collection[UUID] | None, *, directions: list[str] | None = None
) -> Query:
    """Day totals and the lines that are not in them yet: of some clients, or of the agency as a whole, without the clients."""
    tail, tail_values = _tail(days, units, among)
    some, some_values = _some(among)
    table, client = ("agencydaytotal", "NULL::uuid") if among is None else ("daytotal", "sub_account_id")
    wanted, wanted_values = ("AND direction = ANY (%s)", [directions]) if directions else ("", [])
    return (
        f"SELECT {client} AS client, day, unit_id, is_pool, direction, kind, amount, lines FROM public.credits_{table}"  # noqa: S608
        f" WHERE calendar_id = %s AND unit_id = ANY (%s) AND day BETWEEN %s AND %s {some} {wanted}"
        f" UNION ALL SELECT {client}, day, unit_id, is_pool, direction, kind, amount, 1 FROM ({tail}) AS tail"
        f" WHERE day BETWEEN %s AND %s {some} {wanted}",
        [days.id, units, first, last, *some_values, *wanted_values, *tail_values, first, last, *some_values, *wanted_values],
    )


def _tail(days: Days, units: list[str], among: Collection[UUID] | None) -> Query:
    """The lines of `units` that are not folded yet. Of a few clients: those of their own wallets and of the pool."""
    behind, values = _behind_of(days, units, among)
    return (
        "SELECT coalesce(line.owner_id, line.sub_account_id, '00000000-0000-0000-0000-000000000000') AS sub_account_id,"  # noqa: S608
        " (line.at AT TIME ZONE %s)::date AS day, line.unit_id, line.owner_id IS NULL AS is_pool, line.direction, line.kind, line.amount"
        " FROM (SELECT array_agg(wallet.id) AS ids, array_agg(wallet.owner_id) AS owners,"
        f" array_agg(coalesce(fold.sequence, 0)) AS after, array_agg(wallet.sequence) AS last {behind}) AS behind"
        " CROSS JOIN LATERAL public.credits_lines(behind.ids, behind.owners, behind.after, behind.last) AS line",
        [days.time_zone, *values],
    )


def _behind_of(days: Days, units: list[str], among: Collection[UUID] | None) -> Query:
    """Wallets whose last lines are not folded yet, with how far they are."""
    some = "AND owner_id = ANY (%s)" if among is not None else ""
    known = "AND id = ANY (%s)" if days.behind is not None else ""
    known_values = [list(days.behind)] if days.behind is not None else []
    return (
        " FROM (SELECT id, owner_id, sequence FROM public.credits_wallet WHERE owner_kind = 'sub_account' AND agency_id = %s"  # noqa: S608
        f" AND unit_id = ANY (%s) {some} {known} UNION ALL SELECT id, NULL, sequence FROM public.credits_wallet"
        f" WHERE owner_kind = 'agency' AND owner_id = %s AND unit_id = ANY (%s) {known}) AS wallet"
        " LEFT JOIN public.credits_fold AS fold ON fold.calendar_id = %s AND fold.wallet_id = wallet.id"
        " WHERE wallet.sequence > coalesce(fold.sequence, 0)",
        [
            days.agency_id, units, *([list(among)] if among is not None else []), *known_values,
            days.agency_id, units, *known_values, days.id,
        ],
    )  # fmt: skip


def _some(among: Collection[UUID] | None) -> Query:
    return ("", []) if among is None else ("AND sub_account_id = ANY (%s)", [list(among)])


def _months(first: date, last: date) -> list[date]:
    months, month = [], first.replace(day=1)
    while month <= last:
        months.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return months
