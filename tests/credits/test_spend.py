from datetime import timedelta

import pytest
from django.db import connection

from credits import ledger
from credits.books import ISSUED, book
from credits.models import LARGEST, Entry, Wallet
from kit import clock
from kit.actor import Actor
from tests.credits.conftest import TESTS, Books, fresh_key, give, reserve, use


def test_the_agencys_example_holds(books: Books) -> None:
    """P-05: 1,000 − 50 (a campaign to 50 contacts) − 30 (30 AI replies) = 920."""
    give(books.pool, 1000, "plan")
    client = books.client()

    use(client.sources, 50, kind="campaign_message", campaign="Spring offer")
    for reply in range(30):
        use(client.sources, 1, contact=f"Visitor {reply}")

    assert books.pool.balance == 920


def test_purchased_credits_are_used_before_the_agency_pool(books: Books) -> None:
    """R-12"""
    client = books.client()
    give(client.wallet, 30)
    give(books.pool, 100, "plan")

    posted = use(client.sources, 50)

    assert (client.wallet.balance, books.pool.balance) == (0, 80)
    assert [entry.amount for entry in posted.entries] == [30, 20]


def test_the_starter_grant_is_used_first(books: Books) -> None:
    """Decision 3"""
    wallet = books.client().wallet
    bought = give(wallet, 50)
    starter = give(wallet, 100, "starter", transferable=False)

    use([wallet], 100)

    bought.refresh_from_db()
    starter.refresh_from_db()
    assert (starter.remaining, bought.remaining) == (0, 50)


def test_inside_a_wallet_priority_then_soonest_expiry_then_oldest_decide(books: Books) -> None:
    wallet = books.client().wallet
    soon, later = clock.now() + timedelta(days=1), clock.now() + timedelta(days=9)
    fifth = give(wallet, 1, priority=5)
    fourth = give(wallet, 1, priority=4)
    third = give(wallet, 1, priority=3, expires_at=later)
    second = give(wallet, 1, priority=3, expires_at=soon)
    first = give(wallet, 1, priority=2)

    posted = use([wallet], 5)

    assert [entry.grant_id for entry in posted.entries] == [lot.pk for lot in (first, second, third, fourth, fifth)]


def test_all_or_nothing(books: Books) -> None:
    client = books.client()
    give(client.wallet, 30)
    give(books.pool, 20)

    with pytest.raises(ledger.InsufficientCredits) as refusal:
        use(client.sources, 51)

    assert (refusal.value.needed, refusal.value.available, refusal.value.status) == (51, 50, 402)
    assert (client.wallet.balance, books.pool.balance) == (30, 20)
    assert not Entry.objects.filter(agency_id=books.agency, kind="ai_reply").exists()


def test_a_key_that_was_refused_can_be_used_once_there_are_credits(books: Books) -> None:
    key = fresh_key()
    with pytest.raises(ledger.InsufficientCredits):
        use([books.pool], 5, key=key)
    give(books.pool, 5)

    use([books.pool], 5, key=key)

    assert books.pool.balance == 0


def test_an_entry_says_who_what_and_for_whom(books: Books) -> None:
    """P-11, P-12"""
    give(books.pool, 10)
    client = books.client()
    nora = Actor(kind="user", id="7", label="Nora Lind", on_behalf_of="Acme Plumbing")

    posted = ledger.spend(
        sources=client.sources, amount=2, key=fresh_key(), kind="campaign_message", by=nora, memo="Two messages", sub_account_id=client.id,
        contact="Pat", campaign="Spring offer", bot="Front desk", own_key=True, reference="send 12",
    )  # fmt: skip

    entry = posted.entries[0]
    assert (entry.agency_id, entry.sub_account_id, entry.contact, entry.campaign) == (books.agency, client.id, "Pat", "Spring offer")
    assert (entry.bot, entry.own_key, entry.reference, entry.memo) == ("Front desk", True, "send 12", "Two messages")
    assert (entry.by_kind, entry.by_id, entry.by_label, entry.on_behalf_of) == ("user", "7", "Nora Lind", "Acme Plumbing")
    assert (entry.from_balance, entry.from_sequence, entry.to_balance) == (8, 2, None)


