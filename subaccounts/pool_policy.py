"""Whether the agency's pool pays for a client whose own units are used up, and up to how much a month (decision 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from agency import audit
from agency.models import Agency
from credits import ledger, totals
from credits.models import PoolLimit, Unit, Wallet
from kit import clock
from kit.actor import Actor
from subaccounts import credit_use
from subaccounts.models import SubAccount


@dataclass(frozen=True)
class UnitUse:
    """What a client used of the pool this month, of one unit, in smallest steps; its limit where it has one."""

    unit: Unit
    used: int
    limit: PoolLimit | None
    available: int


@dataclass(frozen=True)
class Policy:
    fallback: str
    uses: list[UnitUse]

    @property
    def is_hard(self) -> bool:
        """Hard too where there is no limit yet: what is asked of a new one."""
        return all(use.limit.is_hard for use in self.uses if use.limit)


def of(sub_account: SubAccount) -> Policy:
    """The policy of one client with every unit."""
    agency = sub_account.agency
    wallets = Wallet.objects.filter(owner_id__in=[sub_account.public_id, agency.public_id]).exclude(owner_kind=Wallet.BOOK)
    found = list(wallets.select_related("unit", "pool_limit").order_by("unit__position"))
    pools = {wallet.unit_id: wallet for wallet in found if wallet.owner_kind == Wallet.AGENCY}
    own = [wallet for wallet in found if wallet.owner_kind == Wallet.SUB_ACCOUNT]
    today = clock.today_in(agency.time_zone)
    uses = []
    for wallet in own:
        limit = limit_of(wallet)
        used = totals.used_of_pool(credit_use.days_of(agency), wallet.unit_id, today.replace(day=1), today, among=[sub_account.public_id])
        pool = pools.get(wallet.unit_id)
        in_month = limit.used_this_month if limit else used.get(sub_account.public_id, 0)
        uses.append(UnitUse(wallet.unit, in_month, limit, pool.available if pool else 0))
    return Policy(sub_account.pool_fallback, uses)


def limit_of(wallet: Wallet) -> PoolLimit | None:
    """The limit of a wallet that was read together with it."""
    return wallet.pool_limit if wallet.has_pool_limit else None


@transaction.atomic
def choose(*, sub_account: SubAccount, fallback: str, is_hard: bool, amounts: Mapping[str, int | None], by: Actor) -> SubAccount:
    """Let the pool pay without a limit, up to `amounts` a month (smallest steps, by unit; None for no limit of that unit) or not at all.

    In the middle of a month a new limit counts what was used already. The same again changes nothing and records nothing.
    """
    is_capped = fallback == SubAccount.FALLBACK_CAPPED
    if fallback not in dict(SubAccount.POOL_FALLBACKS) or (is_capped and all(amount is None for amount in amounts.values())):
        raise ValueError("the policy is on, off, or capped with at least one amount")
    agency = Agency.objects.select_for_update(no_key=True).get(pk=sub_account.agency_id)  # its time zone stays what it is meanwhile
    stored = SubAccount.objects.select_for_update(no_key=True).get(pk=sub_account.pk)
    own = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=stored.public_id).select_related("pool_limit")
    wallets = list(own.order_by("unit__position", "unit"))  # the order in which wallets of several units are locked everywhere
    before = _said(stored, [limit_of(wallet) for wallet in wallets])
    limits = []
    for wallet in wallets:
        amount = amounts.get(wallet.unit_id) if is_capped else None
        limits.append(ledger.set_pool_limit(wallet=wallet, amount=amount, is_hard=is_hard, time_zone=agency.time_zone, by=by))
    stored.pool_fallback = fallback
    stored.save(update_fields=["pool_fallback"])
    after = _said(stored, limits)
    if after != before:
        audit.record(
            "pool_policy.changed",
            by=by,
            agency=agency,
            sub_account_id=stored.public_id,
            subject=stored.name,
            before=before,
            after=after,
        )
    return stored


def _said(sub_account: SubAccount, limits: list[PoolLimit | None]) -> dict[str, Any]:
    there = [limit for limit in limits if limit]
    return {
        "pool_fallback": sub_account.pool_fallback,
        **{limit.wallet.unit_id: limit.amount for limit in there},
        **({"is_hard": all(limit.is_hard for limit in there)} if there else {}),
    }
