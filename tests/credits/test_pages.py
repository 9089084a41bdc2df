import csv
import io
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agency.models import AuditRecord
from credits import ledger, statement
from kit import clock
from kit.csv_stream import safe
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor
from tests.credits.conftest import TESTS, fresh_key, give


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


def reply(to: SubAccount, *, contact: str = "Pat", amount: int = 1, **more: Any) -> ledger.Posted:
    return ledger.spend(
        sources=to.credit_sources("credit"), amount=amount, key=fresh_key(), kind=more.pop("kind", "ai_reply"), by=TESTS,
        sub_account_id=to.public_id, contact=contact, **more,
    )  # fmt: skip


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


class TestStatement:
    def test_a_line_says_when_which_client_what_contact_amount_balance_and_own_key(self, cast: Cast, nora: Visitor) -> None:
        """P-11, P-12"""
        reply(cast.acme, contact="Pat Jones", bot="Front desk", own_key=True)

        page = text(nora.get(reverse("credits_statement")))

        assert "Acme Plumbing" in page
        assert "Pat Jones" in page
        assert "AI reply" in page
        assert "Front desk" in page
        assert "−1 credit" in page
        assert "99" in page
        assert "own wallet" in page
        assert "<td>Yes</td>" in page

    def test_a_line_shows_its_reference_but_no_code(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.acme, reference="send 12")
        page = text(nora.get(reverse("credits_statement")))
        assert "send 12" in page
        assert "<dd>starter</dd>" not in page
        assert "<dd>promotion</dd>" not in page

    def test_it_shows_only_the_lines_of_ones_own_agency(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.beacon, contact="A rival's visitor")
        assert "A rival" not in text(nora.get(reverse("credits_statement")))
        assert "A rival" not in text(nora.get(reverse("credits_statement"), {"client": str(cast.beacon.public_id)}))

    def test_it_can_be_filtered_by_client_and_kind(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.acme, contact="Pat")
        reply(cast.koala, contact="Kim")
        reply(cast.acme, contact="Quinn", kind="campaign_message", campaign="Spring offer")

        of_acme = text(nora.get(reverse("credits_statement"), {"client": str(cast.acme.public_id)}))
        campaigns = text(nora.get(reverse("credits_statement"), {"kind": "campaign_message"}))

        assert "Pat" in of_acme
        assert "Quinn" in of_acme
        assert "Kim" not in of_acme
        assert "Quinn" in campaigns
        assert "Spring offer" in campaigns
        assert "Pat" not in campaigns

    def test_bad_filters_and_cursors_do_no_harm(self, nora: Visitor) -> None:
        for query in ({"client": "x"}, {"kind": "x"}, {"cursor": "x"}):
            assert nora.get(reverse("credits_statement"), query).status_code == 200

    def test_nothing_found_offers_to_clear_the_filters(self, nora: Visitor) -> None:
        assert "Clear search and filters" in text(nora.get(reverse("credits_statement"), {"kind": "call"}))

    def test_pages_follow_each_other_without_gap_or_overlap(self, cast: Cast, nora: Visitor) -> None:
        for number in range(120):
            reply(cast.acme, contact=f"Visitor-{number:03}")
        seen: list[str] = []
        url = reverse("credits_statement") + f"?kind=ai_reply&client={cast.acme.public_id}"
        while url:
            page = nora.get(url)
            seen += [row["line"].contact for row in page.context["lines"]]
            url = page.context["next_url"]
        assert sorted(seen, reverse=True) == [f"Visitor-{number:03}" for number in reversed(range(120))]

    def test_a_page_costs_the_same_number_of_queries_however_many_lines(self, cast: Cast, nora: Visitor) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                nora.get(reverse("credits_statement"))
            return len(captured)

        reply(cast.acme)
        queries()
        few = queries()
        for _ in range(40):
            reply(cast.koala)
        assert queries() <= few

    def test_k01_the_csv_has_what_is_filtered_and_no_formulas(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.acme, contact='=HYPERLINK("http://evil.example")', bot="@SUM(A1)")
        reply(cast.koala, contact="Kim")

        response = nora.get(reverse("credits_statement_csv"), {"client": str(cast.acme.public_id), "kind": "ai_reply"})
        content = b"".join(response).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(content)))

        assert ',-1,"credit",99,' in content  # numbers are numbers, texts are quoted

        assert [row["Client"] for row in rows] == ["Acme Plumbing"]
        assert rows[0]["Contact"].startswith("'=")
        assert rows[0]["Detail"].startswith("'@")
        assert (rows[0]["Change"], rows[0]["Balance after"], rows[0]["Balance of"]) == ("-1", "99", "client")
        assert "northlight-statement-" in response.headers["Content-Disposition"]

    def test_the_csv_streams_every_line(self, cast: Cast) -> None:
        for _ in range(25):
            reply(cast.acme)
        wish = statement.Wish(client=cast.acme.public_id, kind="ai_reply")
        assert len(list(statement.every(cast.northlight.public_id, wish, chunk=10))) == 25

    @pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "  =1", "＝1"])
    def test_k01_cells_that_look_like_formulas_are_quoted(self, cell: str) -> None:
        assert safe(cell) == f"'{cell}"

    def test_other_cells_stay(self) -> None:
        assert [safe("Pat"), safe(-1), safe("")] == ["Pat", -1, ""]

    def test_the_statement_of_one_wallet_goes_by_its_gapless_numbers(self, cast: Cast) -> None:
        pool = cast.northlight.pool("credit")
        for _ in range(5):
            ledger.spend(sources=[pool], amount=1, key=fresh_key(), kind="ai_reply", by=TESTS)
        pool.refresh_from_db()
        newest = statement.of_wallet(pool, size=3)
        older = statement.of_wallet(pool, before=newest[-1].from_sequence, size=2)
        assert [entry.from_sequence for entry in [*newest, *older]] == list(range(pool.sequence, pool.sequence - 5, -1))


