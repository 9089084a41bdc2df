"""Usage of all clients, and the credit dashboard of one, through their pages."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from credits import ledger
from credits.models import BasePrice, Markup, Wallet
from kit import clock, ranges
from subaccounts import account, credit_use
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor
from tests.credits.conftest import TESTS, fresh_key, give


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


def reply(to: SubAccount, amount: int = 1, *, kind: str = "ai_reply") -> ledger.Posted:
    return ledger.spend(
        sources=to.credit_sources("credit"), amount=amount, key=fresh_key(), kind=kind, by=TESTS, sub_account_id=to.public_id
    )


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def dashboard(of: SubAccount) -> str:
    return reverse("client_credits", args=[of.public_id])


class TestRanges:
    @pytest.mark.parametrize(
        ("query", "first", "last", "before"),
        [
            ({}, "2026-02-27", "2026-03-28", ("2026-01-28", "2026-02-26")),
            ({"range": "7"}, "2026-03-22", "2026-03-28", ("2026-03-15", "2026-03-21")),
            ({"range": "month"}, "2026-03-01", "2026-03-28", ("2026-02-01", "2026-02-28")),
            ({"range": "last_month"}, "2026-02-01", "2026-02-28", ("2026-01-01", "2026-01-31")),
            ({"range": "custom", "first": "2026-03-29", "last": "2026-03-29"}, None, None, None),
            ({"range": "custom", "first": "2026-03-28", "last": "2026-12-31"}, "2026-03-28", "2026-03-28", ("2026-03-27", "2026-03-27")),
        ],
    )
    def test_what_is_asked_for(self, query: dict[str, str], first: str | None, last: str, before: tuple[str, str]) -> None:
        with time_machine.travel(datetime(2026, 3, 28, 23, 30, tzinfo=UTC), tick=False):
            shown, error = ranges.chosen(query, "UTC")
        if first is None:
            assert "not begun" in error
            return
        assert (shown.first, shown.last, error) == (date.fromisoformat(first), date.fromisoformat(last), "")
        assert (shown.previous.first, shown.previous.last) == tuple(map(date.fromisoformat, before))

    def test_a_day_is_the_agencys(self) -> None:
        with time_machine.travel(datetime(2026, 3, 28, 23, 30, tzinfo=UTC), tick=False):
            assert ranges.chosen({"range": "month"}, "Asia/Kathmandu")[0].last == date(2026, 3, 29)

    @pytest.mark.parametrize(
        ("first", "last", "words"),
        [
            ("", "", "first and the last day"),
            ("2026-02-30", "2026-03-01", "is no date"),
            ("yesterday", "2026-03-01", "is no date"),
            ("2026-03-02", "2026-03-01", "ends before it begins"),
            ("2024-01-01", "2025-12-31", "366 days at most"),
            ("0001-01-01", "0001-01-02", "nothing before 2000"),
            ("9999-12-30", "9999-12-31", "not begun yet"),
        ],
    )
    def test_a_bad_range_is_told_what_is_wrong_with_it(self, cast: Cast, nora: Visitor, first: str, last: str, words: str) -> None:
        query = {"range": "custom", "first": first, "last": last}
        for address in (reverse("credits_usage"), dashboard(cast.acme)):
            page = text(nora.get(address, query))
            assert words in page
            assert "instead" in page
        assert nora.get(reverse("credits_usage_csv"), query).status_code == 200

    def test_long_ranges_are_shown_by_month(self) -> None:
        shown = ranges.Range("custom", date(2025, 12, 20), date(2026, 12, 1))
        assert [label for label, _ in shown.steps][:2] == ["Dec 2025", "Jan 2026"]
        assert sum(len(days) for _, days in shown.steps) == len(shown.days) == 347

    @pytest.mark.parametrize(
        ("now", "before", "words"), [(5, 0, "new"), (0, 0, "–"), (0, 5, "−100 %"), (6, 5, "+20 %"), (5, 5, "±0 %"), (3000, 1, "+299,900 %")]
    )
    def test_a_change_in_words(self, now: int, before: int, words: str) -> None:
        assert ranges.change(now, before) == words


class TestTrend:
    def test_it_compares_with_the_days_before_and_tells_kinds_and_payers_apart(self, cast: Cast, nora: Visitor) -> None:
        long_ago = clock.now() - timedelta(days=10)
        with clock.at(long_ago):
            reply(cast.acme, 20)
        reply(cast.acme, 90)
        reply(cast.koala, 30, kind="campaign_message")

        page = nora.get(reverse("credits_usage"), {"range": "7"})

        rows = {row.name: (row.used, row.before, row.change) for row in page.context["rows"]}
        assert rows == {"Acme Plumbing": (90, 20, "+350 %"), "Koala Legal": (30, 0, "new")}
        assert [(kind.name, kind.used, kind.lines) for kind in page.context["kinds"]] == [("AI reply", 90, 2), ("Campaign message", 30, 1)]
        summary = page.context["summary"]
        assert (summary.used, summary.before, summary.from_pool, summary.clients) == (120, 20, 10, 2)
        for by in ("client", "kind", "payer"):
            series = nora.get(reverse("credits_usage"), {"range": "7", "by": by}).context["series"]
            assert sum(sum(values) for _, values in series) == 120

    def test_many_clients_are_paged_and_the_file_has_all_of_them(self, cast: Cast, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        reply(cast.acme, 3)
        reply(cast.koala, 3)
        monkeypatch.setattr("subaccounts.usage.page.__kwdefaults__", {"cursor": "", "size": 1})
        first = nora.get(reverse("credits_usage"))
        second = nora.get(first.context["next_url"])

        assert {row.name for page in (first, second) for row in page.context["rows"]} == {"Acme Plumbing", "Koala Legal"}
        assert second.context["next_url"] == ""
        content = b"".join(nora.get(reverse("credits_usage_csv"))).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(content)))
        assert sorted((row["Client"], row["Used (credits)"], row["Share of all"]) for row in rows) == [
            ("Acme Plumbing", "3", "50 %"), ("Koala Legal", "3", "50 %"),
        ]  # fmt: skip

    def test_folding_changes_nothing_on_the_page(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.acme, 7)
        live = [(row.name, row.used, row.trend) for row in nora.get(reverse("credits_usage")).context["rows"]]
        credit_use.sweep()
        assert [(row.name, row.used, row.trend) for row in nora.get(reverse("credits_usage")).context["rows"]] == live
        reply(cast.acme, 1)
        assert nora.get(reverse("credits_usage")).context["summary"].used == 8

    @pytest.mark.parametrize("cursor", ["x", "1:", ":", "5:not-a-uuid", "9" * 50 + ":00000000-0000-0000-0000-000000000000"])
    def test_nonsense_in_the_address_is_harmless(self, nora: Visitor, cursor: str) -> None:
        query = {"cursor": cursor, "unit": "x", "range": "x", "by": "x"}
        assert nora.get(reverse("credits_usage"), query).status_code == 200

    def test_a20_a_rival_is_not_in_it(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.beacon, 5)
        assert nora.get(reverse("credits_usage")).context["summary"].used == 0

    def test_it_costs_the_same_number_of_queries_however_many_clients(self, cast: Cast, nora: Visitor) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                nora.get(reverse("credits_usage"))
            return len(captured)

        reply(cast.acme)
        queries()
        few = queries()
        reply(cast.koala)
        assert queries() <= few <= 24


class TestDashboard:
    def test_r13_r14_what_was_bought_used_and_is_left(self, cast: Cast, nora: Visitor) -> None:
        wallet = cast.acme.wallet("credit")
        give(wallet, 40, "purchase")
        ledger.allocate(pool=cast.northlight.pool("credit"), wallet=wallet, amount=20, key=fresh_key(), by=TESTS)
        ledger.reclaim(wallet=wallet, pool=cast.northlight.pool("credit"), amount=5, key=fresh_key(), by=TESTS)
        reply(cast.acme, 165)
        Markup.objects.create(owner_kind=Wallet.SUB_ACCOUNT, owner_id=cast.acme.public_id, unit_id="credit", percent=100)

        page = nora.get(dashboard(cast.acme))

        (credits,) = [one for one in page.context["accounts"] if one.unit.code == "credit"]
        assert (credits.purchased, credits.allocated, credits.given) == (40, 15, 100)
        assert (credits.used_own, credits.used_pool, credits.consumed, credits.remaining) == (155, 10, 165, 0)
        assert credits.spend_minor == 1650  # 165 credits at $0.05, and as much again
        assert page.context["pool_use"].used == 10
        assert "$16.50" in text(page)
        assert "<svg" in text(page)

    def test_what_came_in_less_what_went_is_what_is_left(self, cast: Cast) -> None:
        wallet, pool = cast.acme.wallet("credit"), cast.northlight.pool("credit")
        give(wallet, 40, "purchase", key="bought")
        give(wallet, 9, "promotion", expires_at=clock.now() + timedelta(milliseconds=1))
        ledger.expire_due()
        ledger.void(entry_key="bought", key=fresh_key(), by=TESTS)
        ledger.allocate(pool=pool, wallet=wallet, amount=20, key=fresh_key(), by=TESTS)
        give(wallet, 6, "purchase")
        ledger.transfer(source=wallet, to=cast.koala.wallet("credit"), pool=pool, ratio=Fraction(1), amount=4, key=fresh_key(), by=TESTS)
        ledger.adjust(wallet=wallet, amount=11, reason="A gift after the outage", key=fresh_key(), by=TESTS)
        ledger.adjust(wallet=wallet, amount=-2, reason="Counted twice before", key=fresh_key(), by=TESTS)
        reply(cast.acme, 3)
        for name in ("acme", "koala"):
            client = getattr(cast, name)
            (one,) = [one for one in account.accounts(client) if one.unit.code == "credit"]
            flow = one.purchased + one.allocated + one.given + one.received - one.sent + one.adjusted - one.used_own - one.expired
            assert flow == one.wallet.balance, name
            assert (one.sent, one.received) == ((4, 0) if name == "acme" else (0, 4))

    def test_without_a_price_in_the_agencys_currency_it_says_so(self, cast: Cast, nora: Visitor) -> None:
        BasePrice.objects.filter(unit="credit", currency="USD").delete()
        assert "no price in USD for credits" in text(nora.get(dashboard(cast.acme)))

    def test_the_limit_stands_beside_this_months_use_of_the_pool(self, cast: Cast, nora: Visitor) -> None:
        zone = cast.northlight.time_zone
        SubAccount.objects.filter(pk=cast.acme.pk).update(pool_fallback=SubAccount.FALLBACK_CAPPED)
        ledger.set_pool_limit(wallet=cast.acme.wallet("credit"), amount=50, is_hard=True, time_zone=zone, by=TESTS)
        reply(cast.acme, 112)

        page = text(nora.get(dashboard(cast.acme)))

        assert "50 credits" in page
        assert "12 credits counted against it" in page

    def test_a20_nobody_sees_anothers(self, cast: Cast, nora: Visitor) -> None:
        assert nora.get(dashboard(cast.beacon)).status_code == 404
        assert Visitor(PLATFORM, cast.mia).get(dashboard(cast.acme)).status_code == 403

    def test_it_is_linked_from_the_client_and_the_list(self, cast: Cast, nora: Visitor) -> None:
        for address in (cast.acme.get_absolute_url(), reverse("sub_account_list"), reverse("credits_usage")):
            reply(cast.acme)
            assert dashboard(cast.acme) in nora.get(address).content.decode()
