"""Totals say what a recount of the entries says, at every moment, whatever happened and however far the fold is."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import checks, ledger, totals
from credits.books import USED, VOIDED, book
from credits.models import Calendar, DayTotal, Entry, Fold, Wallet
from kit import clock
from kit.ids import uuid7
from subaccounts import credit_use
from tests.cast import Cast
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, use

ROOT = Path(__file__).resolve().parent.parent.parent
ZONES = ["UTC", "Europe/Stockholm", "Asia/Kathmandu", "America/Los_Angeles", "Pacific/Kiritimati"]
FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
# Around the two nights in which clocks change, a month's end and a year's half: where days are easily counted wrong.
MOMENTS = [
    datetime(2026, 3, 28, 22, tzinfo=UTC),
    datetime(2026, 3, 29, 23, 30, tzinfo=UTC),
    datetime(2026, 10, 24, 21, 45, tzinfo=UTC),
    datetime(2026, 10, 31, 18, 10, tzinfo=UTC),
    datetime(2026, 6, 30, 23, 59, 59, 999000, tzinfo=UTC),
]


def recount(books: Books, zone: str, first: date = FIRST, last: date = LAST) -> Counter[tuple[UUID, date]]:
    """Client and day → what was used, entry by entry."""
    found: Counter[tuple[UUID, date]] = Counter()
    for entry in Entry.objects.filter(agency_id=books.agency, unit_id=books.unit):
        day = entry.at.astimezone(ZoneInfo(zone)).date()
        client = (entry.sub_account_id or totals.NOBODY, day)
        if not first <= day <= last:
            continue
        if entry.to_wallet_id == book(USED, books.unit):
            found[client] += entry.amount
        elif entry.from_wallet_id == book(VOIDED, books.unit):
            found[client] -= entry.amount
    return found


def per_client(counted: Counter[tuple[UUID, date]]) -> dict[UUID, int]:
    found: Counter[UUID] = Counter()
    for (client, _), amount in counted.items():
        found[client] += amount
    return {client: amount for client, amount in found.items() if amount}


def check_exact(books: Books, zone: str, first: date = FIRST, last: date = LAST, *, looked: bool = False) -> None:
    days = totals.days_of(books.agency, zone)
    days = totals.looked_through(days, books.unit) if looked else days
    counted = recount(books, days.time_zone, first, last)
    clients = {client for client, _ in counted}
    by_day = totals.used_by_day(days, books.unit, first, last, among=clients)
    together = totals.used_by_day(days, books.unit, first, last).get(totals.NOBODY, {})

    assert totals.used(days, books.unit, first, last) == per_client(counted)
    changes = {(client, day): by_day[client][day] for client in by_day for day in by_day[client]}
    assert changes == {place: amount for place, amount in counted.items() if amount}
    assert all(list(used) == sorted(used) for used in by_day.values())
    assert sum(together.values()) == sum(counted.values())
    ranked = totals.ranking(days, books.unit, first, last, most=100)
    assert ranked.rows == sorted(per_client(counted).items(), key=lambda row: (-row[1], row[0]))
    assert ranked.users == len(ranked.rows)
    trend = totals.trend(days, books.unit, first, last, most=2)
    assert [(client, sum(used.values())) for client, used in trend.largest] == ranked.rows[:2]
    assert all(used == by_day[client] for client, used in trend.largest)
    assert (+Counter(trend.together), trend.users) == (+Counter(together), ranked.users)


def live(books: Books, clients: list[Client], chance: random.Random) -> None:
    """One deed of any kind by any client."""
    client = chance.choice(clients)
    deed = chance.choice(["use", "use", "use", "many", "void", "allocate", "reclaim", "hold", "give", "own_key"])
    about: dict[str, Any] = {"sub_account_id": client.id, "kind": chance.choice(["ai_reply", "campaign_message", "call"])}
    try:
        if deed == "use":
            use(client.sources, chance.randint(1, 9), **about)
        elif deed == "own_key":
            use(client.sources, 0, own_key=True, **about)
        elif deed == "many":
            uses = [ledger.Use(fresh_key(), chance.randint(1, 3)) for _ in range(3)]
            ledger.spend_many(sources=client.sources, uses=uses, kind="campaign_message", by=TESTS, sub_account_id=client.id)
        elif deed == "void":
            entry = chance.choice(list(Entry.objects.filter(agency_id=books.agency)))
            ledger.void(entry_key=entry.key, key=fresh_key("void"), by=TESTS)
        elif deed == "allocate":
            ledger.allocate(pool=books.pool, wallet=client.wallet, amount=chance.randint(1, 20), key=fresh_key(), by=TESTS)
        elif deed == "reclaim":
            ledger.reclaim(wallet=client.wallet, pool=books.pool, amount=chance.randint(1, 5), key=fresh_key(), by=TESTS)
        elif deed == "give":
            source = chance.choice(["purchase", "starter"])
            give(client.wallet, chance.randint(1, 30), source, expires_at=clock.now() + timedelta(hours=chance.randint(1, 30)))
        else:
            until = clock.now() + timedelta(minutes=5)
            held = ledger.hold(sources=client.sources, amount=4, key=fresh_key(), expires_at=until, by=TESTS, **about)
            ledger.commit(hold=held, by=TESTS, amount=chance.randint(1, 4))
    except (ledger.InsufficientCredits, ledger.CannotVoid):
        pass


@given(seed=st.integers(0, 10**9), zone=st.sampled_from(ZONES), most=st.sampled_from([1, 3, 7, 1000]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_totals_are_what_a_recount_says(db: None, seed: int, zone: str, most: int) -> None:
    chance = random.Random(seed)
    books = Books()
    clients = [books.client() for _ in range(3)]
    give(books.pool, 300, "plan")
    totals.keep_days(books.agency, zone)
    moment = chance.choice(MOMENTS)
    for _ in range(30):
        moment += timedelta(minutes=chance.choice([0, 1, 17, 240, 900]))
        with clock.at(moment):
            live(books, clients, chance)
        if chance.random() < 0.2:
            totals.fold(most=most)
        if chance.random() < 0.05:
            totals.keep_days(books.agency, chance.choice(ZONES))
    middle = moment.date() - timedelta(days=chance.randint(0, 2))

    check_exact(books, zone)
    check_exact(books, zone, middle, middle)
    check_exact(books, zone, looked=True)
    totals.fold()
    check_exact(books, zone)
    check_exact(books, zone, middle, LAST)
    check_exact(books, zone, FIRST, middle)
    assert checks.audit() == []


def test_what_happened_is_told_apart(books: Books) -> None:
    client, other = books.client(), books.client()
    give(books.pool, 100, "plan")
    give(client.wallet, 10, "starter", expires_at=clock.now() + timedelta(milliseconds=1))
    voided = give(client.wallet, 7, "purchase", key="mistake")
    ledger.void(entry_key="mistake", key=fresh_key("void"), by=TESTS)
    give(client.wallet, 8, "purchase")
    ledger.expire_due()
    ledger.allocate(pool=books.pool, wallet=client.wallet, amount=5, key=fresh_key(), by=TESTS)
    ledger.reclaim(wallet=client.wallet, pool=books.pool, amount=1, key=fresh_key(), by=TESTS)
    spent = use(client.sources, 14, sub_account_id=client.id, kind="call")
    ledger.void(entry_key=spent.key, key=fresh_key("void"), by=TESTS)
    use(client.sources, 14, sub_account_id=client.id)
    use(other.sources, 3, sub_account_id=other.id)

    def told() -> dict[tuple[bool, str, str], int]:
        days = totals.days_of(books.agency, "UTC")
        found = totals.sums(days, ["credit"], FIRST.replace(year=2000), LAST.replace(year=2100), client=client.id)
        return {(line.is_pool, line.direction, line.kind): line.amount for line in found}

    expected = {
        (False, "granted", "starter"): 10,
        (False, "granted", "purchase"): 15,
        (False, "withdrawn", "purchase"): voided.amount,
        (False, "expired", "expiry"): 10,
        (False, "received", "allocation"): 5,
        (False, "sent", "reclaim"): 1,
        (True, "sent", "allocation"): 5,
        (True, "received", "reclaim"): 1,
        (False, "used", "call"): 12,
        (False, "returned", "call"): 12,
        (True, "used", "call"): 2,
        (True, "returned", "call"): 2,
        (False, "used", "ai_reply"): 12,
        (True, "used", "ai_reply"): 2,
    }
    assert told() == expected
    totals.keep_days(books.agency, "UTC")
    totals.fold()
    assert told() == expected


def test_wallets_looked_through_once_count_nothing_twice_whatever_is_folded_meanwhile(books: Books) -> None:
    one, other = books.client(), books.client()
    give(books.pool, 100)
    for client in (one, other):
        give(client.wallet, 50)
    totals.keep_days(books.agency, "UTC")
    totals.fold()
    day = clock.now().date()

    def used(days: totals.Days) -> dict[UUID, int]:
        return totals.used(days, books.unit, day, day)

    use([one.wallet], 5, sub_account_id=one.id)
    looked = totals.looked_through(totals.days_of(books.agency, "UTC"), books.unit)
    assert looked.behind == (one.wallet.pk,)
    use([other.wallet], 3, sub_account_id=other.id)
    use([one.wallet], 1, sub_account_id=one.id)
    assert used(looked) == {one.id: 6}
    totals.fold()
    assert used(looked) == {one.id: 6, other.id: 3}
    use([one.wallet], 2, sub_account_id=one.id)
    assert used(looked) == {one.id: 8, other.id: 3}


def test_a_late_commit_is_neither_lost_nor_counted_twice(committed_books: Books) -> None:
    """The id of an entry is of the moment it was asked for, its commit may come long after others were folded."""
    client = committed_books.client()
    give(committed_books.pool, 100)
    totals.keep_days(committed_books.agency, "UTC")
    other = committed_books.client()
    give(client.wallet, 50)
    with transaction.atomic():
        use([client.wallet], 5, sub_account_id=client.id)
        in_thread(lambda: (use(other.sources, 3, sub_account_id=other.id), totals.fold()))
        check_exact(committed_books, "UTC")
    check_exact(committed_books, "UTC")
    totals.fold()
    check_exact(committed_books, "UTC")
    assert Fold.objects.get(wallet=client.wallet).sequence == client.wallet.sequence


def in_thread(deed: Callable[[], Any]) -> None:
    def run() -> None:
        try:
            deed()
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()


def test_folds_and_spends_at_once_lose_and_double_nothing(committed_books: Books) -> None:
    clients = [committed_books.client() for _ in range(4)]
    give(committed_books.pool, 10_000)
    totals.keep_days(committed_books.agency, "Asia/Kathmandu")
    seen: list[list[int]] = [[], []]

    def spend(client: Client) -> None:
        for _ in range(40):
            use(client.sources, 1, sub_account_id=client.id)

    def count(seen_here: list[int]) -> None:
        for _ in range(15):
            totals.fold(most=7)
            days = totals.days_of(committed_books.agency, "UTC")
            seen_here.append(sum(totals.used(days, "credit", FIRST.replace(year=2000), LAST.replace(year=2100)).values()))

    def run(deed: Callable[..., None], *of: Any) -> Thread:
        def work() -> None:
            try:
                deed(*of)
            finally:
                connections.close_all()

        thread = Thread(target=work)
        thread.start()
        return thread

    for thread in [*(run(spend, client) for client in clients), *(run(count, here) for here in seen)]:
        thread.join()
    assert all(here == sorted(here) and len(here) == 15 for here in seen)

    check_all(committed_books, {client.id: 40 for client in clients})
    totals.fold(most=50)
    check_all(committed_books, {client.id: 40 for client in clients})
    assert checks.audit() == []


def check_all(books: Books, expected: dict[UUID, int]) -> None:
    days = totals.days_of(books.agency, "UTC")
    assert totals.used(days, "credit", FIRST.replace(year=2000), LAST.replace(year=2100)) == expected


def test_another_time_zone_is_used_when_it_is_counted(books: Books) -> None:
    client = books.client()
    give(books.pool, 10)
    totals.keep_days(books.agency, "UTC")
    with clock.at(datetime(2026, 5, 31, 23, 30, tzinfo=UTC)):
        use(client.sources, 2, sub_account_id=client.id)
    totals.fold()

    def days_used() -> list[date]:
        days = totals.days_of(books.agency, "Asia/Kathmandu")
        return list(totals.used_by_day(days, "credit", FIRST, LAST, among=[client.id])[client.id])

    totals.keep_days(books.agency, "Asia/Kathmandu")
    assert days_used() == [date(2026, 5, 31)]
    totals.fold()
    assert days_used() == [date(2026, 6, 1)]
    assert list(Calendar.objects.filter(agency_id=books.agency).values_list("time_zone", flat=True)) == ["Asia/Kathmandu"]
    assert not DayTotal.objects.exclude(calendar__in=Calendar.objects.all()).exists()


def test_law_14_totals_that_differ_from_a_recount_are_found_and_healed(books: Books) -> None:
    client = books.client()
    give(books.pool, 100)
    totals.keep_days(books.agency, "UTC")
    use(client.sources, 5, sub_account_id=client.id)
    totals.fold()
    assert checks.audit() == []
    for sql in (
        "UPDATE credits_daytotal SET amount = amount + 1",
        "DELETE FROM credits_daytotal WHERE direction = 'used'",
        "UPDATE credits_agencydaytotal SET lines = 0",
        "UPDATE credits_monthtotal SET through[31] = 4",
        "UPDATE credits_fold SET sequence = sequence + 1",
    ):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(sql)
            assert {finding.law for finding in checks.audit()} == {14}, sql
            totals.rebuild(books.agency, "UTC")
            assert checks.audit() == [], sql
            transaction.set_rollback(True)


def test_the_command_makes_them_anew(books: Books) -> None:
    client = books.client()
    give(books.pool, 100)
    totals.keep_days(books.agency, "Asia/Kathmandu")
    use(client.sources, 5, sub_account_id=client.id)
    totals.fold()
    DayTotal.objects.filter(sub_account_id=client.id).delete()
    out = StringIO()

    call_command("rebuild_totals", agency=books.agency, stdout=out)

    assert "2 lines" in out.getvalue()
    assert checks.audit() == []
    with pytest.raises(CommandError, match="no totals"):
        call_command("rebuild_totals", agency=uuid7())


def totals_lines(books: Books) -> int:
    return sum(DayTotal.objects.filter(calendar__agency_id=books.agency).values_list("lines", flat=True))


FOLDS = """
import sys, django
django.setup()
from django.db import connection
from credits import totals

