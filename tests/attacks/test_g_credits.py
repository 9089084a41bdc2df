"""Threats G: what is tried on the credits of an agency and its clients (the guide's rows, their ids in the names)."""

import pytest
from django.db import IntegrityError, connection, transaction

from credits import checks, ledger
from credits.models import Entry
from subaccounts import pool_policy
from subaccounts.tenancy import enter
from tests.attacks.test_j_widget import Chat
from tests.cast import TESTS, Cast
from tests.credits.conftest import Books, fresh_key, give, limit, reserve, use
from tests.credits.test_contention import at_once, succeeds
from tests.workspace.conftest import make_chatbot


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["spend", "hold", "limit"])
def test_g01_forty_at_once_use_the_last_twenty_and_no_more(committed_books: Books, way: str) -> None:
    """Twenty rounds: exactly 400 are spent, and the ledger says so."""
    client = committed_books.client()
    if way == "limit":
        give(committed_books.pool, 10_000)

    def deed() -> object:
        if way == "hold":
            return ledger.commit(hold=reserve(client.sources, 1), by=TESTS)
        return use(client.sources, 1)

    spent = 0
    for round in range(1, 21):
        if way == "limit":
            limit(client, 20 * round)
        else:
            give(committed_books.pool, 20)
        spent += sum(at_once(40, lambda number: succeeds(deed)))
        assert spent == 20 * round

    assert Entry.objects.filter(sub_account_id=client.id, kind="ai_reply").count() == spent == 400
    assert committed_books.pool.balance == (9_600 if way == "limit" else 0)
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_g05_own_credits_go_before_the_pool_however_many_spend_at_once(committed_books: Books) -> None:
    client = committed_books.client()
    give(client.wallet, 100)
    give(committed_books.pool, 100)

    results = at_once(16, lambda number: [use(client.sources, 1).entries[0] for _ in range(10)])

    paid = [entry.from_wallet_id for entries in results for entry in entries]
    assert (paid.count(client.wallet.pk), paid.count(committed_books.pool.pk)) == (100, 60)
    assert (client.wallet.balance, committed_books.pool.balance) == (0, 40)
    assert checks.audit() == []


def test_g06_one_client_cannot_empty_the_pool(books: Books) -> None:
    client = books.client()
    give(books.pool, 1000)
    limit(client, 100)
    for _ in range(100):
        use(client.sources, 1)

    with pytest.raises(ledger.PoolLimitReached) as refusal:
        use(client.sources, 1)

    assert (refusal.value.status, refusal.value.code, books.pool.balance) == (402, "pool_limit_reached", 900)
    use(books.client().sources, 900)


def test_g06_a_visitor_of_a_capped_client_gets_the_polite_message(cast: Cast) -> None:
    acme = cast.acme
    with enter(acme):
        bot = make_chatbot(acme)
    own = acme.wallet("credit")
    ledger.spend(sources=[own], amount=own.balance, key=fresh_key(), kind="adjustment", by=TESTS)
    pool_policy.choose(sub_account=acme, fallback="capped", is_hard=True, amounts={"credit": 2}, by=TESTS)
    chat = Chat(acme, bot).enter()

    answers = [chat.ask() for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    told = [acme.unavailable_message in answer.content.decode() for answer in answers]
    assert told == [False, False, True, True]
    assert Entry.objects.filter(sub_account_id=acme.public_id, kind="ai_reply").count() == 2
    assert checks.audit() == []


@pytest.mark.parametrize("statement", ["UPDATE credits_entry SET amount = 1", "DELETE FROM credits_entry", "TRUNCATE credits_entry"])
def test_g14_nobody_edits_the_ledger(books: Books, statement: str) -> None:
    give(books.pool, 10)
    use([books.pool], 3)
    before = list(Entry.objects.order_by("pk").values_list("pk", "amount"))

    with pytest.raises(IntegrityError, match="forever"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert list(Entry.objects.order_by("pk").values_list("pk", "amount")) == before
