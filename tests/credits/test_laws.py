"""The laws: what the database refuses, and that the audit finds whatever got past it.

The tests that tamper do what only a superuser can: they switch triggers and constraints off, in a transaction that is
rolled back.
"""

from datetime import timedelta
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from credits import checks, ledger
from credits.models import Crossing, Entry, Grant, Hold, LowBalance, Wallet
from kit import clock, invariants
from tests.credits.conftest import TESTS, Books, Client, give, limit, reserve, use


@pytest.fixture
def busy(books: Books) -> Client:
    """A client and a pool that everything has happened to."""
    client = books.client()
    give(books.pool, 1000, "plan")
    give(client.wallet, 50, "starter", expires_at=clock.now() + timedelta(days=30))
    ledger.set_threshold(wallet=books.pool, low_at=900, by=TESTS)
    use(client.sources, 60, key=f"voided {client.id}")
    ledger.void(entry_key=f"voided {client.id}", key=f"void {client.id}", by=TESTS)
    ledger.allocate(pool=books.pool, wallet=client.wallet, amount=20, key=f"allocation {client.id}", by=TESTS)
    ledger.reclaim(wallet=client.wallet, pool=books.pool, amount=5, key=f"reclaim {client.id}", by=TESTS)
    seller = books.client()
    give(seller.wallet, 30)
    ledger.transfer(
        source=seller.wallet, to=client.wallet, pool=books.pool, amount=30, ratio=Fraction(4, 5), key=f"transfer {client.id}", by=TESTS
    )
    ledger.adjust(wallet=books.pool, amount=-3, reason="Counted twice", key=f"adjustment {client.id}", by=TESTS)
    use(client.sources, 170)
    ledger.commit(hold=reserve(client.sources, 7), by=TESTS, amount=5)
    reserve(client.sources, 11)
    limit(client, 150)
    return client


