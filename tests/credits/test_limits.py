"""How much of the pool one client may use a month, counted by the spend itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from credits import checks, ledger
from credits.ledger import Use
from credits.models import LARGEST, Crossing, Entry, Hold, PoolLimit, Wallet
from kit import clock
from tests.credits.conftest import TESTS, Books, Client, fresh_key, give, limit, reserve, use


def used(client: Client) -> int:
    return PoolLimit.objects.get(pk=client.wallet.pk).used


def crossings(client: Client, kind: str = Crossing.LIMIT, **more: Any) -> int:
    return Crossing.objects.filter(wallet=client.wallet, kind=kind, **more).count()


def refused(client: Client, amount: int) -> ledger.PoolLimitReached:
    with pytest.raises(ledger.PoolLimitReached) as refusal:
        use(client.sources, amount)
    return refusal.value


@pytest.fixture
def client(books: Books) -> Client:
    give(books.pool, 1000, "plan")
    return books.client()


@pytest.fixture(autouse=True)
def the_books_are_right(db: None) -> Any:
    yield
    with time_machine.travel(clock.now() - timedelta(days=1000), tick=False):  # when no hold was overdue yet
        assert checks.audit() == []


def at(moment: datetime) -> time_machine.travel:
    return time_machine.travel(moment, tick=False)


def test_g06_a_client_uses_no_more_of_the_pool_than_its_limit(client: Client) -> None:
    limit(client, 100)
    for _ in range(100):
        use(client.sources, 1)

    refusal = refused(client, 1)

    assert (refusal.code, refusal.status, refusal.needed, refusal.available) == ("pool_limit_reached", 402, 1, 0)
    assert (client.books.pool.balance, used(client)) == (900, 100)
    assert Entry.objects.filter(sub_account_id=client.id, kind="ai_reply").count() == 100


def test_what_it_has_of_its_own_does_not_count(client: Client) -> None:
    give(client.wallet, 30)
    limit(client, 10)

    use(client.sources, 30)
    use(client.sources, 8)
    give(client.wallet, 5)

    assert refused(client, 8).available == 7
    use(client.sources, 7)
    assert (client.wallet.balance, used(client), client.books.pool.balance) == (0, 10, 990)


def test_a_limit_of_nothing_lets_the_client_use_its_own(client: Client) -> None:
    give(client.wallet, 3)
    limit(client, 0)
    use(client.sources, 3)
    assert refused(client, 1).available == 0
    assert crossings(client, rearmed_at=None) == 1


def test_the_pool_may_have_less_than_the_limit_allows(client: Client) -> None:
    limit(client, 2000)
    with pytest.raises(ledger.InsufficientCredits) as refusal:
        use(client.sources, 1001)
    assert (type(refusal.value), refusal.value.available, used(client)) == (ledger.InsufficientCredits, 1000, 0)


def test_a_limit_that_only_alerts_counts_on(client: Client) -> None:
    limit(client, 10, is_hard=False)
    use(client.sources, 9)
    assert crossings(client) == 0
    use(client.sources, 4)
    use(client.sources, 4)
    assert (used(client), crossings(client)) == (17, 1)


def test_one_limit_binds_nobody_else(client: Client) -> None:
    limit(client, 1)
    other = client.books.client()
    use(client.sources, 1)
    use(other.sources, 50)
    refused(client, 1)
    assert client.books.pool.balance == 949


def test_a_refused_key_can_be_used_once_the_limit_is_raised(client: Client) -> None:
    limit(client, 3)
    key = fresh_key()
    with pytest.raises(ledger.PoolLimitReached):
        use(client.sources, 4, key=key)
    limit(client, 4)
    use(client.sources, 4, key=key)
    assert use(client.sources, 4, key=key).is_replay
    assert used(client) == 4


class TestSetting:
    def test_in_the_middle_of_a_month_it_counts_what_was_used_and_is_reserved(self, client: Client) -> None:
        give(client.wallet, 5)
        use(client.sources, 15, key=(voided := fresh_key()))
        use(client.sources, 7)
        ledger.void(entry_key=voided, key=fresh_key(), by=TESTS)
        use(client.sources, 6)
        reserve(client.sources, 4)
        held = reserve(client.sources, 3)

        assert limit(client, 100).used == 7 + 1 + 4 + 3
        ledger.commit(hold=held, by=TESTS, amount=1)
        assert used(client) == 13

    def test_where_it_is_used_up_already_one_alert_is_due_now(self, client: Client) -> None:
        use(client.sources, 8)
        limit(client, 8)
        assert crossings(client) == 1
        refused(client, 1)
        assert crossings(client) == 1

    def test_it_can_be_taken_away(self, client: Client) -> None:
        limit(client, 5)
        use(client.sources, 5)
        limit(client, None)
        use(client.sources, 50)
        assert not client.wallet.has_pool_limit
        assert crossings(client, rearmed_at=None) == 0
        assert limit(client, 60).used == 55

    def test_the_same_again_changes_nothing(self, client: Client) -> None:
        first = limit(client, 5)
        use(client.sources, 5)
        assert limit(client, 5).month_ends_at == first.month_ends_at
        assert (used(client), crossings(client)) == (5, 1)

    def test_it_belongs_to_a_clients_wallet_and_has_bounds(self, client: Client) -> None:
        with pytest.raises(ValueError):
            ledger.set_pool_limit(wallet=client.books.pool, amount=5, is_hard=True, time_zone="UTC", by=TESTS)
        for amount in (-1, LARGEST + 1):
            with pytest.raises(ValueError):
                limit(client, amount)


class TestHolds:
    def test_what_is_reserved_counts_and_what_is_let_go_comes_back(self, client: Client) -> None:
        limit(client, 10)
        held = reserve(client.sources, 8)
        refused(client, 3)
        with pytest.raises(ledger.PoolLimitReached):
            reserve(client.sources, 3)
        ledger.commit(hold=held, by=TESTS, amount=5)
        assert used(client) == 5
        ledger.release(hold=reserve(client.sources, 5), by=TESTS)
        assert used(client) == 5

    def test_only_what_the_pool_pays_of_it_counts(self, client: Client) -> None:
        give(client.wallet, 6)
        limit(client, 10)
        held = reserve(client.sources, 9)
        assert used(client) == 3
        ledger.commit(hold=held, by=TESTS, amount=7)
        assert (used(client), client.wallet.balance, client.books.pool.balance) == (1, 0, 999)

    def test_a_hold_whose_time_is_over_gives_back(self, client: Client) -> None:
        limit(client, 10)
        reserve(client.sources, 8)
        with at(clock.now() + timedelta(minutes=6)):
            ledger.expire_due()
        assert used(client) == 0

    def test_one_that_lasts_into_the_next_month_counts_there(self, client: Client) -> None:
        with at(datetime(2026, 3, 31, 21, tzinfo=UTC)):
            limit(client, 10, time_zone="UTC")
            use(client.sources, 2)
            first, second = (reserve(client.sources, 4, expires_at=datetime(2026, 4, 2, tzinfo=UTC)) for _ in range(2))
        with at(datetime(2026, 4, 1, 1, tzinfo=UTC)):
            ledger.commit(hold=first, by=TESTS, amount=3)
            assert used(client) == 7
            ledger.release(hold=second, by=TESTS)
            assert used(client) == 3

    def test_one_made_before_there_was_a_limit_gives_back_too(self, client: Client) -> None:
        held = reserve(client.sources, 8)
        limit(client, 10)
        ledger.release(hold=held, by=TESTS)
        assert (Hold.objects.get(pk=held.pk).limit_id, used(client)) == (client.wallet.pk, 0)


class TestVoid:
    def test_a_void_gives_back(self, client: Client) -> None:
        give(client.wallet, 2)
        limit(client, 10)
        use(client.sources, 12, key=(key := fresh_key()))
        ledger.void(entry_key=key, key=fresh_key(), by=TESTS)
        assert used(client) == 0
        use(client.sources, 12)
        refused(client, 1)

    def test_not_what_was_used_last_month(self, client: Client) -> None:
        with at(datetime(2026, 3, 31, 21, tzinfo=UTC)):
            limit(client, 10, time_zone="UTC")
            use(client.sources, 9, key=(key := fresh_key()))
        with at(datetime(2026, 4, 1, 1, tzinfo=UTC)):
            use(client.sources, 4)
            ledger.void(entry_key=key, key=fresh_key(), by=TESTS)
            assert used(client) == 4


class TestMonths:
    @pytest.mark.parametrize(
        ("zone", "before", "after"),
        [
            ("Europe/Stockholm", datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)),
            ("Europe/Stockholm", datetime(2026, 10, 31, 22, 59, 59, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)),
            ("America/New_York", datetime(2026, 4, 1, 3, 59, 59, tzinfo=UTC), datetime(2026, 4, 1, 4, tzinfo=UTC)),
            ("Pacific/Auckland", datetime(2026, 1, 31, 10, 59, 59, tzinfo=UTC), datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ],
    )
    def test_it_starts_anew_at_midnight_of_the_agency(self, client: Client, zone: str, before: datetime, after: datetime) -> None:
        with at(before - timedelta(days=20)):
            limit(client, 5, time_zone=zone)
            use(client.sources, 5)
        with at(before):
            refused(client, 1)
        with at(after):
            assert PoolLimit.objects.get(pk=client.wallet.pk).used_this_month == 0
            use(client.sources, 5)
            refused(client, 1)
        assert (crossings(client), crossings(client, rearmed_at=None)) == (2, 1)

    def test_months_that_nobody_used_are_skipped(self, client: Client) -> None:
        with at(datetime(2026, 1, 31, 12, tzinfo=UTC)):
            limit(client, 5, time_zone="UTC")
            use(client.sources, 5)
        with at(datetime(2027, 2, 28, 12, tzinfo=UTC)):
            use(client.sources, 5)
            found = PoolLimit.objects.get(pk=client.wallet.pk)
        assert (found.month_began_at, found.month_ends_at) == (datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC))

    def test_a_server_whose_clock_is_late_counts_in_the_month_that_has_begun(self, client: Client) -> None:
        midnight = datetime(2026, 4, 1, tzinfo=UTC)
        with at(midnight - timedelta(hours=1)):
            limit(client, 5, time_zone="UTC")
        with at(midnight):
            use(client.sources, 3)
        with at(midnight - timedelta(seconds=1)):
            refused(client, 3)
            late = use(client.sources, 2)
            assert use(client.sources, 2, key=late.key).first_id == late.first_id
        assert (late.entries[0].at, used(client)) == (midnight, 5)

    def test_so_do_its_holds_and_batches(self, client: Client) -> None:
        midnight = datetime(2026, 4, 1, tzinfo=UTC)
        with at(midnight - timedelta(hours=1)):
            give(client.wallet, 1)
            limit(client, 9, time_zone="UTC")
            first = reserve(client.sources, 4, expires_at=midnight + timedelta(hours=1))
        with at(midnight):
            reserve(client.sources, 1, expires_at=midnight + timedelta(hours=1))
        with at(midnight - timedelta(seconds=1)):
            posted = ledger.commit(hold=first, by=TESTS, amount=3)
            results = ledger.spend_many(sources=client.sources, uses=[Use(fresh_key(), 3), Use(fresh_key(), 4)], kind="call", by=TESTS)
        assert [entry.at for entry in posted.entries] == [midnight, midnight]
        assert isinstance(results[0], ledger.Posted)
        assert [entry.at for entry in results[0].entries] == [midnight]
        assert isinstance(results[1], ledger.PoolLimitReached)
        assert used(client) == 6

    def test_another_time_zone_moves_the_end_of_the_month_it_is_in(self, client: Client) -> None:
        with at(datetime(2026, 3, 31, 22, 30, tzinfo=UTC)):  # April in Stockholm, still March in New York
            limit(client, 5, time_zone="Europe/Stockholm")
            use(client.sources, 5)
            assert ledger.set_time_zone(agency_id=client.books.agency, time_zone="America/New_York", by=TESTS) == 1
            refused(client, 1)
        with at(datetime(2026, 5, 1, 3, 59, tzinfo=UTC)):
            refused(client, 1)
        with at(datetime(2026, 5, 1, 4, tzinfo=UTC)):
            use(client.sources, 5)

    def test_another_time_zone_in_which_the_month_is_over_counts_the_next_anew(self, client: Client) -> None:
        with at(datetime(2026, 3, 31, 20, tzinfo=UTC)):
            limit(client, 5, time_zone="Europe/Stockholm")
            use(client.sources, 5)
            limit(client, 5, time_zone="Asia/Tokyo")
            refused(client, 1)
        with at(datetime(2026, 3, 31, 14, tzinfo=UTC)):
            other = client.books.client()
            limit(other, 5, time_zone="Europe/Stockholm")
            use(other.sources, 5)
        with at(datetime(2026, 3, 31, 20, tzinfo=UTC)):
            limit(other, 5, time_zone="Asia/Tokyo")
            assert (used(client), used(other)) == (5, 0)


class TestBatches:
    def send(self, client: Client, count: int, amount: int = 1) -> list[str]:
        uses = [Use(fresh_key(), amount) for _ in range(count)]
        results = ledger.spend_many(sources=client.sources, uses=uses, kind="campaign_message", by=TESTS)
        return ["posted" if isinstance(result, ledger.Posted) else result.code for result in results]

    def test_one_that_fits_is_counted_at_once(self, client: Client) -> None:
        limit(client, 50)
        assert self.send(client, 50) == ["posted"] * 50
        assert (used(client), crossings(client)) == (50, 1)

    def test_one_that_does_not_stops_where_the_limit_is(self, client: Client) -> None:
        give(client.wallet, 3)
        limit(client, 7)
        assert self.send(client, 8, amount=2) == ["posted"] * 5 + ["pool_limit_reached"] * 3
        assert (client.wallet.balance, used(client), client.books.pool.balance) == (0, 7, 993)

    def test_a_smaller_one_behind_it_may_still_fit(self, client: Client) -> None:
        limit(client, 5)
        uses = [Use(fresh_key(), amount) for amount in (3, 3, 2, 1)]
        results = ledger.spend_many(sources=client.sources, uses=uses, kind="campaign_message", by=TESTS)
        assert [isinstance(result, ledger.Posted) for result in results] == [True, False, True, False]
        assert isinstance(results[1], ledger.PoolLimitReached)
        assert (results[1].needed, results[1].available) == (3, 2)

    def test_repeats_count_once(self, client: Client) -> None:
        limit(client, 10)
        uses = [Use(fresh_key(), 1) for _ in range(8)]
        for _ in range(3):
            ledger.spend_many(sources=client.sources, uses=uses, kind="campaign_message", by=TESTS)
        assert used(client) == 8

    def test_one_that_only_alerts_goes_through(self, client: Client) -> None:
        limit(client, 7, is_hard=False)
        assert self.send(client, 10) == ["posted"] * 10
        assert used(client) == 10


class TestCrossings:
    def test_the_pool_begins_to_pay_once(self, client: Client) -> None:
        give(client.wallet, 3)
        use(client.sources, 3)
        assert crossings(client, Crossing.FALLBACK) == 0
        for _ in range(3):
            use(client.sources, 1)
        assert crossings(client, Crossing.FALLBACK) == 1
        assert client.wallet.on_pool_since is not None

    @pytest.mark.parametrize("way", ["spend", "hold", "batch"])
    def test_whoever_draws_on_it_first(self, client: Client, way: str) -> None:
        give(client.wallet, 3)
        if way == "spend":
            use(client.sources, 5)
        elif way == "hold":
            reserve(client.sources, 5)
        else:
            use(client.sources, 3)
            ledger.spend_many(sources=client.sources, uses=[Use(fresh_key(), 1)], kind="campaign_message", by=TESTS)
        assert crossings(client, Crossing.FALLBACK, rearmed_at=None) == 1

    def test_a_client_that_never_had_any_of_its_own_has_used_nothing_up(self, client: Client) -> None:
        use(client.sources, 1)
        assert crossings(client, Crossing.FALLBACK) == 0

    @pytest.mark.parametrize("way", ["grant", "allocate", "void", "release"])
    def test_it_pays_itself_again_once_it_has_some(self, client: Client, way: str) -> None:
        give(client.wallet, 3)
        held = reserve(client.sources, 2)
        use(client.sources, 1, key=(key := fresh_key()))
        use(client.sources, 1)
        assert client.wallet.on_pool_since is not None

        if way == "grant":
            give(client.wallet, 1)
        elif way == "allocate":
            ledger.allocate(pool=client.books.pool, wallet=client.wallet, amount=1, key=fresh_key(), by=TESTS)
        elif way == "void":
            ledger.void(entry_key=key, key=fresh_key(), by=TESTS)
        else:
            ledger.release(hold=held, by=TESTS)

        assert client.wallet.on_pool_since is None
        assert crossings(client, Crossing.FALLBACK, rearmed_at=None) == 0
        use(client.sources, 4)
        assert crossings(client, Crossing.FALLBACK) == 2

    def test_a_limit_is_reached_once_until_it_is_raised_or_units_come_back(self, client: Client) -> None:
        limit(client, 5)
        use(client.sources, 5, key=(key := fresh_key()))
        refused(client, 1)
        assert (crossings(client), crossings(client, rearmed_at=None)) == (1, 1)
        ledger.void(entry_key=key, key=fresh_key(), by=TESTS)
        assert crossings(client, rearmed_at=None) == 0
        use(client.sources, 5)
        limit(client, 9)
        assert (crossings(client), crossings(client, rearmed_at=None)) == (2, 0)

    def test_a_spend_that_is_refused_tells_once(self, client: Client) -> None:
        limit(client, 5)
        use(client.sources, 3)
        refused(client, 3)
        refused(client, 3)
        use(client.sources, 2)
        assert crossings(client) == 1

    def test_an_agencys_own_pool_comes_to_nothing(self, client: Client) -> None:
        use([client.books.pool], 1000)
        assert not Crossing.objects.filter(wallet__in=Wallet.objects.filter(agency_id=client.books.agency)).exists()


def test_no_pool_pays_for_a_client_past_its_wallet(client: Client) -> None:
    other = client.books.client()
    with pytest.raises(ValueError):
        use([client.books.pool], 1, sub_account_id=client.id)
    with pytest.raises(ValueError):
        use(client.sources, 1, sub_account_id=other.id)
    with pytest.raises(ValueError):
        use([*sorted((client.wallet, other.wallet), key=lambda wallet: wallet.pk), client.books.pool], 1)
