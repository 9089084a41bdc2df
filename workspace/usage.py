"""What a client itself used, by day, kind and chatbot, whoever paid: never anybody's balance."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, Sum

from credits.books import USED, VOIDED, book
from credits.models import Entry, Unit
from subaccounts import credit_use
from subaccounts.models import SubAccount

KINDS = {"ai_reply": "Replies by chatbots", "campaign_message": "Campaign messages", "call": "Calls", "knowledge": "Knowledge"}
GIVEN_BACK = "Given back"

# Name, amount, number of uses.
Share = tuple[str, int, int]


@dataclass(frozen=True)
class Usage:
    """`days` has every day of the range, used or not. Amounts are in smallest steps of `unit`, what was given back taken off."""

    unit: Unit
    days: list[tuple[date, int]]
    kinds: list[Share]
    chatbots: list[Share]

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.days)

    @property
    def points(self) -> list[tuple[date, float]]:
        """The days in whole units, for a chart."""
        return [(day, round(amount / self.unit.steps, 2)) for day, amount in self.days]


def of(sub_account: SubAccount, first: date, last: date, unit: Unit) -> Usage:
    """Uses of `unit` from `first` to `last`, the day of today (days in the agency's time zone, both included)."""
    used = credit_use.by_day(sub_account, first, unit=unit.code)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    kinds, chatbots = _shares(sub_account, first, unit.code)
    return Usage(unit, [(day, used.get(day, 0)) for day in days], kinds, chatbots)


def _shares(sub_account: SubAccount, first: date, unit: str) -> tuple[list[Share], list[Share]]:
    """By kind and by chatbot, the largest first."""
    begins = datetime.combine(first, time.min, ZoneInfo(sub_account.agency.time_zone))
    moved = Q(to_wallet_id=book(USED, unit)) | Q(from_wallet_id=book(VOIDED, unit))
    # An entry's id begins with its milliseconds, so the range reads only the months it needs.
    entries = Entry.objects.filter(moved, sub_account_id=sub_account.public_id, pk__gte=UUID(int=int(begins.timestamp() * 1000) << 80))
    rows = entries.values_list("kind", "bot").annotate(Sum("amount"), Count("key", distinct=True)).order_by()
    signed = [(kind, bot, -amount, 0) if kind == "void" else (kind, bot, amount, count) for kind, bot, amount, count in rows]
    return (
        _summed((_in_words(kind), amount, count) for kind, _, amount, count in signed),
        _summed((bot, amount, count) for _, bot, amount, count in signed if bot),
    )


def _summed(rows: Iterable[Share]) -> list[Share]:
    sums: dict[str, tuple[int, int]] = {}
    for name, amount, count in rows:
        before = sums.get(name, (0, 0))
        sums[name] = before[0] + amount, before[1] + count
    return sorted(((name, *both) for name, both in sums.items()), key=lambda share: (-share[1], share[0]))


def _in_words(kind: str) -> str:
    return GIVEN_BACK if kind == "void" else KINDS.get(kind, kind.replace("_", " ").capitalize())
