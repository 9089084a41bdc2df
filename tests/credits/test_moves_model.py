"""The naive model of `test_model.py` with moves at different prices and adjustments among all other deeds."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from credits import conversion, ledger
from credits.models import Wallet
from tests.credits.conftest import TESTS
from tests.credits.test_model import UNITS, Ledger, Lot, Pocket, amounts, spots

ROUTES = ("in", "out", "across")
Legs = list[tuple[Lot, int]]


class LedgerWithMoves(Ledger):
    @initialize()
    def no_markups(self) -> None:
        self.markups = [Fraction(1)] * 4
        self.converted = dict.fromkeys(UNITS, 0)

    @rule(spot=spots, percent=st.sampled_from([0, 0, 25, 50, 100, 900]))
    def mark_up(self, spot: int, percent: int) -> None:
        self.markups[spot] = 1 + Fraction(percent, 100)

    @rule(spot=spots, route=st.sampled_from(ROUTES), amount=amounts, again=st.booleans())
    def transfer(self, spot: int, route: str, amount: int, again: bool) -> None:
        """Into the pool, out of it, or to the other client of the same unit."""
        self.now += timedelta(milliseconds=1)
        (wallet, pool), other = self.clients[spot].sources, (spot + 2) % 4
        source, to = {"in": (wallet, pool), "out": (pool, wallet), "across": (wallet, self.clients[other].wallet)}[route]
        prices = {"in": (self.markups[spot], 1), "out": (1, self.markups[spot]), "across": (self.markups[spot], self.markups[other])}[route]
        received = next(steps for steps in range(amount * 12) if (steps + 1) * prices[1] > amount * prices[0])
        taken = next(steps for steps in range(amount + 1) if steps * prices[0] >= received * prices[1])
        spare = min(max(0, received - taken), self.converted[wallet.unit_id])
        missing = 0 if route == "in" else max(0, received - taken) - spare
        carried = received - missing if route != "in" else min(received, taken) + spare
        legs = self.alive(source).draw(taken, only_transferable=route != "out")
        cover = self.alive(pool).draw(missing) if missing else []

        posted = self.attempt(source, to, pool, amount, Fraction(prices[0]) / Fraction(prices[1]), again)

        if not received or total(legs) < taken or total(cover) < missing:
            assert posted is None
            return
        assert posted is not None
        assert (posted.taken, posted.received, posted.from_pool) == (taken, carried + missing, missing)
        self.lapse({source.pk, pool.pk})
        self.take(source, legs)
        self.take(pool, cover)
        arrived = [entry for entry in posted.entries if entry.to_wallet_id == to.pk]
        landed = [*zip([lot for lot, _ in legs], divided(legs, carried), strict=True), *cover]
        self.land(to, [(lot, part) for lot, part in landed if part], arrived)
        bound = sum(
            take - part for (lot, take), part in zip(legs, divided(legs, carried), strict=True) if lot.expires_at or not lot.transferable
        )
        self.converted[wallet.unit_id] += taken - carried - max(0, bound)

    def attempt(self, source: Wallet, to: Wallet, pool: Wallet, amount: int, ratio: Fraction, again: bool) -> ledger.Moved | None:
        key = self.key()
        with self.clock():
            try:
                posted = ledger.transfer(source=source, to=to, pool=pool, amount=amount, ratio=ratio, key=key, by=TESTS)
            except (ledger.InsufficientCredits, conversion.NothingArrives):
                return None
            if again:
                repeat = ledger.transfer(source=source, to=to, pool=pool, amount=amount, ratio=Fraction(1), key=key, by=TESTS)
                assert (repeat.is_replay, repeat.taken, repeat.received, repeat.from_pool) == (
                    True, posted.taken, posted.received, posted.from_pool,
                )  # fmt: skip
        return posted

    @rule(spot=spots, of_pool=st.booleans(), amount=amounts, down=st.booleans())
    def adjust(self, spot: int, of_pool: bool, amount: int, down: bool) -> None:
        self.now += timedelta(milliseconds=1)
        wallet = self.clients[spot].sources[of_pool]
        legs = self.alive(wallet).draw(amount)
        with self.clock():
            try:
                posted = ledger.adjust(
                    wallet=wallet, amount=-amount if down else amount, reason="The model says so", key=self.key(), by=TESTS
                )
            except ledger.InsufficientCredits as refusal:
                posted, available = None, refusal.available
        if posted is None:
            assert down
            assert available == total(legs) < amount
            return
        self.lapse({wallet.pk})
        if down:
            assert [(entry.grant_id, entry.amount) for entry in posted.entries] == [(lot.id, take) for lot, take in legs]
            self.take(wallet, legs)
        else:
            (entry,) = posted.entries
            self.births += 1
            self.freed(wallet.pk, amount)
            self.pockets[wallet.pk].lots.append(Lot(entry.grant_id, 60, None, amount, amount, self.births))

    def alive(self, wallet: Wallet) -> Pocket:
        lots = self.pockets[wallet.pk].lots
        return Pocket([lot for lot in lots if lot.expires_at is None or lot.expires_at > self.now])

    def lapse(self, wallets: set[Any]) -> None:
        for pk in wallets:
            before = self.pockets[pk].balance
            self.pockets[pk].expire(self.now)
            self.watch(self.pockets[pk], before)

    def take(self, wallet: Wallet, legs: Legs) -> None:
        for lot, take in legs:
            before = self.pockets[wallet.pk].balance
            lot.remaining -= take
            self.watch(self.pockets[wallet.pk], before)

    def land(self, to: Wallet, parts: Legs, arrived: list[Any]) -> None:
        assert [entry.amount for entry in arrived] == [part for _, part in parts]
        for (lot, part), entry in zip(parts, arrived, strict=True):
            self.births += 1
            self.freed(to.pk, part)
            self.pockets[to.pk].lots.append(
                Lot(entry.to_grant_id, lot.priority, lot.expires_at, part, part, self.births, transferable=lot.transferable)
            )

    @invariant()
    def the_pools_count_what_was_left_over(self) -> None:
        if not hasattr(self, "converted"):
            return
        for client in self.clients:
            assert client.books.pool.converted == self.converted[client.books.unit] >= 0


def total(legs: Legs) -> int:
    return sum(take for _, take in legs)


def divided(legs: Legs, whole: int) -> list[int]:
    """Each lot's part, so that the first n parts together are what the first n lots are worth, rounded down."""
    reached = [total(legs[:count]) * whole // total(legs) for count in range(len(legs) + 1)]
    return [reached[number + 1] - reached[number] for number in range(len(legs))]


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        LedgerWithMoves,
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
def test_the_ledger_with_moves_agrees_with_a_naive_model() -> None:
    run(examples=25, steps=25)
    assert connection.in_atomic_block


@pytest.mark.long
@pytest.mark.django_db
def test_the_ledger_with_moves_agrees_with_a_naive_model_at_length() -> None:
    run(examples=200, steps=50)
    assert connection.in_atomic_block
