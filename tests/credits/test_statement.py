"""The statement's filters against a filter that looks at every entry, and walks over its pages."""

import csv
import html
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agency.models import Agency
from credits import ledger, statement
from credits.models import Entry, Wallet
from credits.statement import Page, Wish
from credits.views import statement as view
from kit import clock
from kit.ids import least_of, moment_of, uuid7
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, use

START = datetime(2026, 3, 1, tzinfo=UTC)
CONTACTS = ("Pat Jones", "Kim", "pat jones", "")
CAMPAIGNS = ("Spring offer", "Autumn", "")
KINDS = ("ai_reply", "campaign_message", "call", "knowledge")

Seen = tuple[UUID, int, int]


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


@pytest.fixture
def history(books: Books) -> tuple[Books, list[Client]]:
    """Two clients, two units, and some of everything over forty days."""
    random = Random(7)
    clients = [books.client(), books.client()]
    now = START
    with time_machine.travel(now, tick=False):
        for unit in ("credit", "premium_minute"):
            books.unit = unit
            give(books.pool, 10_000, "plan")
            give(clients[0].wallet, 60)
    for _ in range(160):
        now += timedelta(hours=random.randrange(12), microseconds=random.randrange(10**6))
        books.unit = random.choice(("credit", "credit", "premium_minute"))
        client = random.choice(clients)
        with time_machine.travel(now, tick=False):
            if random.random() < 0.15:
                ledger.allocate(pool=books.pool, wallet=client.wallet, amount=3, key=fresh_key(), by=TESTS)
            else:
                use(
                    client.sources, random.randrange(1, 9), kind=random.choice(KINDS), contact=random.choice(CONTACTS),
                    campaign=random.choice(CAMPAIGNS), own_key=random.random() < 0.2, sub_account_id=client.id,
                )  # fmt: skip
    return books, clients


def naive(books: Books, wish: Wish) -> list[Seen]:
    """What a reader of all entries would find."""
    found = []
    owners = dict(Wallet.objects.values_list("pk", "owner_kind"))
    for entry in sorted(Entry.objects.filter(agency_id=books.agency), key=lambda entry: entry.pk, reverse=True):
        wanted = (
            wish.client in (None, entry.sub_account_id)
            and wish.kind in ("", entry.kind)
            and wish.unit in ("", entry.unit_id)
            and wish.campaign in ("", entry.campaign)
            and wish.contact in ("", entry.contact)
            and wish.own_key in (None, entry.own_key)
            and (wish.since is None or entry.at >= wish.since)
            and (wish.until is None or entry.at < wish.until)
        )
        for wallet_id, balance, change in (
            (entry.from_wallet_id, entry.from_balance, -entry.amount),
            (entry.to_wallet_id, entry.to_balance, entry.amount),
        ):
            owner = owners[wallet_id]
            if wanted and owner != Wallet.BOOK and wish.wallet in ("", {"agency": "pool", "sub_account": "own"}[owner]):
                found.append((entry.pk, change, balance or 0))
    return found


def seen(page: Page) -> list[Seen]:
    return [(line.id, line.change, line.balance) for line in page.lines]


def walk(agency: UUID, wish: Wish, size: int) -> Iterator[Page]:
    cursor: UUID | None = None
    while True:
        page = statement.page(agency, wish, before=cursor, size=size)
        yield page
        if page.older is None:
            return
        cursor = page.older


def some_wish(random: Random, clients: list[Client]) -> Wish:
    """Each filter is set in about every third wish, and now and then to what nothing has."""

    def maybe(*values: Any, nothing: Any = "") -> Any:
        return random.choice(values) if random.random() < 0.35 else nothing

    since, until = statement.between(
        maybe(*(date(2026, 3, day) for day in range(1, 30)), nothing=None),
        maybe(*(date(2026, 3, day) for day in range(1, 30)), nothing=None),
        random.choice(["UTC", "America/New_York", "Asia/Kathmandu"]),
    )
    return Wish(
        client=maybe(*(client.id for client in clients), uuid7(), nothing=None),
        kind=maybe(*KINDS, "allocation", "grant", "void"),
        unit=maybe("credit", "premium_minute", "knowledge_pack"),
        wallet=maybe("pool", "own"),
        campaign=maybe(*CAMPAIGNS, "Winter"),
        contact=maybe(*CONTACTS, "Pat"),
        own_key=maybe(True, False, nothing=None),
        since=since,
        until=until,
    )


