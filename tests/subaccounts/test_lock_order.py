"""Deeds that take wallets of several units, on real connections: none of them waits for another that waits for it."""

from collections.abc import Callable
from threading import Event
from time import sleep
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from agency.models import Agency, User
from credits import ledger
from credits.models import PoolLimit, Wallet
from subaccounts import opening, pool_policy, thresholds
from subaccounts.models import SubAccount
from tests.cast import TESTS
from tests.credits.conftest import fresh_key, give
from tests.credits.test_contention import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> SubAccount:
    """Its wallets of knowledge packs have an id below the one of its credits, though packs come after credits."""
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    agency = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    client = agency.sub_accounts.get()
    Wallet.objects.filter(owner_id=client.public_id, unit="knowledge_pack").delete()
    Wallet.objects.create(
        id=UUID(int=uuid4().int >> 48),
        owner_kind=Wallet.SUB_ACCOUNT,
        owner_id=client.public_id,
        agency_id=agency.public_id,
        unit_id="knowledge_pack",
    )
    for unit in ("credit", "knowledge_pack"):
        give(agency.pool(unit), 10)
    return client


def cap(client: SubAccount) -> None:
    pool_policy.choose(sub_account=client, fallback="capped", is_hard=True, amounts={"credit": 5, "knowledge_pack": 5}, by=TESTS)


def warn(client: SubAccount) -> None:
    thresholds.choose(sub_account=client, audience="agency", wishes={"credit": 5, "knowledge_pack": 5}, by=TESTS)


@pytest.mark.parametrize("deed", [cap, warn])
def test_a_move_of_two_units_and_what_is_set_for_both_wait_in_one_order(client: SubAccount, deed: Callable[[SubAccount], None]) -> None:
    is_locked = Event()

    def turn(number: int) -> None:
        if number:
            is_locked.wait(timeout=10)
            deed(client)
            return
        with transaction.atomic():
            for unit in ("credit", "knowledge_pack"):  # their order on the page that moves several
                pool = client.agency.pool(unit)
                ledger.allocate(pool=pool, wallet=client.wallet(unit), amount=1, key=fresh_key(), by=TESTS)
                is_locked.set()
                sleep(0.3)  # the other has begun by then, and waits

    at_once(2, turn)

    assert client.wallet("knowledge_pack").balance == 1
    assert PoolLimit.objects.filter(wallet__owner_id=client.public_id).count() == (2 if deed is cap else 0)


def test_a_limit_that_is_set_while_the_time_zone_changes_follows_the_new_one(client: SubAccount) -> None:
    is_set = Event()

    def turn(number: int) -> None:
        with transaction.atomic():
            if number:
                is_set.wait(timeout=10)
                Agency.objects.filter(pk=client.agency_id).update(time_zone="Asia/Tokyo")
                ledger.set_time_zone(agency_id=client.agency.public_id, time_zone="Asia/Tokyo", by=TESTS)
                return
            cap(client)
            is_set.set()
            sleep(0.3)  # the other has begun by then

    at_once(2, turn)

    zones = PoolLimit.objects.filter(wallet__owner_id=client.public_id).values_list("time_zone", flat=True)
    assert list(zones) == ["Asia/Tokyo"] * 2
