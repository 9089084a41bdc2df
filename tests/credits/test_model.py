"""Random sequences of all deeds, against a model of the ledger so naive that it is plainly right."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from credits import checks, ledger
from credits.models import Crossing, Grant, Hold, LowBalance, PoolLimit, Wallet
from tests.credits.conftest import TESTS, Books, give, limit, reserve, use

UNITS = ("credit", "premium_minute")
START = datetime(2026, 1, 30, 12, tzinfo=UTC)
AUDIENCES = ("agency", "client")
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
    low_at: dict[str, int] = field(default_factory=dict)
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


@dataclass
class Cap:
    """What one client may use of the pool in a month of UTC, and what it was told; `uses` are (when, key, amount)."""

    amount: int | None = None
    is_hard: bool = True
    month: tuple[int, int] = (0, 0)
    uses: list[tuple[datetime, str, int]] = field(default_factory=list)
    is_reached: bool = False
    reached: int = 0
    is_on_pool: bool = False
    fallbacks: int = 0

    def tell_reached(self) -> None:
        self.reached += not self.is_reached
        self.is_reached = True


class Ledger(RuleBasedStateMachine):
    """Four spots: each client draws on its own wallet, then on the pool of its unit."""

    sequences = 0

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
        self.caps = {client.wallet.pk: Cap() for client in self.clients}
        self.pools = {client.books.pool.pk for client in self.clients}
        self.spends: dict[str, list[tuple[Any, Lot, int]]] = {}
        self.owners: dict[str, Any] = {}
        self.holds: dict[str, tuple[Hold, list[tuple[Any, Lot, int]]]] = {}

    def teardown(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        try:
            type(self).sequences += 1
            if type(self).sequences % 10 == 1:  # it costs as much as the sequence
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
        pocket.alerts += sum(before >= low_at > pocket.balance for low_at in pocket.low_at.values())

    def used(self, own: Any) -> int:
        """What a client used of the pool this month, and what it reserves."""
        month = (self.now.year, self.now.month)
        spent = sum(amount for at, _, amount in self.caps[own].uses if (at.year, at.month) == month)
        reserved = [leg for hold, legs in self.holds.values() if hold.limit_id == own for leg in legs if leg[0] in self.pools]
        return spent + sum(take for _, _, take in reserved)

    def touch(self, own: Any) -> None:
        """A deed looks at the client's limit: a new month may begin."""
        cap, month = self.caps[own], (self.now.year, self.now.month)
        if cap.amount is not None and cap.month != month:
            cap.month, cap.is_reached = month, False
            self.count(own, 0)

    def count(self, own: Any, change: int) -> None:
        cap = self.caps[own]
        if cap.amount is None:
            return
        if self.used(own) >= cap.amount and self.used(own) > 0:
            cap.tell_reached()
        elif change <= 0:
            cap.is_reached = False

    def drawn(self, own: Any, legs: list[tuple[Any, Lot, int]]) -> None:
        """After the pool paid a part, or reserved it."""
        paid = sum(take for wallet, _, take in legs if wallet in self.pools)
        if not paid:
            return
        self.count(own, paid)
        cap = self.caps[own]
        if not cap.is_on_pool and self.pockets[own].lots:
            cap.is_on_pool, cap.fallbacks = True, cap.fallbacks + 1

    def freed(self, wallet: Any, amount: int) -> None:
        if amount > 0 and wallet in self.caps:
            self.caps[wallet].is_on_pool = False

    def plan(self, sources: list[Wallet], amount: int) -> list[tuple[Any, Lot, int]] | None:
        legs: list[tuple[Any, Lot, int]] = []
        own = sources[0].pk
        for source in sources:
            if source.pk in self.pools:
                self.touch(own)
                cap, left = self.caps[own], amount - sum(leg[2] for leg in legs)
                if cap.amount is not None and cap.is_hard and self.used(own) + left > cap.amount:
                    cap.tell_reached()
                    return None
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
        self.freed(wallet.pk, amount)
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
            self.spent(sources[0].pk, key, legs)
            if again:
                assert use(sources, amount, key=key).is_replay

    def spent(self, own: Any, key: str, legs: list[tuple[Any, Lot, int]]) -> None:
        self.apply(legs)
        self.spends[key] = legs
        self.owners[key] = own
        self.caps[own].uses += [(self.now, key, take) for wallet, _, take in legs if wallet in self.pools]
        self.drawn(own, legs)

    @rule(spot=spots, takes=st.lists(st.integers(1, 9), min_size=1, max_size=4), again=st.booleans())
    def spend_many(self, spot: int, takes: list[int], again: bool) -> None:
        sources, uses = self.clients[spot].sources, [ledger.Use(self.key(), amount) for amount in takes]
        with self.clock():
            results = ledger.spend_many(sources=sources, uses=uses, kind="ai_reply", by=TESTS)
            if again:
                ledger.spend_many(
                    sources=sources,
                    uses=[use for use, r in zip(uses, results, strict=True) if isinstance(r, ledger.Posted)] or uses,
                    kind="ai_reply",
                    by=TESTS,
                )
        for source in sources:  # it looks for the first that has any, before it draws
            pocket = self.pockets[source.pk]
            if source.pk in self.pools:
                self.touch(sources[0].pk)
            before = pocket.balance
            pocket.expire(self.now)
            self.watch(pocket, before)
            if pocket.balance > pocket.held:
                break
        for use_, result in zip(uses, results, strict=True):
            legs = self.plan(sources, use_.amount)
            assert (legs is not None) == isinstance(result, ledger.Posted)
            if legs is not None:
                self.spent(sources[0].pk, use_.key, legs)

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
            self.freed(wallet.pk, 0 if back else take)
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
        self.owners[key] = sources[0].pk
        self.drawn(sources[0].pk, legs)

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
        own = self.owners[key]
        self.apply(spent)
        self.spends[key] = spent
        self.caps[own].uses += [(self.now, key, take) for wallet, _, take in spent if wallet in self.pools]
        self.settled(own, legs, amount)

    def settled(self, own: Any, legs: list[tuple[Any, Lot, int]], amount: int) -> None:
        """After a hold was closed of which `amount` was used: the rest is free again."""
        from_own = sum(take for wallet, _, take in legs if wallet == own)
        from_pool = sum(take for _, _, take in legs) - from_own
        self.freed(own, from_own - min(amount, from_own))
        if from_pool:
            self.touch(own)
            if (back := from_pool - max(amount - from_own, 0)) > 0:
                self.count(own, -back)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        hold, legs = self.holds.pop(key := data.draw(st.sampled_from(sorted(self.holds))))
        with self.clock():
            ledger.release(hold=hold, by=TESTS)
        for _, lot, take in legs:
            lot.held -= take
        self.settled(self.owners[key], legs, 0)

    @precondition(lambda self: self.spends)
    @rule(data=st.data())
    def void(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.spends)))
        legs = self.spends.pop(key)
        with self.clock():
            ledger.void(entry_key=key, key=self.key(), by=TESTS)
        own = self.owners[key]
        self.touch(own)
        for wallet, lot, take in legs:
            lot.remaining += take
            self.freed(wallet, take)
        month, cap = (self.now.year, self.now.month), self.caps[own]
        back = [(at, amount) for at, used_by, amount in cap.uses if used_by == key and (at.year, at.month) == month]
        cap.uses = [used for used in cap.uses if used[1] != key]
        if back:
            self.count(own, -1)

    @rule(spot=spots, amount=st.sampled_from([None, 0, 10, 60]), is_hard=st.booleans())
    def set_pool_limit(self, spot: int, amount: int | None, is_hard: bool) -> None:
        client = self.clients[spot]
        cap = self.caps[client.wallet.pk]
        with self.clock():
            limit(client, amount, is_hard=is_hard, time_zone="UTC")
        self.touch(client.wallet.pk)
        if amount is None:
            cap.amount, cap.is_reached = None, False
        elif (amount, is_hard) != (cap.amount, cap.is_hard) or cap.amount is None:
            cap.amount, cap.is_hard, cap.month = amount, is_hard, (self.now.year, self.now.month)
            self.count(client.wallet.pk, 0)

    @rule(spot=spots, of_pool=st.booleans(), low_at=st.sampled_from([None, 5, 30]), audience=st.sampled_from(AUDIENCES))
    def set_threshold(self, spot: int, of_pool: bool, low_at: int | None, audience: str) -> None:
        wallet = self.clients[spot].sources[of_pool]
        pocket = self.pockets[wallet.pk]
        with self.clock():
            ledger.set_threshold(wallet=wallet, low_at=low_at, by=TESTS, audience=audience)
        if low_at != pocket.low_at.get(audience) and low_at is not None and pocket.balance < low_at:
            pocket.alerts += 1
        pocket.low_at.pop(audience, None)
        if low_at is not None:
            pocket.low_at[audience] = low_at

    @rule(hours=st.sampled_from([1, 20, 24 * 8, 24 * 40]), sweep=st.booleans())
    def time_passes(self, hours: int, sweep: bool) -> None:
        self.now += timedelta(hours=hours)
        if not sweep:
            return
        with self.clock():
            ledger.expire_due()
        for key, (hold, legs) in sorted(self.holds.items(), key=lambda item: item[1][0].expires_at):
            if hold.expires_at <= self.now:
                del self.holds[key]
                for _, lot, take in legs:
                    lot.held -= take
                self.settled(self.owners[key], legs, 0)
        for pocket in self.pockets.values():
            before = pocket.balance
            pocket.expire(self.now)
            self.watch(pocket, before)

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        if not hasattr(self, "pockets"):
            return
        wallets = {wallet.pk: wallet for wallet in Wallet.objects.filter(pk__in=self.pockets)}
        for pk, pocket in self.pockets.items():
            assert (wallets[pk].balance, wallets[pk].held) == (pocket.balance, pocket.held)
        lots = {lot.id: (lot.remaining, lot.held) for pocket in self.pockets.values() for lot in pocket.lots}
        assert {lot.pk: (lot.remaining, lot.held) for lot in Grant.objects.filter(pk__in=lots)} == lots
        told = Counter(Crossing.objects.filter(wallet__in=self.caps).values_list("wallet", "kind"))
        limits = PoolLimit.objects.in_bulk(list(self.caps))
        for pk, cap in self.caps.items():
            assert (wallets[pk].has_pool_limit, wallets[pk].on_pool_since is not None) == (cap.amount is not None, cap.is_on_pool)
            assert (told[pk, Crossing.LIMIT], told[pk, Crossing.FALLBACK]) == (cap.reached, cap.fallbacks)
            if pk in limits and limits[pk].month_ends_at > self.now:
                assert limits[pk].used == self.used(pk)
        alerts = sum(pocket.alerts for pocket in self.pockets.values())
        assert LowBalance.objects.filter(wallet__in=self.pockets).count() == alerts


def run(examples: int, steps: int, series: int) -> None:
    # Without shrinking: with many rows per step it takes minutes, and the sequence is printed as it is.
    seeded = seed(series)(type("Ledger", (Ledger,), {}))
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        seeded,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert connection.in_atomic_block


@pytest.mark.django_db
@pytest.mark.parametrize("series", range(20))
def test_the_ledger_agrees_with_a_naive_model(series: int) -> None:
    """Two thousand sequences, the same ones each time; in series, so that they run beside each other."""
    run(examples=100, steps=8, series=series)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("series", range(100, 110))
def test_the_ledger_agrees_with_a_naive_model_at_length(series: int) -> None:
    run(examples=200, steps=50, series=series)
