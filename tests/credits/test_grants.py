"""What a balance is made of: open grants in the order of use, and what of them expires."""

from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import grants, ledger
from credits.models import Wallet
from kit import clock
from tests.cast import PLATFORM, Cast, Visitor
from tests.credits.conftest import Books, give, reserve, use

DAY = timedelta(days=1)


def every(wallet: Wallet, size: int = 3) -> list[grants.Open]:
    rows, page = [], grants.page(wallet, size=size)
    while True:
        rows += page.rows
        if page.next_cursor is None:
            return rows
        page = grants.page(wallet, after=page.next_cursor, size=size)


deeds = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.integers(1, 50), st.sampled_from([None, 1, 3, 9]), st.sampled_from(["starter", "plan", "purchase"])),
        st.tuples(st.just("use"), st.integers(1, 60)),
        st.tuples(st.just("reserve"), st.integers(1, 20)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=deeds)
def test_the_grants_listed_sum_to_the_balance_and_are_used_in_that_order(db: None, story: list[tuple]) -> None:
    books = Books()
    now = clock.now()
    with time_machine.travel(now, tick=True) as time:
        for deed, *what in story:
            try:
                if deed == "give":
                    amount, days, source = what
                    give(books.pool, amount, source, expires_at=clock.now() + days * DAY if days else None)
                elif deed == "use":
                    use([books.pool], what[0])
                elif deed == "reserve":
                    reserve([books.pool], what[0], expires_at=clock.now() + 30 * DAY)
                else:
                    time.shift(what[0] * DAY)
            except ledger.InsufficientCredits:
                continue
        pool = books.pool
        rows = every(pool)
        outlook = grants.outlook([pool])[pool.pk]

        assert sum(row.grant.remaining for row in rows) == pool.balance
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        assert outlook.available + outlook.expired + pool.held == pool.balance
        assert 0 <= outlook.in_a_week <= outlook.in_a_month <= outlook.available
        if outlook.available:
            first = next(row.grant for row in rows if not row.is_expired and row.grant.remaining > row.grant.held)
            [entry] = use([pool], 1).entries
            assert entry.grant_id == first.pk
        with pytest.raises(ledger.InsufficientCredits):
            use([pool], outlook.available + 1)


class TestOutlook:
    def test_it_says_what_expires_and_when_and_leaves_out_what_is_reserved(self, books: Books) -> None:
        give(books.pool, 40, "promotion", expires_at=clock.now() + 3 * DAY)
        give(books.pool, 60, "plan", expires_at=clock.now() + 20 * DAY)
        give(books.pool, 900)
        reserve([books.pool], 10)

        outlook = grants.outlook([books.pool])[books.pool.pk]

        assert (outlook.available, outlook.in_a_week, outlook.in_a_month, outlook.next_amount) == (990, 30, 90, 30)

    def test_what_is_expired_is_not_available_although_nobody_swept(self, books: Books) -> None:
        give(books.pool, 40, expires_at=clock.now() + DAY)
        with time_machine.travel(clock.now() + 2 * DAY):
            outlook = grants.outlook([books.pool])[books.pool.pk]
            assert (outlook.available, outlook.expired, outlook.next_at) == (0, 40, None)
            assert [row.is_expired for row in grants.page(books.pool).rows] == [True]

    def test_what_has_expired_stands_under_the_month_it_was_booked_in(self, books: Books) -> None:
        start = clock.now()
        give(books.pool, 40, expires_at=start + DAY)
        with time_machine.travel(start + 2 * DAY):
            ledger.expire_due()
            assert grants.lapsed([books.pool], start) == {books.pool.pk: 40}
            assert grants.lapsed([books.pool], start + 3 * DAY) == {}

    def test_all_wallets_cost_two_queries(self, cast: Cast) -> None:
        wallets = list(Wallet.objects.exclude(owner_kind=Wallet.BOOK))
        with CaptureQueriesContext(connection) as captured:
            grants.outlook(wallets)
        assert len(captured) <= 2


class TestPages:
    def test_the_balances_say_what_expires_and_what_has_expired(self, cast: Cast) -> None:
        pool = cast.northlight.pool("credit")
        give(pool, 437, "promotion", expires_at=clock.now() + 3 * DAY)
        page = Visitor(PLATFORM, cast.nora).get(reverse("credits_home"))
        assert "Expires within" in page.content.decode()
        assert "437" in page.content.decode()

    def test_the_grants_of_the_pool_stand_in_the_order_of_use(self, cast: Cast) -> None:
        pool = cast.northlight.pool("credit")
        give(pool, 70, "purchase")
        give(pool, 30, "promotion", expires_at=clock.now() + 3 * DAY, transferable=False)
        page = Visitor(PLATFORM, cast.nora).get(reverse("credits_grants", args=["credit"]))
        sources = [row.source for row in page.context["grants"]]
        assert sources.index("Promotion") < sources.index("Purchase")
        assert "it stays where it is" in page.content.decode()

    def test_more_than_a_page_follow_by_cursor(self, cast: Cast) -> None:
        pool = cast.northlight.pool("basic_minute")
        for _ in range(grants.PAGE + 5):
            give(pool, 60)
        nora = Visitor(PLATFORM, cast.nora)
        first = nora.get(reverse("credits_grants", args=["basic_minute"]))
        second = nora.get(first.context["next_url"])
        assert [row.number for row in second.context["grants"]] == list(range(51, 56))
        assert nora.get(reverse("credits_grants", args=["basic_minute"]), {"cursor": "x"}).status_code == 200

    def test_a_clients_own_wallet_has_the_same_page(self, cast: Cast) -> None:
        give(cast.acme.wallet("credit"), 25, "allocation")
        url = reverse("sub_account_grants", args=[cast.acme.public_id, "credit"])
        page = Visitor(PLATFORM, cast.nora).get(url)
        assert [(row.source, row.grant.remaining) for row in page.context["grants"]] == [("Starter credits", 100), ("Allocation", 25)]

    def test_an_outsider_finds_nothing(self, cast: Cast) -> None:
        url = reverse("sub_account_grants", args=[cast.acme.public_id, "credit"])
        assert Visitor(PLATFORM, cast.rita).get(url).status_code == 404
        assert Visitor(PLATFORM, cast.mia).get(url).status_code == 403
        assert Visitor(PLATFORM, cast.nora).get(reverse("sub_account_grants", args=[uuid4(), "credit"])).status_code == 404
        assert Visitor(PLATFORM, cast.nora).get(reverse("sub_account_grants", args=[cast.acme.public_id, "gold"])).status_code == 404
