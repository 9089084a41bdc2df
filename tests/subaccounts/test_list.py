"""The list of sub-accounts: ten thousand rows cost what ten do (D-02 … D-06, H-12)."""

import csv
import gzip
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agency.models import Agency, User
from credits import ledger
from kit import clock
from subaccounts import figures, lifecycle, listing
from subaccounts.models import DailyFigures, SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor

SORTS = ["name", "-name", "created", "-created", "messages", "-messages", "credits", "-credits"]


def many(agency: Agency, count: int) -> None:
    """Public rows only: the list looks into no schema."""
    start = clock.now() - timedelta(days=400)
    made = SubAccount.objects.bulk_create(
        SubAccount(
            agency=agency,
            name=f"Client {number * 7919 % count:05}",
            slug=f"client-{uuid4().hex[:20]}",
            schema_name=f"t_{uuid4().hex[:16]}",
            fingerprint="none",
            created_at=start + timedelta(minutes=number),
        )
        for number in range(count)
    )
    today = clock.today_in(agency.time_zone)
    DailyFigures.objects.bulk_create(
        DailyFigures(sub_account=made_one, day=today, messages=number % 97, leads=number % 5) for number, made_one in enumerate(made)
    )


def everything(agency: Agency, wish: listing.Wish) -> list[listing.Row]:
    rows: list[listing.Row] = []
    cursor, month = None, clock.month_start(agency.time_zone).date()
    while True:
        page = listing.page(agency, SubAccount.objects.of(agency), wish, month=month, cursor=cursor)
        rows += page.rows
        if page.next_cursor is None:
            return rows
        cursor = page.next_cursor


VALUE: dict[str, Callable[[listing.Row], object]] = {
    "name": lambda row: row.sub_account.name,
    "created": lambda row: row.sub_account.created_at,
    "messages": lambda row: row.messages,
    "credits": lambda row: row.credits,
}


@pytest.mark.parametrize("sort", SORTS)
def test_pages_follow_each_other_without_gap_or_repeat(cast: Cast, sort: str) -> None:
    many(cast.harbour, 180)
    used = SubAccount.objects.of(cast.harbour).clients().order_by("-id")[:3]
    for number, sub_account in enumerate(used, 1):
        ledger.open_wallets("sub_account", sub_account.public_id, agency_id=cast.harbour.public_id)
        ledger.spend(
            sources=sub_account.credit_sources("credit"),
            amount=number,
            key=f"t:{uuid4()}",
            kind="ai_reply",
            by=TESTS,
            sub_account_id=sub_account.public_id,
        )

    rows = everything(cast.harbour, listing.Wish(sort=sort))

    values = [VALUE[sort.removeprefix("-")](row) for row in rows]
    assert len({row.sub_account.pk for row in rows}) == len(rows) == SubAccount.objects.of(cast.harbour).count()
    assert values == sorted(values, reverse=sort.startswith("-"))  # type: ignore[type-var]


def test_figures_are_this_months_and_leads_all_times(cast: Cast) -> None:
    long_ago = clock.today_in(cast.northlight.time_zone) - timedelta(days=70)
    DailyFigures.objects.create(sub_account=cast.acme, day=long_ago, messages=50, leads=3)
    figures.add(cast.acme, messages=7, leads=1, conversations=2)
    of_acme = {"sources": cast.acme.credit_sources("credit"), "kind": "ai_reply", "by": TESTS, "sub_account_id": cast.acme.public_id}
    ledger.spend(amount=4, key=f"t:{uuid4()}", **of_acme)
    voided = ledger.spend(amount=9, key=f"t:{uuid4()}", **of_acme)
    ledger.void(entry_key=voided.key, key=f"t:{uuid4()}", by=TESTS)

    (row,) = [row for row in everything(cast.northlight, listing.Wish()) if row.sub_account == cast.acme]

    assert (row.messages, row.leads, row.credits) == (7, 4, 4)