class TestFilters:
    def test_each_alone_and_all_together_find_what_a_look_at_every_entry_finds(
        self, history: tuple[Books, list[Client]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        books, clients = history
        random = Random(11)
        for _ in range(120):
            wish, size = some_wish(random, clients), random.randrange(5, 60)
            monkeypatch.setattr(statement, "REACH", random.choice([30, 90, 1000]))
            told = [line for page in walk(books.agency, wish, size) for line in seen(page)]
            assert told == naive(books, wish), wish
            assert [line.id for line in statement.every(books.agency, wish, chunk=50)] == [line[0] for line in told]

    def test_days_are_days_of_the_agencys_time_zone(self, books: Books) -> None:
        give(books.pool, 10)
        for hour in (3, 5):  # 22:00 on the first and midnight of the second, in New York
            with time_machine.travel(datetime(2026, 3, 2, hour, tzinfo=UTC), tick=False):
                use([books.pool], 1, contact=f"at {hour}")
        since, until = statement.between(date(2026, 3, 1), date(2026, 3, 1), "America/New_York")
        assert [line.contact for line in statement.page(books.agency, Wish(since=since, until=until)).lines] == ["at 3"]

    def test_an_entry_is_of_its_own_moment_to_the_millisecond(self, history: tuple[Books, list[Client]]) -> None:
        for entry in Entry.objects.filter(agency_id=history[0].agency):
            assert timedelta(0) <= entry.at - moment_of(entry.pk) < timedelta(milliseconds=1)

    @pytest.mark.parametrize("microseconds", [-1, 0, 1])
    def test_the_border_of_a_day_is_exact(self, books: Books, microseconds: int) -> None:
        border = datetime(2026, 3, 2, tzinfo=UTC)
        at = border + timedelta(microseconds=microseconds)
        with time_machine.travel(at, tick=False):
            give(books.pool, 1)
            give(books.pool, 5, expires_at=at + timedelta(microseconds=500))
        with time_machine.travel(at + timedelta(microseconds=501), tick=False):
            ledger.expire_due()
        for entry in Entry.objects.filter(agency_id=books.agency):
            assert (entry.pk >= least_of(border)) is (entry.at >= border)

    def test_units_between_two_wallets_are_a_line_of_each(self, books: Books) -> None:
        client = books.client()
        give(books.pool, 100)
        ledger.allocate(pool=books.pool, wallet=client.wallet, amount=30, key=fresh_key(), by=TESTS)
        wish = Wish(kind="allocation")
        assert [(line.change, line.balance, line.is_pool) for line in statement.page(books.agency, wish).lines] == [
            (-30, 70, True),
            (30, 30, False),
        ]
        of_pool, of_own = (statement.page(books.agency, Wish(wallet=wallet, kind="allocation")).lines for wallet in ("pool", "own"))
        assert [line.change for line in of_pool] == [-30]
        assert [line.change for line in of_own] == [30]

    def test_a_line_says_which_grant_its_units_are_of(self, books: Books) -> None:
        client, until = books.client(), clock.now() + timedelta(days=9)
        give(books.pool, 100, "promotion", expires_at=until)
        ledger.allocate(pool=books.pool, wallet=client.wallet, amount=30, key=fresh_key(), by=TESTS)
        lines = statement.page(books.agency, Wish(kind="allocation")).lines
        assert [(line.source, line.expires_at) for line in lines] == [("Promotion", until), ("Allocation", until)]


class TestPages:
    def test_a_walk_neither_skips_nor_repeats_while_new_lines_arrive(self, books: Books) -> None:
        give(books.pool, 10_000)
        for _ in range(40):
            use([books.pool], 1)
        there = naive(books, Wish())
        told: list[Seen] = []
        for page in walk(books.agency, Wish(), 6):
            told += seen(page)
            use([books.pool], 1)
        assert told == there

    def test_one_can_go_back_to_newer_lines(self, history: tuple[Books, list[Client]]) -> None:
        books, clients = history
        for wish in (Wish(), Wish(client=clients[0].id), Wish(kind="ai_reply", own_key=False), Wish(wallet="pool")):
            pages = list(walk(books.agency, wish, 8))
            for newer, older in pairwise(pages):
                assert older.newer is not None
                assert seen(statement.page(books.agency, wish, after=older.newer, size=8)) == seen(newer)
            assert pages[0].newer is None

    def test_from_near_the_top_one_comes_back_to_a_full_first_page(self, history: tuple[Books, list[Client]]) -> None:
        books, _ = history
        first = statement.page(books.agency, Wish(), size=8)
        assert statement.page(books.agency, Wish(), after=first.lines[4].id, size=8) == first

    def test_looks_are_bounded_and_come_to_an_end(self, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statement, "REACH", 10)
        give(books.pool, 1000)
        use([books.pool], 1, kind="campaign_message")
        for _ in range(45):
            use([books.pool], 1)
        pages = list(walk(books.agency, Wish(kind="campaign_message"), 5))
        assert [len(page.lines) for page in pages] == [0, 0, 0, 0, 1]
        assert all(page.looked_back_to is not None for page in pages[:-1])
        assert pages[-1].looked_back_to is None
        for page in pages[:-1]:
            assert page.older is not None
            assert page.looked_back_to == moment_of(page.older)

    def test_however_deep_and_whatever_is_filtered_a_page_is_two_queries_or_three(self, history: tuple[Books, list[Client]]) -> None:
        books, clients = history
        random = Random(3)
        for _ in range(30):
            with CaptureQueriesContext(connection) as captured:
                statement.page(books.agency, some_wish(random, clients))
            assert len(captured) <= 3
            assert not any("OFFSET" in query["sql"] or "COUNT(" in query["sql"].upper() for query in captured)


class TestForm:
    def test_filters_are_chips_that_can_each_be_taken_away(self, cast: Cast, nora: Visitor) -> None:
        query = {
            "client": str(cast.acme.public_id), "kind": "ai_reply", "unit": "credit", "wallet": "own", "own_key": "no", "contact": "Pat & Co",
            "campaign": "Spring", "first": "2026-01-02", "last": "2026-02-03", "cursor": str(uuid7()),
        }  # fmt: skip
        page = nora.get(reverse("credits_statement"), query)
        chips = dict(page.context["chips"])
        assert list(chips) == [
            "Acme Plumbing", "AI reply", "Credits", "Own wallets", "Without own AI key", "Contact: Pat & Co", "Campaign: Spring",
            "From 2 Jan 2026", "To 3 Feb 2026",
        ]  # fmt: skip
        for name, words in zip([name for name in query if name != "cursor"], chips, strict=True):
            assert f"{name}=" not in chips[words]
            assert "cursor=" not in chips[words]
            assert chips[words].count("=") == len(query) - 2

    @pytest.mark.parametrize(
        ("chosen", "first", "last"),
        [
            ("this_month", date(2026, 3, 1), date(2026, 3, 10)),
            ("last_month", date(2026, 2, 1), date(2026, 2, 28)),
            ("7", date(2026, 3, 4), date(2026, 3, 10)),
            ("90", date(2025, 12, 11), date(2026, 3, 10)),
        ],
    )
    def test_ranges_by_name(self, cast: Cast, chosen: str, first: date, last: date) -> None:
        with time_machine.travel(datetime(2026, 3, 9, 23, 30, tzinfo=UTC)):  # the tenth in Stockholm
            page = Visitor(PLATFORM, cast.nora).get(reverse("credits_statement"), {"range": chosen})
            assert page.context["asked"].days == (first, last)

    def test_days_that_are_typed_come_before_a_range(self, nora: Visitor) -> None:
        page = nora.get(reverse("credits_statement"), {"range": "7", "first": "2026-01-02"})
        assert page.context["asked"].days == (date(2026, 1, 2), None)

    @pytest.mark.parametrize(
        "query",
        [
            {"first": "x"}, {"first": "2026-02-30"}, {"last": "0001-01-01"}, {"first": "9999-12-31"}, {"last": "2026-03-01T10:00"},
            {"first": "2026-03-02", "last": "2026-03-01"}, {"kind": "x"}, {"unit": "gold"}, {"wallet": "x"}, {"own_key": "maybe"},
            {"contact": "\x00"}, {"campaign": "x" * 161}, {"search": "\x00"}, {"client": "x" * 41},
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_said_and_finds_nothing(self, cast: Cast, nora: Visitor, query: dict[str, str]) -> None:
        answer = nora.get(reverse("credits_statement"), query)
        assert answer.context["lines"] == []
        assert "error-summary" in text(answer)
        file = nora.get(reverse("credits_statement_csv"), query)
        assert file.status_code == 302
        assert file.headers["Location"].startswith(reverse("credits_statement"))

    @pytest.mark.parametrize("query", [{"range": "x"}, {"cursor": "x"}, {"newer": "x"}, {"cursor": "\x00"}, {"more": "of it"}])
    def test_an_unknown_range_or_place_is_none(self, nora: Visitor, query: dict[str, str]) -> None:
        assert nora.get(reverse("credits_statement"), query).context["lines"]

    @pytest.mark.parametrize("whose", ["rival", "nobody"])
    def test_another_agencys_client_finds_nothing(self, cast: Cast, nora: Visitor, whose: str) -> None:
        client = str(cast.beacon.public_id) if whose == "rival" else str(uuid7())
        answer = nora.get(reverse("credits_statement"), {"client": client})
        assert answer.context["lines"] == []
        assert "Beacon" not in text(answer)
        assert len(rows_of(nora, {"client": client})) == 0

    def test_among_many_clients_one_searches(self, cast: Cast, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(view, "LISTED_CLIENTS", 1)
        url = reverse("credits_statement")
        assert 'name="search"' in text(nora.get(url))
        several = text(nora.get(url, {"search": "l", "kind": "grant"}))
        assert "Which client do you mean?" in several
        assert f"kind=grant&client={cast.koala.public_id}" in several
        assert nora.get(url, {"search": "KOALA", "kind": "grant"}).headers["Location"] == f"{url}?kind=grant&client={cast.koala.public_id}"
        assert "No line of the statement matches" in text(nora.get(url, {"search": "beacon"}))
        assert {row["Client"] for row in rows_of(nora, {"search": "koala"})} == {"Koala Legal"}

    def test_a_search_among_very_many_clients_reads_a_dozen(self, cast: Cast, nora: Visitor) -> None:
        open_many(cast.northlight, 200)
        with CaptureQueriesContext(connection) as captured:
            page = nora.get(reverse("credits_statement"), {"search": "Client"})
        assert len(page.context["matches"]) == view.MATCHES
        assert page.context["clients"] == []
        searches = [query["sql"] for query in captured if "LIKE UPPER" in query["sql"]]
        assert searches
        assert all(f"LIMIT {view.MATCHES}" in sql for sql in searches)

    def test_the_page_says_how_far_it_looked_and_goes_on(self, cast: Cast, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statement, "REACH", 3)
        for _ in range(6):
            use(cast.acme.credit_sources("credit"), 1, sub_account_id=cast.acme.public_id)
        page = nora.get(reverse("credits_statement"), {"kind": "campaign_message"})
        assert "Looked back to" in text(page)
        assert "Nothing found" not in text(page)
        while page.context["next_url"]:
            assert "kind=campaign_message" in page.context["next_url"]
            page = nora.get(page.context["next_url"])
        assert "Nothing found" in text(page)


def test_the_file_is_what_the_pages_are(cast: Cast, nora: Visitor) -> None:
    for number in range(130):
        use(cast.acme.credit_sources("credit"), 1, sub_account_id=cast.acme.public_id, contact=f"Visitor {number % 7}")
    for query in ({}, {"contact": "Visitor 3"}, {"wallet": "pool"}, {"kind": "ai_reply", "client": str(cast.acme.public_id)}):
        shown: list[tuple[str, str]] = []
        page = nora.get(reverse("credits_statement"), query)
        while True:
            shown += [(str(row["line"].id), str(row["line"].change)) for row in page.context["lines"]]
            if not page.context["next_url"]:
                break
            page = nora.get(page.context["next_url"])
        assert [(row["Entry"], row["Change"]) for row in rows_of(nora, query)] == shown


def rows_of(nora: Visitor, query: dict[str, str]) -> list[dict[str, str]]:
    response = nora.get(reverse("credits_statement_csv"), query)
    return list(csv.DictReader(io.StringIO(b"".join(response).decode("utf-8-sig"))))


def open_many(agency: Agency, count: int) -> None:
    SubAccount.objects.bulk_create(
        SubAccount(agency=agency, name=f"Client {number:05}", slug=f"client-{number:05}", schema_name=f"c{number:05}", fingerprint="none")
        for number in range(count)
    )


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(html.unescape(response.content.decode()).split())
