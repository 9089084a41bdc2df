"""What a client has of its own, unit by unit. The agency's pool is no part of it and never read here."""

from dataclasses import dataclass

from credits import grants
from credits.models import Threshold, Unit, Wallet
from subaccounts import thresholds
from subaccounts.models import SubAccount

CREDIT = "credit"
SOURCES = {
    "starter": "Starter credits",
    "promotion": "Promotion",
    "plan": "Plan",
    "package": "Package",
    "allocation": "Your agency",
    "transfer": "Your agency",
    "adjustment": "Correction by your agency",
    "purchase": "Purchase",
}
AFTERWARDS = {
    SubAccount.FALLBACK_ON: "When they are used up, your agency pays for what you use.",
    SubAccount.FALLBACK_CAPPED: "When they are used up, your agency pays for what you use, up to a limit a month.",
    SubAccount.FALLBACK_OFF: "When they are used up, replies and calls stop until there are new ones.",
}


@dataclass(frozen=True, slots=True)
class Balance:
    """One unit in the client's own wallet. `low_at` is the alert that the client set itself; its agency's own is not its business."""

    wallet: Wallet
    outlook: grants.Outlook
    low_at: int | None

    @property
    def unit(self) -> Unit:
        return self.wallet.unit

    @property
    def is_low(self) -> bool:
        return self.low_at is not None and self.wallet.balance < self.low_at


def of(sub_account: SubAccount) -> list[Balance]:
    """Of every unit the client itself ever had any of, and of credits always. Four queries."""
    own = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=sub_account.public_id).select_related("unit")
    wallets = [wallet for wallet in own.order_by("unit__position") if wallet.sequence or wallet.unit_id == CREDIT]
    outlooks = grants.outlook(wallets)
    alerts = thresholds.of(sub_account, audience=Threshold.CLIENT)
    return [Balance(wallet, outlooks[wallet.pk], alerts.get(wallet.unit_id)) for wallet in wallets]


def in_words(opened: grants.Open) -> str:
    """Where a grant is from, as the client is told it."""
    return SOURCES.get(opened.grant.source, opened.grant.source.replace("_", " ").capitalize())