connection.settings_dict["NAME"] = sys.argv[1]
print("ready", flush=True)
while sys.stdin.readline() and totals.fold(most=5, seconds=0):
    print("folded", flush=True)
"""


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("series", range(6))
def test_a_fold_that_is_killed_has_folded_all_of_a_step_or_nothing(committed_books: Books, series: int) -> None:
    clients = [committed_books.client() for _ in range(3)]
    give(committed_books.pool, 10_000)
    for number in range(300):
        client = clients[number % 3]
        use(client.sources, 1 + number % 4, sub_account_id=client.id)
    totals.keep_days(committed_books.agency, "Europe/Stockholm")
    for attempt in range(3):
        worker = subprocess.Popen(
            [sys.executable, "-c", FOLDS, connection.settings_dict["NAME"]],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        )  # fmt: skip
        assert worker.stdin is not None and worker.stdout is not None
        for _ in range(2 + 2 * series):
            worker.stdout.readline()
            worker.stdin.write("fold\n")
            worker.stdin.flush()
        time.sleep(0.002 * series + 0.001 * attempt)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert 0 < totals_lines(committed_books) < 301, "the fold was killed too late or too early to show anything"
        assert checks.audit() == []
    totals.fold()
    assert checks.audit() == []
    assert Wallet.objects.get(pk=committed_books.pool.pk).sequence == Fold.objects.get(wallet_id=committed_books.pool.pk).sequence


def test_the_sweep_counts_every_agencys_days_in_its_time_zone(cast: Cast) -> None:
    use(cast.acme.credit_sources("credit"), 103, sub_account_id=cast.acme.public_id)

    credit_use.sweep()

    calendar = Calendar.objects.get(agency_id=cast.northlight.public_id)
    assert (calendar.time_zone, calendar.is_ready) == ("Europe/Stockholm", True)
    assert Fold.objects.filter(calendar=calendar, wallet=cast.northlight.pool("credit")).exists()
    assert credit_use.sweep() == 0


def test_pages_of_month_totals_have_room_for_every_row_to_be_written_anew(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE oid = 'public.credits_monthtotal'::regclass")
        assert cursor.fetchone()[0] == ["fillfactor=50"]
