"""What one use costs (decision 15): the platform's floor, what an agency asks of its clients, and what it asks of one of them."""

import math
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from credits.models import Rate
from kit.actor import Actor
from kit.refusal import Refusal

MOST = 1_000_000


class BelowFloor(Refusal):
    """An agency does not sell a use for less than it pays the platform for it. `floor` is in smallest steps."""

    code = "below_floor"
    default_message = "This is less than the platform asks. Nothing was changed."

    def __init__(self, floor: int) -> None:
        self.floor = floor
        super().__init__()


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of use. Its rate is in smallest steps of `unit` for `per` of what is counted, each begun one counting whole."""

    code: str
    name: str
    unit: str
    counted: str
    per: int = 1
    may_be_free: bool = False

    @property
    def least(self) -> int:
        return 0 if self.may_be_free else 1

    @property
    def usual(self) -> int:
        """What the platform asks where its row is missing: one whole unit."""
        return 0 if self.may_be_free else self.per

    def amount(self, quantity: int | Decimal, rate: int) -> int:
        """Smallest steps for `quantity` at `rate`. Seconds that have begun count whole, 61.2 are 62, and so does the last step."""
        return -(-math.ceil(quantity) * rate // self.per)


AI_REPLY = Kind("ai_reply", "AI reply", "credit", "reply")
OWN_KEY = Kind("own_key", "Use with one's own AI key", "credit", "use", may_be_free=True)
CAMPAIGN_MESSAGE = Kind("campaign_message", "Campaign message", "credit", "contact")
CALL_BASIC = Kind("call_basic", "Call, basic", "basic_minute", "minute, by the second", per=60)
CALL_PREMIUM = Kind("call_premium", "Call, premium", "premium_minute", "minute, by the second", per=60)
KNOWLEDGE = Kind("knowledge", "Knowledge base", "knowledge_pack", "base")
KINDS = {kind.code: kind for kind in (AI_REPLY, OWN_KEY, CAMPAIGN_MESSAGE, CALL_BASIC, CALL_PREMIUM, KNOWLEDGE)}


@dataclass(frozen=True, slots=True)
class Cost:
    """`amount` smallest steps of the unit with the code `unit`."""

    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Levels:
    """The rates of one kind, each empty where nobody has set it."""

    platform: int
    deal: int | None = None
    agency: int | None = None
    sub_account: int | None = None

    @property
    def floor(self) -> int:
        """What the platform asks of the agency."""
        return self.platform if self.deal is None else self.deal

    @property
    def inherited(self) -> int:
        """What a client pays that has no rate of its own."""
        return max(self.floor, self.floor if self.agency is None else self.agency)

    @property
    def effective(self) -> int:
        return self.inherited if self.sub_account is None else max(self.floor, self.sub_account)


def cost(kind: str, quantity: int | Decimal = 1, *, agency_id: UUID, sub_account_id: UUID | None) -> Cost:
    """What `quantity` replies, contacts, seconds of a call or bases cost this client now. One query."""
    what = KINDS[kind]
    return Cost(what.unit, what.amount(quantity, levels(agency_id, sub_account_id, kind)[kind].effective))


def levels(agency_id: UUID, sub_account_id: UUID | None = None, *kinds: str) -> dict[str, Levels]:
    """The rates of some kinds, or of all, as this client or this agency has them. One query."""
    wanted = Q(owner_kind=Rate.PLATFORM) | Q(owner_kind__in=(Rate.DEAL, Rate.AGENCY), owner_id=agency_id)
    if sub_account_id is not None:
        wanted |= Q(owner_kind=Rate.SUB_ACCOUNT, owner_id=sub_account_id)
    set_by: dict[str, dict[str, int]] = {kind: {} for kind in kinds or KINDS}
    for kind, owner_kind, amount in Rate.objects.filter(wanted, kind__in=set_by).values_list("kind", "owner_kind", "amount"):
        set_by[kind][owner_kind] = amount
    return {kind: Levels(**{Rate.PLATFORM: KINDS[kind].usual, **amounts}) for kind, amounts in set_by.items()}


@transaction.atomic
def set_rate(*, owner_kind: str, owner_id: UUID | None, kind: str, amount: int | None, by: Actor, agency_id: UUID | None = None) -> None:
    """The rate of the platform, a deal with an agency, an agency or one of its clients, in smallest steps; None takes it away.

    `agency_id` is the agency of a client. Raises `BelowFloor` where an agency asks less than it pays. What staff set may be
    anything: rates of agencies that are below it by then are lifted to it when they are used.
    """
    what = KINDS[kind]
    if (owner_kind == Rate.PLATFORM) != (owner_id is None) or (owner_kind == Rate.PLATFORM and amount is None):
        raise ValueError("the platform has a rate of every kind and no id; everybody else has an id")
    found = Rate.objects.filter(owner_kind=owner_kind, owner_id=owner_id, kind=kind)
    if amount is None:
        found.delete()
        return
    if not what.least <= amount <= MOST:
        raise ValueError(f"a rate of {amount} is not between {what.least} and {MOST}")
    if owner_kind in (Rate.AGENCY, Rate.SUB_ACCOUNT):
        agency_id = owner_id if owner_kind == Rate.AGENCY else agency_id
        if agency_id is None:
            raise ValueError("a client's rate needs its agency")
        if amount < (floor := levels(agency_id, None, kind)[kind].floor):
            raise BelowFloor(floor)
    Rate.objects.update_or_create(owner_kind=owner_kind, owner_id=owner_id, kind=kind, defaults={"amount": amount})
