"""Random sequences of all deeds, against a model of the ledger so naive that it is plainly right."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from credits import checks, ledger
from credits.models import Grant, Hold, LowBalance, Wallet
from tests.credits.conftest import TESTS, Books, give, reserve, use

UNITS = ("credit", "premium_minute")
START = datetime(2026, 1, 30, 12, tzinfo=UTC)
amounts = st.integers(1, 40)
spots = st.integers(0, 3)


@dataclass
class Lot:
    id: Any
    priority: int
    expires_at: datetime | None
    amount: int
    remaining: int
    born: int
    held: int = 0
    transferable: bool = True


@dataclass
class Pocket:
    """A wallet as a list of lots."""

    lots: list[Lot] = field(default_factory=list)
    low_at: int | None = None
    alerts: int = 0
    expired: int = 0

    @property
    def balance(self) -> int:
        return sum(lot.remaining for lot in self.lots)

    @property
    def held(self) -> int:
        return sum(lot.held for lot in self.lots)

    def expire(self, now: datetime) -> None:
        for lot in self.lots:
            if lot.expires_at and lot.expires_at <= now:
                self.expired += lot.remaining - lot.held
                lot.remaining = lot.held

    def draw(self, amount: int, only_transferable: bool = False) -> list[tuple[Lot, int]]:
        """Which lots would pay `amount`, as far as they can."""
        taken = []
        for lot in sorted(self.lots, key=lambda lot: (lot.priority, lot.expires_at or datetime.max.replace(tzinfo=UTC), lot.born)):
            if only_transferable and not lot.transferable:
                continue
            if (take := min(lot.remaining - lot.held, amount)) > 0:
                taken.append((lot, take))
                amount -= take
        return taken


class Ledger(RuleBasedStateMachine):
    """Four spots: each client draws on its own wallet, then on the pool of its unit."""

    @initialize()
    def open(self) -> None:
        self.savepoint = transaction.savepoint()
        self.now = START
        self.births = 0
        self.keys = 0
        agencies = {unit: Books(unit) for unit in UNITS}
        self.clients = [agencies[unit].client() for unit in (*UNITS, *UNITS)]
        self.pockets: dict[Any, Pocket] = {}
        for client in self.clients:
            for wallet in client.sources:
                self.pockets[wallet.pk] = Pocket()
        self.spends: dict[str, list[tuple[Any, Lot, int]]] = {}
        self.holds: dict[str, tuple[Hold, list[tuple[Any, Lot, int]]]] = {}

    def teardown(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        try:
            with time_machine.travel(START, tick=False):  # when no hold was overdue yet
                assert checks.audit() == []
        finally:
            transaction.savepoint_rollback(self.savepoint)

    def key(self) -> str:
        self.keys += 1
        return f"model-{self.keys}"

    def clock(self) -> time_machine.travel:
        return time_machine.travel(self.now, tick=False)

    def watch(self, pocket: Pocket, before: int) -> None:
        if pocket.low_at is not None and before >= pocket.low_at > pocket.balance:
            pocket.alerts += 1

    def plan(self, sources: list[Wallet], amount: int) -> list[tuple[Any, Lot, int]] | None:
        legs: list[tuple[Any, Lot, int]] = []
        for source in sources:
            pocket = self.pockets[source.pk]
            before = pocket.balance
            pocket.expire(self.now)
            self.watch(pocket, before)
            legs += [(source.pk, lot, take) for lot, take in pocket.draw(amount - sum(leg[2] for leg in legs))]
            if sum(leg[2] for leg in legs) == amount:
                return legs
        return None

    def apply(self, legs: list[tuple[Any, Lot, int]]) -> None:
        for wallet, lot, take in legs:
            pocket = self.pockets[wallet]
            before = pocket.balance
            lot.remaining -= take
            self.watch(pocket, before)

    @rule(
        spot=spots,
        to_pool=st.booleans(),
        amount=amounts,
        priority=st.integers(1, 3),
        days=st.sampled_from([None, 1, 3, 30]),
        moves=st.booleans(),
    )
    def grant(self, spot: int, to_pool: bool, amount: int, priority: int, days: int | None, moves: bool) -> None:
        wallet = self.clients[spot].sources[to_pool]
        expires_at = None if days is None else self.now + timedelta(days=days)
        self.now += timedelta(milliseconds=1)  # so that "oldest first" has one answer
        with self.clock():
            lot = give(wallet, amount, priority=priority, expires_at=expires_at, key=self.key(), transferable=moves)
        self.births += 1
        self.pockets[wallet.pk].lots.append(Lot(lot.pk, priority, expires_at, amount, amount, self.births, transferable=moves))

    @rule(spot=spots, amount=amounts, again=st.booleans())
    def spend(self, spot: int, amount: int, again: bool) -> None:
        sources, key = self.clients[spot].sources, self.key()
        legs = self.plan(sources, amount)
        with self.clock():
            try:
                posted = use(sources, amount, key=key)
            except ledger.InsufficientCredits:
                assert legs is None
                return
            assert legs is not None
            assert [(entry.grant_id, entry.amount) for entry in posted.entries] == [(lot.id, take) for _, lot, take in legs]
            self.apply(legs)
            self.spends[key] = legs
            if again:
                assert use(sources, amount, key=key).is_replay

    @rule(spot=spots, amount=amounts, back=st.booleans(), again=st.booleans())
    def allocate_or_reclaim(self, spot: int, amount: int, back: bool, again: bool) -> None:
        self.now += timedelta(milliseconds=1)
        wallet, pool = self.clients[spot].sources
        key, deed = self.key(), ledger.reclaim if back else ledger.allocate
        source, to = (self.pockets[one.pk] for one in ((wallet, pool) if back else (pool, wallet)))
        alive = Pocket([lot for lot in source.lots if lot.expires_at is None or lot.expires_at > self.now])
        legs = alive.draw(amount, only_transferable=back)
        with self.clock():
            try:
                posted = deed(wallet=wallet, pool=pool, amount=amount, key=key, by=TESTS)
            except ledger.InsufficientCredits as refusal:
                posted, available = None, refusal.available
            if posted and again:
                assert deed(wallet=wallet, pool=pool, amount=amount, key=key, by=TESTS).is_replay
        if posted is None:
            assert sum(take for _, take in legs) == available < amount
            return
        assert [(entry.grant_id, entry.amount) for entry in posted.entries] == [(lot.id, take) for lot, take in legs]
        before = source.balance
        source.expire(self.now)
        self.watch(source, before)
        for (lot, take), entry in zip(legs, posted.entries, strict=True):
            before = source.balance
            lot.remaining -= take
            self.watch(source, before)
            self.births += 1
            to.lots.append(Lot(entry.to_grant_id, lot.priority, lot.expires_at, take, take, self.births, transferable=lot.transferable))

    @rule(spot=spots, amount=amounts, minutes=st.sampled_from([1, 60, 100_000]))
    def hold(self, spot: int, amount: int, minutes: int) -> None:
        sources, key = self.clients[spot].sources, self.key()
        legs = self.plan(sources, amount)
        with self.clock():
            try:
                hold = reserve(sources, amount, key=key, expires_at=self.now + timedelta(minutes=minutes))
            except ledger.InsufficientCredits:
                assert legs is None
                return
        assert legs is not None
        for _, lot, take in legs:
            lot.held += take
        self.holds[key] = (hold, legs)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), part=st.floats(0, 1))
    def commit(self, data: Any, part: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.holds)))
        hold, legs = self.holds.pop(key)
        amount = left = max(1, round(hold.amount * part))
        with self.clock():
            ledger.commit(hold=hold, by=TESTS, amount=amount)
        spent = []
        for wallet, lot, take in legs:
            lot.held -= take
            if (used := min(take, left)) > 0:
                spent.append((wallet, lot, used))
                left -= used
        self.apply(spent)
        self.spends[key] = spent

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        hold, legs = self.holds.pop(data.draw(st.sampled_from(sorted(self.holds))))
        with self.clock():
            ledger.release(hold=hold, by=TESTS)
        for _, lot, take in legs:
            lot.held -= take

    @precondition(lambda self: self.spends)
    @rule(data=st.data())
    def void(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.spends)))
        legs = self.spends.pop(key)
        with self.clock():
            ledger.void(entry_key=key, key=self.key(), by=TESTS)
        for _, lot, take in legs:
            lot.remaining += take

    @rule(spot=spots, of_pool=st.booleans(), low_at=st.sampled_from([None, 5, 30]))
    def set_threshold(self, spot: int, of_pool: bool, low_at: int | None) -> None:
        wallet = self.clients[spot].sources[of_pool]
        pocket = self.pockets[wallet.pk]
        with self.clock():
            ledger.set_threshold(wallet=wallet, low_at=low_at, by=TESTS)
        if low_at != pocket.low_at and low_at is not None and pocket.balance < low_at:
            pocket.alerts += 1
        pocket.low_at = low_at

    @rule(hours=st.sampled_from([1, 20, 24 * 8, 24 * 40]), sweep=st.booleans())
    def time_passes(self, hours: int, sweep: bool) -> None:
        self.now += timedelta(hours=hours)
        if not sweep:
            return
        with self.clock():
            ledger.expire_due()
        for key, (hold, legs) in list(self.holds.items()):
            if hold.expires_at <= self.now:
                del self.holds[key]
                for _, lot, take in legs:
                    lot.held -= take
        for pocket in self.pockets.values():
            before = pocket.balance
            pocket.expire(self.now)
            self.watch(pocket, before)

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        if not hasattr(self, "pockets"):
            return
        for wallet in Wallet.objects.filter(pk__in=self.pockets):
            pocket = self.pockets[wallet.pk]
            assert (wallet.balance, wallet.held) == (pocket.balance, pocket.held)
        lots = {lot.id: (lot.remaining, lot.held) for pocket in self.pockets.values() for lot in pocket.lots}
        assert {lot.pk: (lot.remaining, lot.held) for lot in Grant.objects.filter(pk__in=lots)} == lots
        alerts = sum(pocket.alerts for pocket in self.pockets.values())
        assert LowBalance.objects.filter(wallet__in=self.pockets).count() == alerts


def run(examples: int, steps: int) -> None:
    # Without shrinking: with many rows per step it takes minutes, and the sequence is printed as it is.
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Ledger,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
def test_the_ledger_agrees_with_a_naive_model() -> None:
    run(examples=25, steps=25)
    assert connection.in_atomic_block


@pytest.mark.long
@pytest.mark.django_db
def test_the_ledger_agrees_with_a_naive_model_at_length() -> None:
    run(examples=200, steps=50)
    assert connection.in_atomic_block
