"""Whether the pool pays for a client, and up to what: the policy, its page, the tab with everybody's limits."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import time_machine

from agency.models import AuditRecord
from credits import checks, ledger
from credits.models import Crossing, PoolLimit, Wallet
from subaccounts import pool_limits, pool_policy
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor
from tests.subaccounts.test_list import many


def choose(sub_account: SubAccount, fallback: str = "capped", *, is_hard: bool = True, **amounts: int | None) -> SubAccount:
    return pool_policy.choose(sub_account=sub_account, fallback=fallback, is_hard=is_hard, amounts=amounts, by=TESTS)


def use(sub_account: SubAccount, amount: int) -> ledger.Posted:
    sources = sub_account.credit_sources("credit")
    key = f"t:{uuid4()}"
    return ledger.spend(sources=sources, amount=amount, key=key, kind="ai_reply", by=TESTS, sub_account_id=sub_account.public_id)


def limit_of(sub_account: SubAccount, unit: str = "credit") -> PoolLimit | None:
    return PoolLimit.objects.filter(wallet=sub_account.wallet(unit)).first()


def form(fallback: str = "capped", **more: str) -> dict[str, str]:
    return {"fallback": fallback, "at_limit": "hard", **more}


class TestPolicy:
    def test_a_capped_client_uses_its_own_and_then_the_pool_up_to_its_limit(self, cast: Cast) -> None:
        choose(cast.acme, credit=40)
        use(cast.acme, 100)  # the starter credits
        use(cast.acme, 40)
        with pytest.raises(ledger.PoolLimitReached):
            use(cast.acme, 1)
        assert checks.audit() == []

    def test_on_and_off_take_the_limits_away(self, cast: Cast) -> None:
        for fallback in ("on", "off"):
            choose(cast.acme, credit=40, premium_minute=600)
            choose(cast.acme, fallback, credit=40)
            assert (cast.acme.pool_fallback, limit_of(cast.acme), limit_of(cast.acme, "premium_minute")) == (fallback, None, None)
        with pytest.raises(ledger.InsufficientCredits):
            use(cast.acme, 101)

    def test_it_is_on_record_once(self, cast: Cast) -> None:
        choose(cast.acme, credit=40, is_hard=False)
        choose(cast.acme, credit=40, is_hard=False)
        record = AuditRecord.objects.get(action="pool_policy.changed")
        assert (record.before, record.after) == (
            {"pool_fallback": "on"},
            {"pool_fallback": "capped", "credit": 40, "is_hard": False},
        )

    def test_capped_is_capped_at_something(self, cast: Cast) -> None:
        for amounts in ({}, {"credit": None}):
            with pytest.raises(ValueError):
                choose(cast.acme, **amounts)
        with pytest.raises(ValueError):
            choose(cast.acme, "sometimes", credit=5)

    def test_the_limits_follow_the_agencys_time_zone(self, cast: Cast) -> None:
        with time_machine.travel(datetime(2026, 4, 10, tzinfo=UTC), tick=False):
            choose(cast.acme, credit=40)
            answer = Visitor(PLATFORM, cast.nora).post("/settings/", {"name": "Northlight Digital", "time_zone": "America/New_York"})
        limit = limit_of(cast.acme)
        assert answer.status_code == 302
        assert limit is not None
        assert (limit.time_zone, limit.month_ends_at) == ("America/New_York", datetime(2026, 5, 1, 4, tzinfo=UTC))


class TestPage:
    def url(self, sub_account: SubAccount) -> str:
        return f"/sub-accounts/{sub_account.public_id}/limit/"

    def test_it_shows_and_changes_the_policy(self, cast: Cast) -> None:
        nora = Visitor(PLATFORM, cast.nora)
        use(cast.acme, 130)

        answer = nora.post(self.url(cast.acme), form(credit="250", premium_minute="12.5"))

        assert answer.status_code == 302
        credit, minutes = limit_of(cast.acme), limit_of(cast.acme, "premium_minute")
        assert credit is not None
        assert minutes is not None
        assert (credit.amount, credit.used, credit.is_hard, minutes.amount) == (250, 30, True, 750)
        page = nora.get(self.url(cast.acme)).content.decode()
        assert "30 credits of your pool used this month, 220 credits left" in page
        assert "Pool limit" in nora.get("/sub-accounts/").content.decode()
        assert self.url(cast.acme) in nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()

    def test_nothing_is_the_limit_where_the_agency_says_so(self, cast: Cast) -> None:
        Visitor(PLATFORM, cast.nora).post(self.url(cast.acme), form(credit="0") | {"at_limit": "alert"})
        limit = limit_of(cast.acme)
        assert limit is not None
        assert (limit.amount, limit.is_hard) == (0, False)

    @pytest.mark.parametrize(
        "amount",
        [
            "-1", "1.5", "0.001", "1_000", "１００", "1e3", "NaN", "inf", "+5", "1,000", "0x10", "true", "٣", "9" * 15 + "9", "9" * 400,
            "9223372036854775808", "5 5", "--", "1.", "'; DROP TABLE credits_poollimit; --",
        ],
    )  # fmt: skip
    def test_g02_what_is_no_amount_is_refused_in_words(self, cast: Cast, amount: str) -> None:
        answer = Visitor(PLATFORM, cast.nora).post(self.url(cast.acme), form(credit=amount))

        assert answer.status_code == 200
        assert 'aria-invalid="true"' in answer.content.decode()
        assert (cast.acme.pool_fallback, PoolLimit.objects.count()) == ("on", 0)

    @pytest.mark.parametrize("amount", ["999999999999999", "99999999999999.5"])
    def test_g02_more_minutes_than_a_wallet_can_hold_are_refused(self, cast: Cast, amount: str) -> None:
        answer = Visitor(PLATFORM, cast.nora).post(self.url(cast.acme), form(premium_minute=amount))
        assert "more than a wallet can hold" in answer.content.decode()
        assert not PoolLimit.objects.exists()

    def test_the_largest_there_can_be_is_taken(self, cast: Cast) -> None:
        assert Visitor(PLATFORM, cast.nora).post(self.url(cast.acme), form(credit="999999999999999")).status_code == 302

    @pytest.mark.parametrize(
        "wrong", [{}, form(), form("sometimes"), form(credit="5") | {"at_limit": "whatever"}, form(credit="5") | {"at_limit": ""}]
    )
    def test_half_a_policy_is_refused(self, cast: Cast, wrong: dict[str, str]) -> None:
        answer = Visitor(PLATFORM, cast.nora).post(self.url(cast.acme), wrong)
        assert answer.status_code == 200
        assert not PoolLimit.objects.exists()

    def test_g04_the_same_form_twice_changes_and_records_once(self, cast: Cast) -> None:
        nora = Visitor(PLATFORM, cast.nora)
        for _ in range(3):
            assert nora.post(self.url(cast.acme), form(credit="250")).status_code == 302
        assert AuditRecord.objects.filter(action="pool_policy.changed").count() == 1

    def test_another_agencys_client_is_not_found(self, cast: Cast) -> None:
        answer = Visitor(PLATFORM, cast.nora).post(self.url(cast.beacon), form(credit="5"))
        assert (answer.status_code, PoolLimit.objects.count()) == (404, 0)

    def test_who_may_not_move_credits_changes_nothing(self, cast: Cast) -> None:
        assert Visitor(PLATFORM, cast.mia).post(self.url(cast.acme), form(credit="5")).status_code == 403


class TestTab:
    def test_it_says_what_each_client_may_use_and_has_used(self, cast: Cast) -> None:
        choose(cast.acme, credit=50, is_hard=False)
        use(cast.acme, 130)
        use(cast.koala, 111)

        page = Visitor(PLATFORM, cast.nora).get("/credits/limits/").content.decode()

        rows = {
            row.sub_account.name: row for row in pool_limits.page(cast.northlight, SubAccount.objects.of(cast.northlight), _wish()).rows
        }
        assert (rows["Acme Plumbing"].used, rows["Acme Plumbing"].left, rows["Acme Plumbing"].at_limit) == (30, 20, "Alert only")
        assert (rows["Koala Legal"].used, rows["Koala Legal"].left, rows["Koala Legal"].policy) == (11, None, "No limit")
        assert "Alert only" in page
        assert "Beacon" not in page

    def test_it_says_when_more_is_promised_than_there_is(self, cast: Cast) -> None:
        pool = cast.northlight.pool("credit").available
        choose(cast.acme, credit=pool)
        use(cast.acme, 110)
        choose(cast.koala, credit=5000, is_hard=False)

        page = Visitor(PLATFORM, cast.nora).get("/credits/limits/").content.decode()

        (found,) = pool_limits.commitments(cast.northlight)
        assert (found.drawable, found.alert_only, found.limits, found.available) == (pool - 10 + 5000, 5000, 2, pool - 10)
        assert f"Clients may still draw {pool + 4990:,} of the {pool - 10:,} credits in the pool this month" in page
        assert "Promised more than there is" in page

    def test_last_months_use_is_nobodys_any_more(self, cast: Cast) -> None:
        choose(cast.acme, credit=50)
        use(cast.acme, 150)
        PoolLimit.objects.update(month_ends_at=datetime(2020, 1, 1, tzinfo=UTC))
        assert pool_limits.commitments(cast.northlight)[0].drawable == 50
        assert pool_limits.page(cast.northlight, SubAccount.objects.of(cast.northlight), _wish(policy="reached")).rows == []

    @pytest.mark.parametrize(
        ("query", "shown", "absent"),
        [
            ("?policy=capped", "Acme Plumbing", "Koala Legal"),
            ("?policy=on", "Koala Legal", "Acme Plumbing</a></th>"),
            ("?policy=reached", "Acme Plumbing", "Koala Legal"),
            ("?q=koala", "Koala Legal", "Acme Plumbing</a></th>"),
            ("?policy=nonsense&unit=nonsense&cursor=nonsense", "Koala Legal", "Beacon"),
            ("?q=%00zzz", "Nothing found", "Koala Legal</a></th>"),
        ],
    )
    def test_it_filters_and_searches(self, cast: Cast, query: str, shown: str, absent: str) -> None:
        choose(cast.acme, credit=50)
        use(cast.acme, 150)
        page = Visitor(PLATFORM, cast.nora).get(f"/credits/limits/{query}")
        assert page.status_code == 200
        body = page.content.decode().split('class="toolbar"')[1]
        assert shown in body
        assert absent not in body

    def test_pages_follow_each_other_and_the_file_has_them_all(self, cast: Cast) -> None:
        many(cast.harbour, 120)
        rita = Visitor(PLATFORM, cast.rita)

        rows = list(pool_limits.every(cast.harbour, SubAccount.objects.of(cast.harbour), _wish()))
        lines = b"".join(rita.get("/credits/limits.csv?unit=premium_minute").streaming_content).decode().splitlines()  # type: ignore[attr-defined]

        names = [row.sub_account.name for row in rows]
        assert names == sorted(names)
        assert len({row.sub_account.pk for row in rows}) == len(rows) == SubAccount.objects.of(cast.harbour).count()
        assert len(lines) == len(rows) + 1
        assert lines[0].startswith('\ufeff"Client","Unit","Policy"')

    def test_the_page_asks_a_handful_of_questions_whatever_there_is(self, cast: Cast, django_assert_max_num_queries: object) -> None:
        many(cast.harbour, 120)
        rita = Visitor(PLATFORM, cast.rita)
        with django_assert_max_num_queries(22):  # type: ignore[operator]
            assert rita.get("/credits/limits/").status_code == 200


def test_an_alert_is_written_when_a_limit_is_reached(cast: Cast) -> None:
    choose(cast.acme, credit=20)
    use(cast.acme, 120)
    kinds = Crossing.objects.filter(wallet=cast.acme.wallet("credit")).values_list("kind", flat=True)
    assert sorted(kinds) == [Crossing.FALLBACK, Crossing.LIMIT]
    assert not Crossing.objects.filter(wallet__owner_kind=Wallet.AGENCY).exists()


def _wish(**more: str) -> pool_limits.Wish:
    unit = Wallet.objects.filter(unit_id="credit").select_related("unit")[0].unit
    return pool_limits.Wish(unit, **more)
