"""Below which balances of a client somebody wants to hear of it: its agency, or the client itself."""

from collections.abc import Mapping

from django.db import transaction

from agency import audit
from credits import ledger
from credits.models import Threshold, Wallet
from kit.actor import Actor
from subaccounts.models import SubAccount


def of(sub_account: SubAccount, *, audience: str) -> dict[str, int]:
    """By unit, in smallest steps; a unit without an alert is absent."""
    mine = Threshold.objects.filter(wallet__owner_kind=Wallet.SUB_ACCOUNT, wallet__owner_id=sub_account.public_id, audience=audience)
    return dict(mine.values_list("wallet__unit_id", "at"))


@transaction.atomic
def choose(*, sub_account: SubAccount, audience: str, wishes: Mapping[str, int | None], by: Actor) -> None:
    """Set the alerts of the units named, None for no alert; the others stay. A balance that is below already alerts once, now."""
    before = of(sub_account, audience=audience)
    changed = {unit: at for unit, at in wishes.items() if before.get(unit) != at}
    wallets = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=sub_account.public_id, unit__in=changed)
    for wallet in wallets.order_by("unit__position", "unit"):  # the order in which wallets of several units are locked everywhere
        ledger.set_threshold(wallet=wallet, low_at=changed[wallet.unit_id], audience=audience, by=by)
    audit.record(
        "credit_alert.changed",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        before={"audience": audience, **{unit: before.get(unit) for unit in changed}},
        after={"audience": audience, **changed},
    )
