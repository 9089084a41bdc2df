"""The monthly statement against a recount of every line by hand."""

import csv
import html
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from credits import ledger, monthly, statement, totals
from credits.models import Entry, Wallet
from credits.views import statement as statement_view
from kit import clock
from tests.cast import PLATFORM, Cast, Visitor
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, use

ZONE = "America/New_York"
FIRST = date(2026, 1, 1)


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


def lines_of(books: Books, wallet: Wallet) -> list[tuple[datetime, int]]:
    """Every change of a wallet: when, and by how much."""
    found = []
    for entry in Entry.objects.filter(agency_id=books.agency):
        if entry.from_wallet_id == wallet.pk:
            found.append((entry.at, -entry.amount))
        if entry.to_wallet_id == wallet.pk:
            found.append((entry.at, entry.amount))
    return found


def month_of(moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(ZONE)).date().replace(day=1)


def live(books: Books, clients: list[Client], random: Random) -> None:
    """Some months of all that can happen, much of it within the seconds around midnight of a month's first."""
    voidable: list[str] = []
    now = datetime(2026, 1, 20, tzinfo=UTC)
    with time_machine.travel(now, tick=False):
        give(books.pool, 5_000, "plan")
    for _ in range(80):
        if random.random() < 0.1:  # to just before or just after a month's border in New York
            border = statement.between(monthly.month_after(month_of(now)), None, ZONE)[0]
            assert border is not None
            now = max(now, border + timedelta(microseconds=random.choice([-1_000_000, -1, 0, 1, 999])))
        now += timedelta(microseconds=random.randrange(3 * 10**9))
        client = random.choice(clients)
        with time_machine.travel(now, tick=False):
            try:
                match random.randrange(8):
                    case 0:
                        until = now + timedelta(days=random.randrange(1, 30))
                        give(random.choice(client.sources), random.randrange(1, 90), expires_at=until, key=(key := fresh_key()))
                        voidable.append(key)
                    case 1:
                        ledger.allocate(pool=books.pool, wallet=client.wallet, amount=random.randrange(1, 60), key=fresh_key(), by=TESTS)
                    case 2:
                        ledger.reclaim(pool=books.pool, wallet=client.wallet, amount=random.randrange(1, 20), key=fresh_key(), by=TESTS)
                    case 3 if voidable:
                        ledger.void(entry_key=voidable.pop(), key=fresh_key(), by=TESTS)
                    case 4:
                        ledger.expire_due()
                    case 5:
                        wallet = random.choice(client.sources)
                        ledger.adjust(wallet=wallet, amount=random.choice([7, -3]), reason="Recounted", key=fresh_key(), by=TESTS)
                    case _:
                        kind = random.choice(["ai_reply", "campaign_message"])
                        voidable.append(use(client.sources, random.randrange(1, 40), kind=kind, sub_account_id=client.id).key)
            except (ledger.InsufficientCredits, ledger.CannotVoid):
                continue


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_folded", [False, True])
def test_opening_and_movements_are_the_closing_balance_and_the_sum_of_the_lines(books: Books, seed: int, is_folded: bool) -> None:
    """Z-19"""
    clients = [books.client(), books.client()]
    live(books, clients, Random(seed))
    if is_folded:
        totals.keep_days(books.agency, ZONE)
        totals.fold()
    days = totals.days_of(books.agency, ZONE)
    months, last = [FIRST], month_of(max(at for at, _ in lines_of(books, books.pool)) + timedelta(days=40))
    while months[-1] < last:
        months.append(monthly.month_after(months[-1]))

    for who, wallet in [(None, books.pool), *((client.id, client.wallet) for client in clients)]:
        lines = lines_of(books, wallet)
        opened_with = 0
        for month in months:
            account = monthly.accounts(days, month, client=who)[0]
            in_month = [amount for at, amount in lines if month_of(at) == month]

            assert account.opening == opened_with == sum(amount for at, amount in lines if month_of(at) < month)
            assert account.closing - account.opening == sum(movement.amount for movement in account.movements) == sum(in_month)
            assert sum(movement.lines for movement in account.movements) == len(in_month)
            opened_with = account.closing
        assert opened_with == wallet.balance