def execute(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def tamper(sql: str, *values: Any) -> None:
    execute("ALTER TABLE credits_entry DISABLE TRIGGER USER")
    execute(sql, *values)
    execute("ALTER TABLE credits_entry ENABLE TRIGGER USER")


def laws_broken() -> set[int]:
    return {finding.law for finding in checks.audit()}


def test_the_books_are_right(busy: Client) -> None:
    assert checks.audit() == []
    out = StringIO()
    call_command("audit_ledger", stdout=out)
    assert f"{len(checks.LAWS)} laws hold" in out.getvalue()


def test_law_1_balances_sum_to_zero_in_every_unit(busy: Client) -> None:
    tamper("UPDATE credits_entry SET from_wallet_id = to_wallet_id WHERE kind = 'grant' AND agency_id = %s", busy.books.agency)
    assert 1 in laws_broken()


@pytest.mark.parametrize(
    "sql", ["UPDATE credits_entry SET memo = 'x'", "DELETE FROM credits_entry", "TRUNCATE credits_entry", "TRUNCATE credits_entry_default"]
)
def test_law_2_entries_are_forever(busy: Client, sql: str) -> None:
    with pytest.raises(IntegrityError, match="forever"), transaction.atomic():
        execute(sql)


def test_law_2_the_audit_sees_a_trigger_that_is_off(busy: Client) -> None:
    execute("ALTER TABLE credits_entry_default DISABLE TRIGGER USER")
    assert laws_broken() == {2}


@pytest.mark.parametrize("change", ["balance = balance + 1", "balance = balance - 1"])
def test_law_3_a_changed_balance_is_found(busy: Client, change: str) -> None:
    execute(f"UPDATE credits_wallet SET {change} WHERE id = %s", busy.books.pool.pk)
    found = checks.audit()
    assert {3, 10} <= {finding.law for finding in found}
    assert any(str(busy.books.pool.pk) in finding.subject for finding in found)


def test_law_3_a_changed_running_balance_is_found(busy: Client) -> None:
    last = Entry.objects.filter(from_wallet=busy.books.pool).latest("from_sequence")
    tamper("UPDATE credits_entry SET from_balance = from_balance + 1 WHERE id = %s", last.pk)
    assert {3, 10} <= laws_broken()


def test_law_4_a_missing_entry_is_found(busy: Client) -> None:
    middle = Entry.objects.filter(from_wallet=busy.books.pool).earliest("from_sequence")
    tamper("DELETE FROM credits_entry WHERE id = %s", middle.pk)
    assert {4, 7, 10} <= laws_broken()


def test_law_4_a_missing_last_entry_is_found(busy: Client) -> None:
    last = Entry.objects.filter(from_wallet=busy.books.pool).latest("from_sequence")
    tamper("DELETE FROM credits_entry WHERE id = %s", last.pk)
    assert {3, 4, 10} <= laws_broken()


def test_law_4_a_gap_in_the_sequence_is_found(busy: Client) -> None:
    tamper("UPDATE credits_entry SET from_sequence = from_sequence + 100 WHERE from_wallet_id = %s", busy.books.pool.pk)
    assert 4 in laws_broken()


def test_law_5_a_second_posting_of_a_key_is_found(busy: Client) -> None:
    first, second = Entry.objects.filter(from_wallet=busy.books.pool).order_by("from_sequence")[:2]
    tamper("UPDATE credits_entry SET key = %s WHERE id = %s", first.key, second.pk)
    assert 5 in laws_broken()


def test_law_6_the_database_refuses_to_overdraw(busy: Client) -> None:
    for sql in (
        "UPDATE credits_wallet SET balance = -1, held = 0 WHERE id = %s",
        "UPDATE credits_wallet SET held = balance + 1 WHERE id = %s",
        "UPDATE credits_wallet SET balance = 1000000000000001 WHERE id = %s",
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            execute(sql, busy.books.pool.pk)


def test_law_6_a_hold_that_nobody_closed_is_found(busy: Client) -> None:
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=False):
        assert laws_broken() == {6}


def test_law_6_a_hold_that_was_closed_by_hand_is_found(busy: Client) -> None:
    Hold.objects.filter(state=Hold.OPEN, wallets__contains=[busy.books.pool.pk]).update(state=Hold.RELEASED)
    assert laws_broken() == {6, 12}


def test_law_7_the_database_refuses_to_overspend_a_grant(busy: Client) -> None:
    for change in ("remaining = -1, held = 0", "remaining = amount + 1", "held = remaining + 1"):
        with pytest.raises(IntegrityError), transaction.atomic():
            execute(f"UPDATE credits_grant SET {change} WHERE wallet_id = %s", busy.books.pool.pk)


def test_law_7_an_overspent_grant_is_found(busy: Client) -> None:
    lot = Grant.objects.get(wallet=busy.wallet, source="starter")
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("ALTER TABLE credits_grant DROP CONSTRAINT grant_never_overspent")
    execute("UPDATE credits_grant SET remaining = -5 WHERE id = %s", lot.pk)
    assert 7 in laws_broken()


def test_law_8_a_void_that_mirrors_something_else_is_found(busy: Client) -> None:
    undo = Entry.objects.filter(kind="void", agency_id=busy.books.agency).first()
    assert undo is not None
    tamper("UPDATE credits_entry SET voids = id WHERE id = %s", undo.pk)
    assert 8 in laws_broken()


def test_law_9_a_lost_alert_is_found(busy: Client) -> None:
    LowBalance.objects.filter(wallet=busy.books.pool).delete()
    assert laws_broken() == {9}


def test_law_9_the_database_refuses_a_second_alert(busy: Client) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        LowBalance.objects.create(wallet=busy.books.pool, threshold=1, balance=0, at=clock.now())


def test_law_10_replaying_the_entries_reproduces_every_balance(busy: Client) -> None:
    for wallet in Wallet.objects.filter(agency_id=busy.books.agency):
        into = Entry.objects.filter(to_wallet=wallet).values_list("to_sequence", "amount", "to_balance")
        out = Entry.objects.filter(from_wallet=wallet).values_list("from_sequence", "amount", "from_balance")
        balance = 0
        for _, change, said in sorted([*into, *((at, -amount, after) for at, amount, after in out)]):
            balance += change
            assert balance == said
        assert balance == wallet.balance


@pytest.mark.parametrize("change", ["expires_at = now()", "transferable = false"])
def test_law_11_units_that_changed_their_nature_on_the_way_are_found(busy: Client, change: str) -> None:
    execute(f"UPDATE credits_grant SET {change} WHERE wallet_id = %s AND source = 'allocation'", busy.wallet.pk)
    assert 11 in laws_broken()


def test_law_11_units_that_landed_in_no_grant_or_twice_in_one_are_found(busy: Client) -> None:
    moved = Entry.objects.get(agency_id=busy.books.agency, kind="allocation")
    tamper("UPDATE credits_entry SET to_grant_id = NULL WHERE id = %s", moved.pk)
    assert 11 in laws_broken()
    tamper("UPDATE credits_entry SET to_grant_id = %s WHERE agency_id = %s AND kind <> 'grant'", moved.to_grant_id, busy.books.agency)
    assert any("filled by" in finding.detail for finding in checks.audit() if finding.law == 11)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credits_poollimit SET used = used + 1 WHERE wallet_id = %s",
        "UPDATE credits_poollimit SET used = used - 1 WHERE wallet_id = %s",
        "UPDATE credits_wallet SET has_pool_limit = false WHERE id = %s",
        "DELETE FROM credits_poollimit WHERE wallet_id = %s",
        "UPDATE credits_wallet SET on_pool_since = NULL WHERE id = %s",
        "DELETE FROM credits_crossing WHERE kind = 'fallback_started' AND wallet_id = %s",
        "DELETE FROM credits_crossing WHERE kind = 'limit_reached' AND wallet_id = %s",
    ],
)
def test_law_12_a_limit_or_a_crossing_that_was_changed_is_found(busy: Client, change: str) -> None:
    limit(busy, 50)
    assert checks.audit() == []
    execute(change, busy.wallet.pk)
    assert laws_broken() == {12}