def test_a_use_with_an_own_key_is_on_record_even_when_it_costs_nothing(books: Books) -> None:
    """Decision 14"""
    client = books.client()

    entry = use(client.sources, 0, own_key=True).entries[0]
    committed = ledger.commit(hold=reserve(client.sources, 0, own_key=True), by=TESTS, contact="Pat").entries[0]

    assert (entry.amount, entry.own_key, entry.from_wallet_id) == (0, True, client.wallet.pk)
    assert (committed.amount, committed.contact, committed.from_sequence) == (0, "Pat", 2)


@pytest.mark.parametrize("amount", [0, -1, LARGEST + 1])
def test_amounts_have_bounds(books: Books, amount: int) -> None:
    with pytest.raises(ValueError):
        use([books.pool], amount)
    with pytest.raises(ValueError):
        give(books.pool, amount)


def test_sources_must_come_in_the_order_in_which_they_are_locked(books: Books) -> None:
    client = books.client()
    for sources in ([books.pool, client.wallet], [books.pool, books.pool], [], [client.wallet, Books("basic_minute").pool]):
        with pytest.raises(ValueError):
            use(sources, 1)


def test_nobody_spends_from_or_grants_to_the_books(books: Books) -> None:
    issued = Wallet.objects.get(pk=book(ISSUED, "credit"))
    with pytest.raises(ValueError):
        use([issued], 1)
    with pytest.raises(ValueError):
        give(issued, 1)


class TestRepeats:
    def test_a_repeat_returns_the_first_result_and_changes_nothing(self, books: Books) -> None:
        give(books.pool, 10)
        first = use([books.pool], 3, key="reply-1")
        again = use([books.pool], 3, key="reply-1", memo="said differently")

        assert (again.first_id, again.is_replay, books.pool.balance) == (first.first_id, True, 7)

    def test_a_repeat_is_recognized_even_when_nothing_is_left(self, books: Books) -> None:
        give(books.pool, 3)
        first = use([books.pool], 3, key="reply-2")
        assert use([books.pool], 3, key="reply-2").first_id == first.first_id

    def test_the_same_key_with_other_content_is_refused(self, books: Books) -> None:
        give(books.pool, 10, key="pack")
        use([books.pool], 3, key="reply-3", contact="Pat")
        with pytest.raises(ledger.KeyReused):
            use([books.pool], 4, key="reply-3", contact="Pat")
        with pytest.raises(ledger.KeyReused):
            use([books.pool], 3, key="reply-3", contact="Kim")
        with pytest.raises(ledger.KeyReused):
            reserve([books.pool], 3, key="reply-3", contact="Pat")
        with pytest.raises(ledger.KeyReused):
            give(books.pool, 11, key="pack")
        assert books.pool.balance == 7

    def test_a_grant_is_given_once(self, books: Books) -> None:
        assert give(books.pool, 10, key="once") == give(books.pool, 10, key="once")
        assert books.pool.balance == 10

    def test_hold_commit_and_release_can_be_repeated(self, books: Books) -> None:
        give(books.pool, 10)
        held = reserve([books.pool], 4, key="call-1")
        assert reserve([books.pool], 4, key="call-1") == held
        first = ledger.commit(hold=held, by=TESTS, amount=3)
        again = ledger.commit(hold=held, by=TESTS, amount=3)
        let_go = reserve([books.pool], 2)
        ledger.release(hold=let_go, by=TESTS)
        ledger.release(hold=let_go, by=TESTS)

        assert (again.first_id, again.amount, again.is_replay) == (first.first_id, 3, True)
        assert (books.pool.balance, books.pool.held) == (7, 0)


@pytest.mark.django_db(transaction=True)
def test_a_repeat_waits_until_the_first_call_is_on_disk(committed_books: Books) -> None:
    """The first may have committed early: an answer that repeats it must not be lost with it."""
    give(committed_books.pool, 100)
    pool = committed_books.pool
    with connection.cursor() as cursor:
        for _ in range(20):
            key = fresh_key()
            cursor.execute("SET synchronous_commit = off")
            use([pool], 1, key=key)
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            written = cursor.fetchone()[0]
            cursor.execute("SET synchronous_commit = on")
            assert use([pool], 1, key=key).is_replay
            ledger.spend_many(sources=[pool], uses=[ledger.Use(key, 1)], kind="ai_reply", by=TESTS)
            cursor.execute("SELECT pg_current_wal_flush_lsn() >= %s", [written])
            assert cursor.fetchone() == (True,)
