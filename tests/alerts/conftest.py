"""Short ways to bring a client or a pool to where somebody is alerted."""

import json
from typing import Any
from uuid import uuid4

from agency.models import Agency, Notice
from credits import ledger
from credits.models import Crossing, PoolLimit, Wallet
from kit import clock, sealed
from kit.models import OutboxMessage
from subaccounts.models import SubAccount
from tests.cast import TESTS


def spend(wallet: Wallet, amount: int, *, sub_account: SubAccount | None = None) -> None:
    owner = sub_account.public_id if sub_account else None
    ledger.spend(sources=[wallet], amount=amount, key=str(uuid4()), kind="ai_reply", by=TESTS, sub_account_id=owner)


def give(wallet: Wallet, amount: int) -> None:
    ledger.grant(to=wallet, amount=amount, source="purchase", key=str(uuid4()), by=TESTS)


def alert_below(wallet: Wallet, low_at: int | None, audience: str = "agency") -> None:
    ledger.set_threshold(wallet=wallet, low_at=low_at, audience=audience, by=TESTS)


def show_balances(sub_account: SubAccount, visibility: str = SubAccount.SHOWN) -> None:
    sub_account.balance_visibility = visibility
    sub_account.save(update_fields=["balance_visibility"])


def crossing(sub_account: SubAccount, kind: str, **fields: Any) -> Crossing:
    return Crossing.objects.create(wallet=sub_account.wallet("credit"), kind=kind, at=clock.now(), **fields)


def pool_limit(sub_account: SubAccount, amount: int, *, is_hard: bool = True) -> PoolLimit:
    return PoolLimit.objects.create(
        wallet=sub_account.wallet("credit"), amount=amount, is_hard=is_hard, time_zone="Europe/Stockholm", month_ends_at=clock.now()
    )


def told(agency: Agency, audience: str = "agency") -> list[str]:
    """The titles of what `audience` was told, in order."""
    return list(Notice.objects.filter(agency=agency, audience=audience).order_by("id").values_list("title", flat=True))


def mails() -> list[dict[str, Any]]:
    """What of ours waits in the outbox, opened, in order."""
    rows = OutboxMessage.objects.filter(topic="mail", key__startswith="notices:", delivered_at=None).order_by("id")
    return [json.loads(sealed.unseal(row.payload["sealed"], purpose="mail") or "{}") for row in rows]
