"""A client's own lines: what was posted at once is told at once, in pages without gap or overlap."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from credits import ledger
from credits.models import Grant
from kit import clock
from subaccounts.models import SubAccount
from tests.cast import TESTS, Cast, Visitor, host_of
from tests.credits.conftest import fresh_key, give
from workspace import lines


@pytest.fixture
def acme(cast: Cast) -> SubAccount:
    SubAccount.objects.filter(pk=cast.acme.pk).update(balance_visibility="shown")
    return cast.acme


@pytest.fixture
def paul(cast: Cast, acme: SubAccount) -> Visitor:
    return Visitor(host_of(acme), cast.paul)


def use(acme: SubAccount, amount: int = 1, kind: str = "ai_reply", **more: Any) -> str:
    key = fresh_key()
    ledger.spend(
        sources=acme.credit_sources("credit"), amount=amount, key=key, kind=kind, by=TESTS, sub_account_id=acme.public_id, **more
    )  # fmt: skip
    return key


def told(acme: SubAccount, *, only_uses: bool = False, **wish: Any) -> list[tuple[str, int, int | None]]:
    return [(line.what, line.change, line.balance) for line in lines.every(acme, lines.Wish(**wish), only_uses=only_uses)]


class TestLines:
    def test_a_client_starts_with_what_it_was_given(self, acme: SubAccount) -> None:
        assert told(acme) == [("Starter credits", 100, 100)]

    def test_a_use_of_two_grants_is_one_line(self, acme: SubAccount) -> None:
        give(acme.wallet("credit"), 50, Grant.PURCHASE, sub_account_id=acme.public_id)
        use(acme, 120)
        assert told(acme)[0] == ("Reply by a chatbot", -120, 30)

    def test_what_the_agency_paid_of_it_is_a_line_without_a_balance(self, acme: SubAccount) -> None:
        use(acme, 103)
        assert told(acme)[:2] == [("Reply by a chatbot", -100, 0), ("Reply by a chatbot", -3, None)]
        assert told(acme, only_uses=True) == [("Reply by a chatbot", -103, None)]

    def test_what_is_given_back_says_so_whoever_paid(self, acme: SubAccount) -> None:
        ledger.void(entry_key=use(acme, 103), key=fresh_key(), by=TESTS)
        assert told(acme)[:2] == [("Given back", 100, 100), ("Given back", 3, None)]
        assert told(acme, only_uses=True)[0] == ("Given back", 103, None)

    def test_what_the_agency_does_is_told_in_the_clients_words(self, acme: SubAccount) -> None:
        pool, wallet = acme.agency.pool("credit"), acme.wallet("credit")
        give(pool, 1000)
        both = {"pool": pool, "wallet": wallet, "by": TESTS, "sub_account_id": acme.public_id, "memo": "Because Koala Legal left"}
        ledger.allocate(amount=pool.balance + 1000 - 200, key=fresh_key(), **both)
        ledger.reclaim(amount=30, key=fresh_key(), **both)
        ledger.adjust(wallet=acme.wallet("credit"), amount=-5, reason="Koala Legal's invoice", key=fresh_key(), by=TESTS)
        found = list(lines.every(acme, lines.Wish(), only_uses=False))
        assert [line.what for line in found] == [
            "Correction by your agency", "Taken back by your agency", "From your agency", "Starter credits",
        ]  # fmt: skip
        assert "Koala" not in str(found)
        assert told(acme, only_uses=True) == []

    def test_what_expires_is_told(self, acme: SubAccount) -> None:
        give(acme.wallet("credit"), 9, expires_at=clock.now() + timedelta(days=1), sub_account_id=acme.public_id)
        with time_machine.travel(clock.now() + timedelta(days=2)):
            ledger.expire_due()
            assert told(acme)[0] == ("Expired", -9, 100)

    def test_another_client_has_none_of_it(self, cast: Cast, acme: SubAccount) -> None:
        use(acme, 103, contact="Pat")
        assert told(cast.koala) == [("Starter credits", 100, 100)]

    def test_lines_are_filtered_by_kind_contact_and_day(self, acme: SubAccount) -> None:
        use(acme, contact="Pat")
        use(acme, contact="Kim", kind="call")
        today = clock.today_in(acme.agency.time_zone)
        assert [line.contact for line in lines.every(acme, lines.Wish(kind="call"), only_uses=True)] == ["Kim"]
        assert [line.contact for line in lines.every(acme, lines.Wish(contact="Pat"), only_uses=True)] == ["Pat"]
        assert len(told(acme, only_uses=True, first=today, last=today)) == 2
        assert told(acme, only_uses=True, last=today - timedelta(days=1)) == []
        assert told(acme, only_uses=True, first=today + timedelta(days=1)) == []


class TestPages:
    @pytest.mark.parametrize("path", ["/usage/uses/", "/credits/statement/"])
    def test_pages_follow_each_other_without_gap_or_overlap(self, paul: Visitor, acme: SubAccount, path: str) -> None:
        for number in range(lines.PAGE + 10):
            # Each of two grants, so that a posting may lie across the end of a page.
            give(acme.wallet("credit"), 1, Grant.STARTER, sub_account_id=acme.public_id)
            give(acme.wallet("credit"), 1, Grant.STARTER, sub_account_id=acme.public_id)
            use(acme, 2, contact=f"Visitor-{number:03}")
        seen: list[str] = []
        address = path
        while address:
            page = paul.get(address)
            seen += [line.contact for line in page.context["lines"] if line.contact]
            address = page.context["next_url"]
        assert seen == [f"Visitor-{number:03}" for number in reversed(range(lines.PAGE + 10))]

    @pytest.mark.parametrize("path", ["/usage/uses/", "/usage/uses.csv", "/credits/statement/", "/credits/statement.csv", "/credits/"])
    @pytest.mark.parametrize("query", ["cursor=x", "kind=x", "from=x&to=9999-12-31", "contact=%00", "from=0001-01-01", "unit=gold"])
    def test_k07_nonsense_in_the_address_is_a_page_all_the_same(self, paul: Visitor, path: str, query: str) -> None:
        assert paul.get(f"{path}?{query}").status_code == 200

    def test_k01_the_files_have_what_is_filtered_and_no_formulas(self, paul: Visitor, acme: SubAccount) -> None:
        use(acme, 102, contact="=HYPERLINK(1)", bot="@SUM(A1)")
        use(acme, 1, contact="Kim")
        statement, uses = (
            list(csv.DictReader(io.StringIO(b"".join(paul.get(path, {"contact": "=HYPERLINK(1)"})).decode("utf-8-sig"))))
            for path in ("/credits/statement.csv", "/usage/uses.csv")
        )
        assert [(row["Change"], row["Balance after"], row["Whose"]) for row in statement] == [
            ("-100", "0", "own wallet"), ("-2", "", "your agency"),
        ]  # fmt: skip
        assert [row["Amount"] for row in uses] == ["102"]
        assert uses[0]["Contact"].startswith("'=")
        assert uses[0]["Chatbot or campaign"].startswith("'@")

    @pytest.mark.parametrize("path", ["/usage/", "/usage/uses/", "/credits/", "/credits/statement/"])
    def test_a_page_costs_the_same_however_many_lines(self, paul: Visitor, acme: SubAccount, path: str) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                paul.get(path)
            return len(captured)

        use(acme)
        queries()
        few = queries()
        for _ in range(30):
            use(acme)
        assert queries() <= few <= 22

    def test_minutes_are_told_in_minutes(self, paul: Visitor, acme: SubAccount) -> None:
        give(acme.wallet("premium_minute"), 90 * 60, sub_account_id=acme.public_id)
        page = paul.get("/credits/", {"unit": "premium_minute"})
        assert [balance.unit.code for balance in page.context["balances"]] == ["credit", "premium_minute"]
        assert ">90<" in page.content.decode()


class TestAlert:
    def test_an_admin_sets_its_own_and_it_is_on_record(self, paul: Visitor, acme: SubAccount) -> None:
        assert paul.post("/credits/alerts/credit/", {"low_at": "150"}).status_code == 302
        assert acme.wallet("credit").thresholds.get().audience == "client"
        assert "Low" in paul.get("/credits/").content.decode()
        paul.post("/credits/alerts/credit/", {"low_at": ""})
        assert not acme.wallet("credit").thresholds.exists()

    def test_the_agencys_own_threshold_is_none_of_its_business(self, paul: Visitor, acme: SubAccount) -> None:
        ledger.set_threshold(wallet=acme.wallet("credit"), low_at=777, by=TESTS)
        page = paul.get("/credits/")
        assert page.context["balances"][0].low_at is None
        assert "777" not in page.content.decode()
        assert not page.context["balances"][0].is_low

    def test_a_member_only_looks(self, cast: Cast, acme: SubAccount) -> None:
        tess = Visitor(host_of(acme), cast.tess)
        assert tess.get("/credits/").status_code == 200
        assert "Change alert" not in tess.get("/credits/").content.decode()
        assert tess.post("/credits/alerts/credit/", {"low_at": "5"}).status_code == 403

    @pytest.mark.parametrize("wish", ["-1", "0.5", "x", "9" * 20, "0"])
    def test_a_number_that_makes_no_sense_changes_nothing(self, paul: Visitor, acme: SubAccount, wish: str) -> None:
        assert paul.post("/credits/alerts/credit/", {"low_at": wish}).status_code == 200
        assert not acme.wallet("credit").thresholds.exists()

    def test_an_unknown_unit_is_not_found(self, paul: Visitor) -> None:
        assert paul.get("/credits/alerts/gold/").status_code == 404


class TestMonths:
    def test_a_month_opens_moves_and_closes_in_the_clients_words(self, paul: Visitor, acme: SubAccount) -> None:
        use(acme, 103)
        ledger.allocate(
            pool=acme.agency.pool("credit"),
            wallet=acme.wallet("credit"),
            amount=20,
            key=fresh_key(),
            by=TESTS,
            sub_account_id=acme.public_id,
        )
        page = paul.get("/credits/months/", follow=True)
        [account] = page.context["accounts"]
        assert (account.opening, account.closing) == (0, acme.wallet("credit").balance)
        assert "From your agency" in [movement.words for movement in account.movements]
        assert [(movement.words, movement.amount) for one in page.context["paid"] for movement in one.from_pool] == [("AI reply", 3)]
        assert "pool" not in page.content.decode()

    def test_the_file_says_the_same(self, paul: Visitor, acme: SubAccount) -> None:
        use(acme, 103)
        month = f"{clock.today_in(acme.agency.time_zone):%Y-%m}"
        rows = list(csv.DictReader(io.StringIO(b"".join(paul.get(f"/credits/months/{month}.csv")).decode("utf-8-sig"))))
        assert [(row["Part"], row["Amount"]) for row in rows if row["Unit"] == "credit"][-1] == ("Paid by your agency", "3")
        assert "pool" not in str(rows)

    @pytest.mark.parametrize("month", ["x", "2020-13", "2199-01", "2026-1", "٢٠٢٦-٠١"])
    def test_there_is_no_such_month(self, paul: Visitor, month: str) -> None:
        assert paul.get(f"/credits/months/{month}/").status_code == 404