def test_law_12_the_database_refuses_a_second_crossing_and_the_audit_finds_one(busy: Client) -> None:
    second = {"kind": Crossing.FALLBACK, "wallet": busy.wallet, "at": busy.wallet.on_pool_since}
    with pytest.raises(IntegrityError), transaction.atomic():
        Crossing.objects.create(**second)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("DROP INDEX crossing_once")
    Crossing.objects.create(**second)
    assert laws_broken() == {12}


def test_the_command_prints_each_finding_and_fails(busy: Client) -> None:
    execute("UPDATE credits_wallet SET balance = balance + 1 WHERE id = %s", busy.books.pool.pk)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("audit_ledger", stdout=out)
    assert str(busy.books.pool.pk) in out.getvalue()


def test_the_laws_are_among_the_invariants_of_the_whole(busy: Client) -> None:
    execute("UPDATE credits_wallet SET balance = balance + 1 WHERE id = %s", busy.books.pool.pk)
    assert any(str(busy.books.pool.pk) in row for row in invariants.check_all()["the ledger keeps its laws"])


def test_law_13_a_changed_count_of_what_conversions_left_over_is_found(busy: Client) -> None:
    assert busy.books.pool.converted == 6
    execute("UPDATE credits_wallet SET converted = converted + 1 WHERE id = %s", busy.books.pool.pk)
    assert laws_broken() == {13}


def test_law_13_a_conversion_that_brings_more_than_it_took_is_found(busy: Client) -> None:
    arrived = Entry.objects.get(kind="transfer", agency_id=busy.books.agency, from_sequence=None)
    tamper("UPDATE credits_entry SET amount = amount + 1 WHERE id = %s", arrived.pk)
    assert 13 in laws_broken()


def test_law_13_a_conversion_of_a_grant_that_never_left_is_found(busy: Client) -> None:
    other = Grant.objects.filter(wallet=busy.books.pool).first()
    assert other is not None
    tamper(
        "UPDATE credits_entry SET grant_id = %s WHERE kind = 'transfer' AND from_sequence IS NULL AND agency_id = %s",
        other.pk,
        busy.books.agency,
    )
    assert 13 in laws_broken()


def test_law_13_the_database_refuses_to_convert_more_than_is_left_over(busy: Client) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        execute("UPDATE credits_wallet SET converted = -1 WHERE id = %s", busy.books.pool.pk)


def test_law_11_a_conversion_that_sets_units_free_is_found(busy: Client) -> None:
    arrived = Entry.objects.get(kind="transfer", agency_id=busy.books.agency, from_sequence=None)
    execute("UPDATE credits_grant SET transferable = NOT transferable WHERE id = %s", arrived.to_grant_id)
    assert 11 in laws_broken()


def test_law_15_an_entry_that_moved_to_another_moment_is_found(busy: Client) -> None:
    tamper("UPDATE credits_entry SET at = at + interval '1 millisecond' WHERE kind = 'adjustment' AND agency_id = %s", busy.books.agency)
    assert 15 in laws_broken()


@pytest.mark.parametrize("then", ["NULL", "next_expires_at + interval '1 day'"])
def test_law_16_a_wallet_that_overlooks_what_expires_is_found(busy: Client, then: str) -> None:
    """Such a wallet would spend what has expired: a spend looks at its grants only when this time has come."""
    give(busy.books.pool, 5, expires_at=clock.now() + timedelta(days=1))
    assert laws_broken() == set()

    execute(f"UPDATE credits_wallet SET next_expires_at = {then} WHERE id = %s", busy.books.pool.pk)

    assert laws_broken() == {16}