class TestBalances:
    def test_the_page_shows_the_balance_and_what_was_used_of_the_pool(self, cast: Cast, nora: Visitor) -> None:
        reply(cast.acme, amount=130)  # 100 of its own starter credits, 30 of the pool
        response = nora.get(reverse("credits_home"))
        assert "970" in text(response)
        assert next(pool["used"] for pool in response.context["pools"] if pool["unit"].code == "credit") == 30

    def test_an_alert_is_set_in_whole_units_and_on_record(self, cast: Cast, nora: Visitor) -> None:
        response = nora.post(reverse("credits_threshold", args=["premium_minute"]), {"low_at": "2.5"})
        assert response.status_code == 302
        assert cast.northlight.pool("premium_minute").low_at == 150
        record = AuditRecord.objects.filter(action="credit_alert.changed").latest("at")
        assert (record.before, record.after) == ({"low_at": None}, {"low_at": 150})

    def test_an_alert_can_be_switched_off(self, cast: Cast, nora: Visitor) -> None:
        ledger.set_threshold(wallet=cast.northlight.pool("credit"), low_at=5000, by=TESTS)
        assert "Low" in text(nora.get(reverse("credits_home")))
        nora.post(reverse("credits_threshold", args=["credit"]), {"low_at": ""})
        assert cast.northlight.pool("credit").low_at is None

    @pytest.mark.parametrize("wish", ["-1", "0.5", "x", "9" * 20])
    def test_a_number_that_makes_no_sense_changes_nothing(self, cast: Cast, nora: Visitor, wish: str) -> None:
        before = cast.northlight.pool("credit").low_at
        assert nora.post(reverse("credits_threshold", args=["credit"]), {"low_at": wish}).status_code == 200
        assert cast.northlight.pool("credit").low_at == before

    def test_an_unknown_unit_is_not_found(self, nora: Visitor) -> None:
        assert nora.get(reverse("credits_threshold", args=["gold"])).status_code == 404


class TestUsage:
    def test_it_counts_per_client_without_what_was_voided(self, cast: Cast, nora: Visitor) -> None:
        """P-09, P-10, D-13"""
        reply(cast.acme, amount=30)
        voided = reply(cast.acme, amount=5)
        ledger.void(entry_key=voided.key, key=fresh_key(), by=TESTS)
        reply(cast.koala, amount=10)

        response = nora.get(reverse("credits_usage"))

        assert [(row.name, row.used) for row in response.context["rows"]] == [("Acme Plumbing", 30), ("Koala Legal", 10)]
        assert response.context["summary"].used == 40
        assert "<svg" in text(response)
        assert "Show as a table" in text(response)

    @pytest.mark.parametrize("days", [7, 30, 90])
    def test_the_range_decides_what_counts(self, cast: Cast, days: int) -> None:
        ahead = clock.now() + timedelta(days=days)
        reply(cast.acme, amount=3)
        with time_machine.travel(ahead, tick=False):
            reply(cast.acme, amount=4)
            shown = Visitor(PLATFORM, cast.nora).get(reverse("credits_usage"), {"range": days})
            assert shown.context["summary"].used == 4
            assert len(shown.context["labels"]) == days

    def test_minutes_are_shown_in_minutes(self, cast: Cast, nora: Visitor) -> None:
        give(cast.northlight.pool("premium_minute"), 600)
        ledger.spend(
            sources=cast.acme.credit_sources("premium_minute"),
            amount=90,
            key=fresh_key(),
            kind="call",
            by=TESTS,
            sub_account_id=cast.acme.public_id,
        )
        page = nora.get(reverse("credits_usage"), {"unit": "premium_minute"})
        assert page.context["series"][0][1][-1] == 1.5
        assert "1.5 premium minutes" in text(page)

    def test_with_nothing_used_it_says_so(self, nora: Visitor) -> None:
        assert "Nothing used" in text(nora.get(reverse("credits_usage")))


@pytest.mark.parametrize("wish", ["1e999999", "1e99999999999", "1e3", "1_000", "１００", "NaN", "Infinity", "9" * 200])
def test_g02_an_amount_is_written_in_digits_and_never_costs_more_than_reading_it(cast: Cast, wish: str) -> None:
    before = cast.northlight.pool("credit").low_at
    started = time.process_time()

    answer = Visitor(PLATFORM, cast.nora).post(reverse("credits_threshold", args=["credit"]), {"low_at": wish})

    assert answer.status_code == 200
    assert time.process_time() - started < 2
    assert cast.northlight.pool("credit").low_at == before


def test_a_member_sees_no_credits(cast: Cast) -> None:
    """E-06: an Agency Member has no part in the agency's credits."""
    mia = Visitor(PLATFORM, cast.mia)
    for name in ("credits_home", "credits_statement", "credits_statement_csv", "credits_usage"):
        assert mia.get(reverse(name)).status_code == 403
    assert mia.post(reverse("credits_threshold", args=["credit"]), {"low_at": "1"}).status_code == 403
    assert cast.northlight.pool("credit").low_at != 1


@pytest.mark.parametrize("client", ["nobody", "0", "00000000-0000-0000-0000-000000000001"])
def test_a_client_that_is_nobody_has_no_lines(cast: Cast, nora: Visitor, client: str) -> None:
    reply(cast.acme, contact="Pat of Acme")
    assert "Pat of Acme" not in nora.get(reverse("credits_statement"), {"client": client}).content.decode()
    assert b"Pat of Acme" not in b"".join(nora.get(reverse("credits_statement_csv"), {"client": client}).streaming_content)
