"""Clients of an agency as the ledger sees them: public ids and wallets, nothing else."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from credits import ledger
from credits.models import Grant, Hold, PoolLimit, Wallet
from kit import clock
from kit.actor import system
from kit.ids import uuid7

TESTS = system("tests")


def fresh_key(name: str = "key") -> str:
    return f"{name}-{uuid7()}"


@dataclass
class Books:
    """One agency with its pool and, on demand, clients. Everything in the unit `unit`."""

    unit: str = "credit"
    agency: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        ledger.open_wallets(Wallet.AGENCY, self.agency)

    @property
    def pool(self) -> Wallet:
        return Wallet.objects.get(owner_kind=Wallet.AGENCY, owner_id=self.agency, unit_id=self.unit)

    def client(self) -> "Client":
        owner = uuid7()
        ledger.open_wallets(Wallet.SUB_ACCOUNT, owner, agency_id=self.agency)
        return Client(self, owner)


@dataclass
class Client:
    books: Books
    id: UUID

    @property
    def wallet(self) -> Wallet:
        return Wallet.objects.get(owner_kind=Wallet.SUB_ACCOUNT, owner_id=self.id, unit_id=self.books.unit)

    @property
    def sources(self) -> list[Wallet]:
        return [self.wallet, self.books.pool]


def give(to: Wallet, amount: int, source: str = Grant.PURCHASE, **more: Any) -> Grant:
    return ledger.grant(to=to, amount=amount, source=source, key=more.pop("key", fresh_key("grant")), by=TESTS, **more)


def use(sources: list[Wallet], amount: int, **more: Any) -> ledger.Posted:
    kind = more.pop("kind", "ai_reply")
    return ledger.spend(sources=sources, amount=amount, key=more.pop("key", fresh_key("use")), kind=kind, by=TESTS, **more)


def reserve(sources: list[Wallet], amount: int, **more: Any) -> Hold:
    until: datetime = more.pop("expires_at", clock.now() + timedelta(minutes=5))
    kind = more.pop("kind", "ai_reply")
    return ledger.hold(
        sources=sources, amount=amount, key=more.pop("key", fresh_key("hold")), expires_at=until, kind=kind, by=TESTS, **more
    )


def limit(client: Client, amount: int | None, *, is_hard: bool = True, time_zone: str = "Europe/Stockholm") -> PoolLimit:
    found = ledger.set_pool_limit(wallet=client.wallet, amount=amount, is_hard=is_hard, time_zone=time_zone, by=TESTS)
    return found or PoolLimit()


@pytest.fixture
def books(db: None) -> Books:
    return Books()


@pytest.fixture
def committed_books(transactional_db: None) -> Books:
    """The same, in rows that other connections see. They stay when the test is over."""
    return Books()