def test_what_the_pool_paid_for_a_client_without_units_of_its_own_stands_beside(books: Books) -> None:
    client = books.client()
    give(books.pool, 100)
    use(client.sources, 30, sub_account_id=client.id)
    voided = use(client.sources, 5, sub_account_id=client.id)
    ledger.void(entry_key=voided.key, key=fresh_key(), by=TESTS)
    days = totals.days_of(books.agency, "UTC")

    account = monthly.accounts(days, clock.today_in("UTC").replace(day=1), client=client.id)[0]

    assert (account.opening, account.movements, account.closing) == (0, [], 0)
    assert account.paid_by_pool == 30
    assert [(movement.words, movement.amount) for movement in account.from_pool] == [("AI reply", 35), ("AI reply, voided", -5)]


def test_every_kind_of_movement_has_words_of_its_own(books: Books) -> None:
    client, other = books.client(), books.client()
    give(books.pool, 1000, "plan")
    give(client.wallet, 50, "starter", transferable=False)
    give(client.wallet, 40)
    ledger.allocate(pool=books.pool, wallet=client.wallet, amount=30, key=fresh_key(), by=TESTS)
    ledger.reclaim(pool=books.pool, wallet=client.wallet, amount=10, key=fresh_key(), by=TESTS)
    ledger.transfer(source=client.wallet, to=other.wallet, pool=books.pool, amount=5, ratio=Fraction(1), key=fresh_key(), by=TESTS)
    use([client.wallet], 7, sub_account_id=client.id)
    ledger.adjust(wallet=client.wallet, amount=-2, reason="Counted twice", key=fresh_key(), by=TESTS)
    days = totals.days_of(books.agency, "UTC")
    month = clock.today_in("UTC").replace(day=1)

    of_client, of_pool = monthly.accounts(days, month, client=client.id)[0], monthly.accounts(days, month)[0]

    assert Counter((movement.group, movement.words, movement.amount) for movement in of_client.movements) == Counter(
        [
            ("Came in", "Starter credits", 50),
            ("Came in", "Purchase", 40),
            ("Came in", "Allocated from the pool", 30),
            ("Used", "AI reply", -7),
            ("Went out", "Taken back to the pool", -10),
            ("Went out", "Moved out", -5),
            ("Went out", "Adjustment", -2),
        ]
    )
    assert [movement.words for movement in of_pool.movements] == ["Plan", "Taken back from clients", "Allocated to clients"]
    assert (of_client.closing, of_pool.closing) == (client.wallet.balance, books.pool.balance)