def test_a20_another_agencys_clients_and_figures_are_not_in_it(cast: Cast) -> None:
    figures.add(cast.beacon, messages=31)

    rows = everything(cast.northlight, listing.Wish(sort="-messages"))

    assert {row.sub_account.agency_id for row in rows} == {cast.northlight.pk}
    assert sum(row.messages for row in rows) == 0


def test_search_and_status(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.koala, by=TESTS)

    def names(**wish: str) -> list[str]:
        return [row.sub_account.name for row in everything(cast.northlight, listing.Wish(**wish))]

    assert names(search="plumb") == ["Acme Plumbing"]
    assert names(search="PLUMB") == ["Acme Plumbing"]
    assert names(search="%") == []
    assert names(status="suspended") == ["Koala Legal"]
    assert "Koala Legal" not in names(status="active")


@pytest.mark.parametrize(
    "address",
    ["?cursor=nonsense", "?cursor=01a1fb3b-d336-7d58-9c16-8d07e1a545af", "?sort=password", "?sort=--name", "?status=other", "?q=%00"],
)
def test_nonsense_in_the_address_is_harmless(cast: Cast, address: str) -> None:
    assert Visitor(PLATFORM, cast.nora).get(f"/sub-accounts/{address}").status_code == 200


def test_a_cursor_of_another_agency_starts_over(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get(f"/sub-accounts/?cursor={cast.beacon.public_id}").content.decode()

    assert "Acme Plumbing" in page
    assert "Beacon Dental" not in page


def test_a_member_sees_only_what_was_granted_and_no_credits(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.mia).get("/sub-accounts/").content.decode()

    assert "Acme Plumbing" in page
    assert "Koala Legal" not in page
    assert "sort=credits" not in page
    assert "1 client. Messages" in page


def test_the_csv_has_all_pages_of_what_is_filtered_and_no_formulas(cast: Cast) -> None:
    many(cast.harbour, 120)
    SubAccount.objects.filter(pk=cast.beacon.pk).update(name="=1+1")

    def download(user: User, query: str = "") -> list[list[str]]:
        answer = Visitor(PLATFORM, user).get(f"/sub-accounts.csv{query}")
        text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
        return list(csv.reader(text.splitlines()))

    of_rita, of_mia = download(cast.rita), download(cast.mia)

    assert len(of_rita) == 1 + SubAccount.objects.of(cast.harbour).count()
    assert "'=1+1" in [row[0] for row in of_rita]
    assert len(download(cast.rita, "?q=client+0001")) == 11
    assert [row[0] for row in of_mia] == ["Name", "Acme Plumbing"]
    assert "Credits this month" not in of_mia[0]


def test_an_empty_result_offers_to_clear_the_filter(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get("/sub-accounts/?q=zzz").content.decode()

    assert "Clear search and filters" in page


def test_a_full_page_is_light(cast: Cast) -> None:
    many(cast.harbour, 60)

    page = Visitor(PLATFORM, cast.rita).get("/sub-accounts/").content

    assert len(gzip.compress(page)) <= 40_000


def queries_of(browser: Visitor, address: str) -> int:
    """How many queries a page takes, the second time it is asked for."""
    browser.get(f"/sub-accounts/{address}")
    with CaptureQueriesContext(connection) as queries:
        browser.get(f"/sub-accounts/{address}")
    return len(queries)


def test_ten_thousand_rows_take_no_more_queries_than_ten(cast: Cast) -> None:
    addresses = ["", "?sort=-created", "?sort=-messages", "?sort=-credits", "?q=client+0"]
    browser = Visitor(PLATFORM, cast.rita)
    many(cast.harbour, 60)
    few = {address: queries_of(browser, address) for address in addresses}
    many(cast.harbour, 10_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE subaccounts_subaccount, subaccounts_dailyfigures")

    lots = {address: queries_of(browser, address) for address in addresses}

    assert lots == few
    assert max(lots.values()) <= 20
