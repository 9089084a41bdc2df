"""Why the ledger says no."""

from kit.refusal import Refusal


class InsufficientCredits(Refusal):
    """The sources together have less than was asked. Nothing was used. `needed` and `available` are in smallest steps."""

    code = "insufficient_credits"
    status = 402
    default_message = "There are not enough credits for this. Nothing was used. Add credits and try again."

    def __init__(self, *, needed: int, available: int) -> None:
        self.needed, self.available = needed, available
        super().__init__()


class PoolLimitReached(InsufficientCredits):
    """The client may use no more of the agency's pool this month. `available` is what it may still use, its own credits included."""

    code = "pool_limit_reached"
    default_message = "This month's limit on the agency's credits is reached. Nothing was used. It can be raised, or own credits be added."


class PoolCannotCover(InsufficientCredits):
    """Units are cheaper at the destination, and the agency's pool has not what is missing there."""

    default_message = (
        "Units cost less there, so more would arrive than leave, and the pool has not enough for the difference. Nothing was moved."
    )


class WalletFull(Refusal):
    code = "wallet_full"
    status = 409
    default_message = "This is more than a wallet can hold. Nothing was changed."


class KeyReused(Refusal):
    code = "key_reused"
    status = 409
    default_message = "This idempotency key was used before, for something else. Nothing was changed. Use a new key."


class HoldClosed(Refusal):
    code = "hold_closed"
    status = 409
    default_message = "These credits are no longer reserved. Nothing was changed. Start again."


class UnitInUse(Refusal):
    code = "unit_in_use"
    status = 409


class CannotVoid(Refusal):
    code = "cannot_void"
    status = 409
    default_message = "This cannot be voided. Nothing was changed."
