import pytest

from credits import checks, ledger
from credits.ledger import Use
from credits.models import Entry, Wallet
from tests.credits.conftest import TESTS, Books, fresh_key, give, reserve, use
from tests.credits.test_contention import at_once


def send(sources: list[Wallet], uses: list[Use]) -> list[str]:
    """The outcome of each, in a word."""
    results = ledger.spend_many(sources=sources, uses=uses, kind="campaign_message", by=TESTS, campaign="Spring offer")
    return [("replayed" if r.is_replay else "posted") if isinstance(r, ledger.Posted) else r.code for r in results]


def uses(count: int, amount: int = 1) -> list[Use]:
    return [Use(key=fresh_key("send"), amount=amount, contact=f"Contact {number}") for number in range(count)]


def test_a_batch_posts_a_line_for_each_contact_and_updates_the_pool_once(books: Books) -> None:
    give(books.pool, 1000)
    batch = uses(50)

    assert send(books.client().sources, batch) == ["posted"] * 50

    lines = Entry.objects.filter(from_wallet=books.pool).order_by("from_sequence")
    assert [line.contact for line in lines] == [one.contact for one in batch]
    assert [line.from_balance for line in lines] == list(range(999, 949, -1))
    assert checks.audit() == []


def test_a_batch_can_be_repeated_as_a_whole_and_one_by_one(books: Books) -> None:
    give(books.pool, 100)
    batch = uses(5)
    send([books.pool], batch[:3])

    assert send([books.pool], batch) == ["replayed"] * 3 + ["posted"] * 2
    again = ledger.spend(
        sources=[books.pool], amount=1, key=batch[4].key, kind="campaign_message", by=TESTS, campaign="Spring offer", contact="Contact 4"
    )
    assert again.is_replay
    assert books.pool.balance == 95
    assert checks.audit() == []


def test_a_key_of_something_else_is_refused_and_the_others_go_on(books: Books) -> None:
    give(books.pool, 100)
    batch = uses(3)
    use([books.pool], 7, key=batch[1].key)
    assert send([books.pool], batch) == ["posted", "key_reused", "posted"]
    assert books.pool.balance == 91


def test_when_credits_run_out_the_first_are_sent(books: Books) -> None:
    give(books.pool, 7)
    batch = uses(5, amount=2)
    assert send([books.pool], batch) == ["posted"] * 3 + ["insufficient_credits"] * 2
    give(books.pool, 10)
    assert send([books.pool], batch) == ["replayed"] * 3 + ["posted"] * 2
    assert checks.audit() == []


def test_a_batch_may_cross_grants_and_go_on_in_the_pool(books: Books) -> None:
    client = books.client()
    give(client.wallet, 3, "starter")
    give(client.wallet, 4)
    give(books.pool, 100)
    reserve([books.pool], 50)

    assert send(client.sources, uses(6, amount=2)) == ["posted"] * 6

    assert (client.wallet.balance, books.pool.balance) == (0, 95)
    assert checks.audit() == []


def test_an_alert_is_raised_once_for_a_batch(books: Books) -> None:
    give(books.pool, 100)
    ledger.set_threshold(wallet=books.pool, low_at=60, by=TESTS)
    send([books.pool], uses(50))
    assert checks.audit() == []
    assert books.pool.low_balances.get().balance == 50


@pytest.mark.parametrize("batch", [[], [Use("a", 1), Use("a", 1)], [Use("a", 0)], [Use(str(n), 1) for n in range(1001)]])
def test_a_batch_has_bounds(books: Books, batch: list[Use]) -> None:
    with pytest.raises(ValueError):
        send([books.pool], batch)


@pytest.mark.django_db(transaction=True)
def test_batches_of_the_same_contacts_at_once_post_each_once(committed_books: Books) -> None:
    give(committed_books.pool, 100)
    clients = [committed_books.client() for _ in range(2)]
    for client in clients:
        give(client.wallet, 3)
    mine, yours = uses(30), uses(30)

    def turn(number: int) -> list[str]:
        batch = (mine, yours)[number % 2]
        return send(clients[number % 2].sources, batch if number % 4 < 2 else batch[::-1])

    results = at_once(8, turn)

    assert sum(outcomes.count("posted") for outcomes in results) == 60
    assert committed_books.pool.balance == 100 - 54
    assert checks.audit() == []