class TestPages:
    def test_the_page_shows_where_a_month_began_what_happened_and_where_it_ended(self, cast: Cast, nora: Visitor) -> None:
        pool = cast.northlight.pool("credit")
        ledger.allocate(pool=pool, wallet=cast.acme.wallet("credit"), amount=40, key=fresh_key(), by=TESTS)
        use(cast.acme.credit_sources("credit"), 130, sub_account_id=cast.acme.public_id)

        page = text(nora.get(month_url(), {"client": str(cast.acme.public_id)}))

        assert "Acme Plumbing" in page
        assert "Northlight Digital" in page
        for figures in ('Opening balance</th><td></td><td class="num">0', "Starter credits</td>", "Allocated from the pool</td>", "−130"):
            assert figures in page, figures
        assert 'Closing balance</th><td></td><td class="num">10' in page

    def test_the_pool_has_a_statement_of_its_own(self, nora: Visitor) -> None:
        page = text(nora.get(month_url()))
        assert "The agency's pool" in page
        assert "Paid by the agency's pool" not in page

    def test_a_month_without_anything_says_so(self, nora: Visitor) -> None:
        assert "Nothing in this month" in text(nora.get(reverse("credits_month", args=["2020-02"])))

    @pytest.mark.parametrize("month", ["2026-13", "2026-00", "1999-01", "9999-12", "x", "2026-1", "２０２６-01", "2999-01"])
    def test_what_is_no_month_or_not_yet_one_is_not_found(self, nora: Visitor, month: str) -> None:
        for name in ("credits_month", "credits_month_csv"):
            assert nora.get(reverse(name, args=[month])).status_code == 404

    @pytest.mark.parametrize("client", ["x", "00000000-0000-0000-0000-000000000001", "\x00", "9" * 300])
    def test_what_is_no_client_is_not_found(self, nora: Visitor, client: str) -> None:
        for url in (month_url(), reverse("credits_months"), month_url("credits_month_csv")):
            assert nora.get(url, {"client": client}).status_code == 404

    def test_another_agencys_client_is_not_found(self, cast: Cast, nora: Visitor) -> None:
        for url in (month_url(), reverse("credits_months"), month_url("credits_month_csv")):
            assert nora.get(url, {"client": str(cast.beacon.public_id)}).status_code == 404

    def test_the_list_has_every_month_of_a_year_since_the_first_line(self, cast: Cast) -> None:
        use(cast.acme.credit_sources("credit"), 12, sub_account_id=cast.acme.public_id)
        began = clock.today_in("Europe/Stockholm").replace(day=1)
        with time_machine.travel(datetime(began.year + 1, 2, 10, tzinfo=UTC)):
            nora = Visitor(PLATFORM, cast.nora)
            this_year = nora.get(reverse("credits_months"), {"client": str(cast.acme.public_id)})
            last_year = nora.get(reverse("credits_months"), {"client": str(cast.acme.public_id), "year": str(began.year)})
        assert [row["month"].month for row in this_year.context["rows"]] == [2, 1]
        assert [row["month"].month for row in last_year.context["rows"]] == list(range(12, began.month - 1, -1))
        assert last_year.context["rows"][-1]["used"][0][1] == 12

    def test_a_client_is_searched_for_where_there_are_many(self, cast: Cast, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statement_view, "LISTED_CLIENTS", 1)
        url = reverse("credits_months")
        assert "Which client do you mean?" in text(nora.get(url, {"search": "l"}))
        assert nora.get(url, {"search": "acme"}).headers["Location"] == f"{url}?client={cast.acme.public_id}"
        assert "No client has this in its name" in text(nora.get(url, {"search": "beacon"}))
        assert nora.get(url, {"search": "\x00"}).status_code == 200

    def test_however_much_there_is_a_page_costs_the_same_queries(self, cast: Cast, nora: Visitor) -> None:
        def queries() -> list[int]:
            counts = []
            for url in (month_url(), reverse("credits_months"), reverse("credits_statement")):
                with CaptureQueriesContext(connection) as captured:
                    nora.get(url, {"client": str(cast.acme.public_id)})
                counts.append(len(captured))
            return counts

        queries()
        few = queries()
        for _ in range(30):
            use(cast.acme.credit_sources("credit"), 9, sub_account_id=cast.acme.public_id)
        assert queries() == few
        assert max(few) <= 20

    def test_the_file_says_what_the_page_says(self, cast: Cast, nora: Visitor) -> None:
        use(cast.acme.credit_sources("credit"), 130, sub_account_id=cast.acme.public_id)
        response = nora.get(month_url("credits_month_csv"), {"client": str(cast.acme.public_id)})
        rows = list(csv.DictReader(io.StringIO(b"".join(response).decode("utf-8-sig"))))
        credits = [(row["Part"], row["What"], row["Amount"]) for row in rows if row["Unit"] == "credit"]
        assert credits == [
            ("Balance", "Opening balance", "0"),
            ("Came in", "Starter credits", "100"),
            ("Used", "AI reply", "-100"),
            ("Balance", "Closing balance", "0"),
            ("Paid by the pool", "AI reply", "30"),
        ]
        assert "northlight-acme-plumbing-20" in response.headers["Content-Disposition"]


def month_url(name: str = "credits_month") -> str:
    return reverse(name, args=[f"{clock.today_in('Europe/Stockholm'):%Y-%m}"])


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(html.unescape(response.content.decode()).split())
