"""G02, G03, G04, G07, G15: moving units by hand of somebody who means harm."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core import signing
from django.db import connection

from agency.models import AuditRecord, User
from credits import checks, prices
from credits.models import LARGEST, Entry, Wallet
from subaccounts import moving, opening
from tests.cast import PLATFORM, TESTS, Cast, Visitor
from tests.credits.test_move_page import MOVE, confirm, give, mark_up, review, text


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    give(cast.acme.wallet("credit"), 400)
    give(cast.northlight.pool("credit"), 500)
    return Visitor(PLATFORM, cast.nora)


def state() -> tuple[int, list[int], int]:
    balances = list(Wallet.objects.order_by("pk").values_list("balance", flat=True))
    return Entry.objects.count(), balances, AuditRecord.objects.filter(action="credits.moved").count()


@pytest.mark.parametrize("unit", ["credit", "basic_minute", "premium_minute", "knowledge_pack"])
@pytest.mark.parametrize(
    "amount",
    ["0", "000", "-5", "+5", "1.5", "1,5", "1_000", "１００", "٣", "1e3", "NaN", "Infinity", "true", "0x10", "1 0", "1000000000",
     "9223372036854775808", "9" * 5000, "1\x00", "²"],
)  # fmt: skip
def test_g02_what_is_no_amount_is_refused_in_words(cast: Cast, nora: Visitor, unit: str, amount: str) -> None:
    before = state()

    answer = review(nora, cast.acme, cast.koala, **{unit: amount})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert "signed" not in answer.context
    assert state() == before


def test_g02_nothing_at_all(cast: Cast, nora: Visitor) -> None:
    assert "Enter how many units to move" in text(review(nora, cast.acme, cast.koala, credit=""))


@pytest.mark.parametrize("reviewed", ["", "x", "a:b:c", "\x00", "9" * 20_000, "eyJrZXkiOiAieCJ9:1abc:zzz"])
def test_a_confirmation_that_nobody_signed_moves_nothing(cast: Cast, nora: Visitor, reviewed: str) -> None:
    before = state()
    answer = nora.post(MOVE, {"reviewed": reviewed})

    assert answer.status_code == 400
    assert "This review is no longer valid. Nothing was moved." in text(answer)
    assert state() == before


def test_a_confirmation_that_was_changed_moves_nothing(cast: Cast, nora: Visitor) -> None:
    signed = review(nora, cast.acme, cast.koala, credit=5).context["signed"]
    before = state()
    for changed in (signed[:-1] + ("A" if signed[-1] != "A" else "B"), "A" + signed, signed.replace(":", ".", 1)):
        assert nora.post(MOVE, {"reviewed": changed}).status_code == 400
    assert nora.post(MOVE, {"reviewed": signing.dumps({"key": "x"}, salt="other")}).status_code == 400
    assert state() == before


def test_g03_near_the_largest_twice_is_refused(cast: Cast, nora: Visitor) -> None:
    for client in (cast.acme, cast.koala):
        give(client.wallet("credit"), LARGEST - client.wallet("credit").balance)
    before = state()

    answer = confirm(nora, review(nora, cast.acme, cast.koala, credit=999_999_999))

    assert (answer.status_code, state()) == (409, before)
    assert "more than a wallet can hold" in text(answer)


def test_g07_to_itself(cast: Cast, nora: Visitor) -> None:
    before = state()
    for side in (cast.acme, "pool"):
        answer = review(nora, side, side, credit=1)
        assert "Choose another account than the one to move from." in text(answer)
    assert state() == before


def test_g07_another_agencys_client_is_nobody(cast: Cast, nora: Visitor) -> None:
    before = state()
    pages = [
        review(nora, *pair, credit=1)
        for pair in ((cast.acme, cast.beacon), (cast.beacon, cast.acme), (cast.acme, uuid4()), ("nobody", cast.acme), ("1' OR '1", "pool"))
    ]
    assert {page.status_code for page in pages} == {404}
    assert len({text(page) for page in pages}) == 1
    assert state() == before


def test_g07_another_agencys_review_is_nobodys(cast: Cast, nora: Visitor) -> None:
    of_clients = review(nora, cast.acme, cast.koala, credit=1)
    of_pool = nora.get(MOVE, {"source": "pool", "to": cast.acme.public_id, "review": 1, "amount_credit": 1})
    before = state()

    for shown in (of_clients, of_pool):
        assert confirm(Visitor(PLATFORM, cast.rita), shown).status_code == 404
    assert state() == before


def test_g07_more_than_there_is_and_what_never_leaves(cast: Cast, nora: Visitor) -> None:
    before = state()
    for amount in (401, 500, 999_999_999):
        answer = review(nora, cast.acme, cast.koala, credit=amount)
        assert "Acme Plumbing has 400 credits that can be moved. Nothing was moved." in text(answer)
    assert state() == before


def test_g15_markups_up_and_down_make_no_credits(cast: Cast, nora: Visitor) -> None:
    def total() -> int:
        pool = cast.northlight.pool("credit")
        return sum(Wallet.objects.filter(agency_id=pool.agency_id, unit="credit").values_list("balance", flat=True)) + pool.converted

    begun = total()
    for percent in (0, 900, 0, 900, 33, 10_000, 0):
        mark_up(cast.acme, "credit", percent)
        for pair in ((cast.acme, "pool"), ("pool", cast.acme), (cast.acme, cast.koala)):
            shown = review(nora, *pair, credit=100)
            if "signed" in shown.context:
                confirm(nora, shown)
            assert total() <= begun
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_g04_twenty_parallel_confirmations_move_once() -> None:
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    agency = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    pool, client = moving.Account(agency), moving.Account(agency, agency.sub_accounts.get())
    prices.set_markup(owner_kind="sub_account", owner_id=client.owner_id, unit="credit", percent=Decimal(25), by=TESTS)
    plan = moving.planned(pool, client, {"credit": 100})
    reviewed = moving.read(plan.signed())
    assert reviewed is not None
    before = moving.balances_of(client)["credit"].balance, moving.balances_of(pool)["credit"].balance

    def submit(_: int) -> str:
        try:
            return moving.in_words_of(moving.move(source=pool, to=client, reviewed=reviewed, by=TESTS))
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        said = list(threads.map(submit, range(20)))

    assert len(set(said)) == 1
    after = moving.balances_of(client)["credit"].balance, moving.balances_of(pool)["credit"].balance
    assert after == (before[0] + 80, before[1] - 100)
    assert AuditRecord.objects.filter(action="credits.moved", agency=pool.agency).count() == 1
    assert checks.audit() == []


def test_g04_a_second_submit_answers_the_same(cast: Cast, nora: Visitor) -> None:
    mark_up(cast.koala, "credit", 25)
    shown = review(nora, cast.acme, cast.koala, credit=100)
    first = text(confirm(nora, shown))
    after = state()
    mark_up(cast.koala, "credit", 50)

    again = text(confirm(nora, shown))

    assert "100 credits left Acme Plumbing, 80 credits arrived at Koala Legal." in first
    assert "100 credits left Acme Plumbing, 80 credits arrived at Koala Legal. Credits: Acme Plumbing 500 → 400" in again
    assert state() == after
