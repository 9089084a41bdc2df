"""Calls: seconds are reserved while they last and used, to the second, when they end."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from agency.models import User
from credits import checks, ledger, rates
from credits.models import Entry, Hold, Wallet
from kit import clock
from kit.invariants import check_all
from kit.models import OutboxMessage
from subaccounts import calls, figures, lifecycle, opening, pool_policy
from subaccounts.models import Call, SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.credits.conftest import fresh_key, give
from tests.credits.test_contention import at_once

UNIT = "premium_minute"


@pytest.fixture
def acme(cast: Cast) -> SubAccount:
    """Ten minutes of its own, ten in the pool."""
    give(cast.acme.wallet(UNIT), 600)
    give(cast.northlight.pool(UNIT), 600)
    return cast.acme


def start(sub_account: SubAccount, seconds: int = 120, **more: object) -> Call:
    wish = {"tier": Call.PREMIUM, "expected_seconds": seconds, "key": fresh_key(), "contact": "Pat Jones", "reference": "CA-1", **more}
    return calls.start(sub_account=sub_account, by=TESTS, **wish)  # type: ignore[arg-type]


def state(sub_account: SubAccount) -> tuple[int, int, int, int]:
    own, pool = sub_account.wallet(UNIT), sub_account.agency.pool(UNIT)
    return own.balance, own.held, pool.balance, pool.held


def told() -> list[dict[str, object]]:
    events = OutboxMessage.objects.filter(topic="event").order_by("pk")
    return [event.payload["data"] for event in events if event.payload.get("type") == "call.ended"]


def test_a_call_reserves_what_it_may_cost_and_pays_the_seconds_it_took(acme: SubAccount) -> None:
    today = clock.today_in(acme.agency.time_zone)
    call = start(acme)
    assert state(acme) == (600, 120, 600, 0)

    call = calls.end(call=call, seconds=61, by=TESTS)

    assert (call.state, call.seconds, call.charged_seconds, call.amount) == ("ended", 61, 61, 61)
    assert state(acme) == (539, 0, 600, 0)
    entry = Entry.objects.get(sub_account_id=acme.public_id, kind="call")
    assert (entry.unit_id, entry.amount, entry.contact, entry.reference, entry.memo) == (UNIT, 61, "Pat Jones", "CA-1", "Premium call")
    assert figures.total(acme, today, today) == figures.Figures(calls=1, seconds=61)
    assert told()[-1] == {
        "id": str(call.public_id), "tier": "premium", "state": "ended", "contact": "Pat Jones", "reference": "CA-1",
        "seconds": 61, "charged_seconds": 61,
    }  # fmt: skip
    assert checks.audit() == []


def test_a_call_that_nobody_answered_costs_nothing(acme: SubAccount) -> None:
    call = calls.end(call=start(acme), seconds=0, by=TESTS)

    assert (call.state, call.amount) == ("ended", 0)
    assert state(acme) == (600, 0, 600, 0)
    assert not Entry.objects.filter(sub_account_id=acme.public_id, kind="call").exists()


def test_a_longer_call_than_reserved_pays_what_was_reserved_and_says_so(acme: SubAccount) -> None:
    call = calls.end(call=start(acme, 60), seconds=75, by=TESTS)

    assert (call.seconds, call.charged_seconds, call.amount) == (75, 60, 60)
    assert state(acme) == (540, 0, 600, 0)


def test_a_call_is_extended_up_to_its_longest_and_pays_out_of_wallet_and_pool(acme: SubAccount) -> None:
    call = start(acme, 500, maximum_seconds=1200)
    call = calls.extend(call=call, seconds=900, by=TESTS)
    assert (call.reserved_seconds, state(acme)) == (900, (600, 600, 600, 300))
    assert calls.extend(call=call, seconds=700, by=TESTS).reserved_seconds == 900
    call = calls.extend(call=call, seconds=1200, by=TESTS)
    with pytest.raises(calls.TooLong):
        calls.extend(call=call, seconds=1201, by=TESTS)

    calls.end(call=call, seconds=601, by=TESTS)

    assert state(acme) == (0, 0, 599, 0)
    assert checks.audit() == []


def test_what_cannot_be_paid_is_not_begun_and_not_extended(acme: SubAccount) -> None:
    before = Call.objects.count()
    with pytest.raises(ledger.InsufficientCredits):
        start(acme, 1201)
    call = start(acme, 1200, maximum_seconds=3000)
    with pytest.raises(ledger.InsufficientCredits), transaction.atomic():
        calls.extend(call=call, seconds=1300, by=TESTS)

    assert Call.objects.count() == before + 1
    calls.end(call=call, seconds=1200, by=TESTS)
    assert state(acme) == (0, 0, 0, 0)


def test_the_limit_of_a_client_holds_for_its_calls(acme: SubAccount) -> None:
    pool_policy.choose(sub_account=acme, fallback="capped", is_hard=True, amounts={UNIT: 60}, by=TESTS)
    call = start(acme, 600, maximum_seconds=1200)
    with pytest.raises(ledger.PoolLimitReached), transaction.atomic():
        calls.extend(call=call, seconds=661, by=TESTS)
    calls.extend(call=call, seconds=660, by=TESTS)

    calls.end(call=call, seconds=630, by=TESTS)

    assert state(acme) == (0, 0, 570, 0)
    assert next(use.used for use in pool_policy.of(acme).uses if use.unit.code == UNIT) == 30
    assert checks.audit() == []


def test_the_same_key_begins_one_call(acme: SubAccount) -> None:
    call = start(acme, key="once")
    again = start(acme, key="once")

    assert (again.pk, state(acme)) == (call.pk, (600, 120, 600, 0))
    for changed in ({"seconds": 60}, {"tier": "basic"}, {"contact": "Kim"}, {"maximum_seconds": 300}):
        with pytest.raises(ledger.KeyReused), transaction.atomic():
            start(acme, **{"key": "once", **changed})  # type: ignore[arg-type]


def test_ending_twice_is_ending_once(acme: SubAccount) -> None:
    call = start(acme)
    calls.end(call=call, seconds=50, by=TESTS)
    calls.end(call=call, seconds=50, by=TESTS)

    with pytest.raises(calls.CallOver):
        calls.end(call=call, seconds=51, by=TESTS)
    with pytest.raises(calls.CallOver):
        calls.extend(call=call, seconds=100, by=TESTS)
    assert state(acme) == (550, 0, 600, 0)
    assert len(told()) == 1


def test_a_call_keeps_the_rate_of_its_beginning(acme: SubAccount) -> None:
    rates.set_rate(owner_kind="agency", owner_id=acme.agency.public_id, kind="call_premium", amount=90, by=TESTS)
    call = start(acme, 60, maximum_seconds=120)
    assert state(acme) == (600, 90, 600, 0)
    rates.set_rate(owner_kind="agency", owner_id=acme.agency.public_id, kind="call_premium", amount=600, by=TESTS)
    calls.extend(call=call, seconds=61, by=TESTS)

    assert calls.end(call=call, seconds=61, by=TESTS).amount == 92
    assert state(acme) == (508, 0, 600, 0)


def test_a_client_suspended_in_mid_call_pays_what_it_used_and_no_more(acme: SubAccount) -> None:
    call = start(acme, 60, maximum_seconds=120)
    lifecycle.suspend(sub_account=acme, by=TESTS)
    for deed in (lambda: start(acme), lambda: calls.extend(call=call, seconds=120, by=TESTS)):
        with pytest.raises(lifecycle.Suspended):
            deed()

    assert calls.end(call=call, seconds=45, by=TESTS).amount == 45
    assert state(acme) == (555, 0, 600, 0)


def test_a_forgotten_call_is_lost_and_lets_everything_go(acme: SubAccount) -> None:
    call = start(acme, 500, maximum_seconds=900)
    calls.extend(call=call, seconds=900, by=TESTS)
    with time_machine.travel(clock.now() + timedelta(seconds=900, minutes=14), tick=False):
        assert calls.sweep() == 0
    with time_machine.travel(clock.now() + timedelta(seconds=900, minutes=16), tick=False):
        assert calls.sweep() == 1
        assert calls.sweep() == 0

    call.refresh_from_db()
    assert (call.state, call.seconds, call.ended_at is not None) == ("lost", None, True)
    assert state(acme) == (600, 0, 600, 0)
    assert told()[-1]["state"] == "lost"
    for deed in (calls.end, calls.extend):
        with pytest.raises(calls.CallLost):
            deed(call=call, seconds=10, by=TESTS)
    assert checks.audit() == []


def test_a_call_whose_hold_the_ledger_expired_first_is_lost_too(acme: SubAccount) -> None:
    call = start(acme)
    with time_machine.travel(clock.now() + timedelta(minutes=20), tick=False):
        ledger.expire_due()
        with pytest.raises(calls.CallLost):
            calls.end(call=call, seconds=10, by=TESTS)
        assert calls.sweep() == 1

    assert Hold.objects.get(key=f"call:{call.public_id.hex}:1").state == Hold.EXPIRED
    assert state(acme) == (600, 0, 600, 0)


def test_a_late_end_before_any_sweep_still_pays(acme: SubAccount) -> None:
    call = start(acme)
    with time_machine.travel(clock.now() + timedelta(hours=1), tick=False):
        assert calls.end(call=call, seconds=100, by=TESTS).amount == 100


def test_the_invariant_names_a_call_that_was_never_settled(acme: SubAccount) -> None:
    call = start(acme)
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=False):
        found = check_all()["a call that nobody ended in time is lost soon after"]
    assert [str(call.public_id) in line for line in found] == [True]


def test_the_database_refuses_a_call_that_makes_no_sense(acme: SubAccount) -> None:
    call = start(acme)
    for changes in ({"charged_seconds": 121}, {"state": "ended"}, {"state": "lost", "seconds": 4}, {"reserved_seconds": 121}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Call.objects.filter(pk=call.pk).update(**changes)


def test_a_call_stands_on_the_pages_in_minutes(cast: Cast, acme: SubAccount) -> None:
    calls.end(call=start(acme, 270), seconds=261, by=TESTS)
    agency, client = Visitor(PLATFORM, cast.nora), Visitor(host_of(acme), cast.paul)

    pages = [
        agency.get(reverse("credits_statement"), {"unit": UNIT, "kind": "call"}),
        agency.get(reverse("credits_usage"), {"unit": UNIT}),
        client.get(reverse("workspace_usage", urlconf=settings.WORKSPACE_URLCONF), {"unit": UNIT}),
    ]

    assert [(page.status_code, "4.35" in page.content.decode()) for page in pages] == [(200, True)] * 3


# --- at once -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def committed(transactional_db: None) -> Iterator[SubAccount]:
    """A client in rows that other connections see."""
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@calls.example")
    agency = opening.open_agency(owner=owner, name="Calls", slug=f"calls-{uuid4().hex[:12]}", by=TESTS)
    sub_account = agency.sub_accounts.select_related("agency__plan").get()
    give(sub_account.wallet(UNIT), 100)
    give(agency.pool(UNIT), 1000)
    yield sub_account
    assert checks.audit() == []


def outcome(deed: object) -> str:
    try:
        return str(deed().state)  # type: ignore[operator]
    except (calls.CallOver, calls.CallLost) as refusal:
        return refusal.code


@pytest.mark.django_db(transaction=True)
def test_twenty_ends_at_once_are_one(committed: SubAccount) -> None:
    call = calls.extend(call=start(committed, 90, maximum_seconds=300), seconds=300, by=TESTS)

    results = at_once(20, lambda number: outcome(lambda: calls.end(call=call, seconds=200 + number % 2, by=TESTS)))

    assert (results.count("ended"), results.count("call_over")) == (10, 10)
    assert sum(wallet.balance for wallet in Wallet.objects.filter(agency_id=committed.agency.public_id, unit=UNIT)) in (900, 899)
    assert figures.total(committed, *[clock.today_in("UTC")] * 2).calls == 1


@pytest.mark.django_db(transaction=True)
def test_an_end_against_the_expiry_pays_or_is_lost_and_never_both(committed: SubAccount) -> None:
    for _ in range(4):
        before = sum(wallet.balance for wallet in Wallet.objects.filter(agency_id=committed.agency.public_id, unit=UNIT))
        call = calls.extend(call=start(committed, 50, maximum_seconds=150), seconds=150, by=TESTS)
        late = clock.now() + timedelta(minutes=30)

        def act(number: int, call: Call = call, late: object = late) -> str:
            with clock.at(late):  # type: ignore[arg-type]
                if number % 3 == 0:
                    return outcome(lambda: calls.end(call=call, seconds=10, by=TESTS))
                (calls.sweep if number % 3 == 1 else ledger.expire_due)()
                return ""

        results = {result for result in at_once(9, act) if result}
        with clock.at(late):
            calls.sweep()
        call.refresh_from_db()
        after = sum(wallet.balance for wallet in Wallet.objects.filter(agency_id=committed.agency.public_id, unit=UNIT))
        assert (call.state, before - after) in (("ended", 10), ("lost", 0))
        assert results <= ({"ended"} if call.state == "ended" else {"call_lost"})
        assert not Wallet.objects.filter(agency_id=committed.agency.public_id, unit=UNIT, held__gt=0).exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_start_from_eight_threads_is_one_call(committed: SubAccount) -> None:
    key = fresh_key()

    begun = at_once(8, lambda number: start(committed, 50, key=key))

    assert len({call.pk for call in begun}) == 1
    assert committed.wallet(UNIT).held == 50
    calls.end(call=begun[0], seconds=1, by=TESTS)


@pytest.mark.django_db(transaction=True)
def test_many_calls_that_cross_from_wallet_to_pool_never_deadlock(committed: SubAccount) -> None:
    """Extended calls settle holds of wallet and pool, against plain spends, limits that are set, and expiries."""
    pool_policy.choose(sub_account=committed, fallback="capped", is_hard=True, amounts={UNIT: 900}, by=TESTS)

    def act(number: int) -> None:
        for turn in range(6):
            if number == 0:
                pool_policy.choose(sub_account=committed, fallback="capped", is_hard=True, amounts={UNIT: 900 + turn % 2}, by=TESTS)
                continue
            try:
                call = calls.extend(call=start(committed, 20, maximum_seconds=60), seconds=60, by=TESTS)
            except ledger.InsufficientCredits:
                continue
            calls.end(call=call, seconds=5 * turn, by=TESTS)
            sources = committed.credit_sources(UNIT)
            ledger.spend(sources=sources, amount=1, key=fresh_key(), kind="call", sub_account_id=committed.public_id, by=TESTS)

    at_once(6, act)

    assert not Wallet.objects.filter(agency_id=committed.agency.public_id, unit=UNIT, held__gt=0).exists()
