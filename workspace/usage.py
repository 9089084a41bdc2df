"""What a client itself used, by day, kind and chatbot, whoever paid: never anybody's balance."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, Case, F, Q, Sum, When

from credits import totals
from credits.books import USED, VOIDED, book
from credits.models import Entry, Unit
from kit.ids import least_of
from kit.ranges import Range
from subaccounts import credit_use
from subaccounts.models import SubAccount

KINDS = {
    "ai_reply": "Replies by chatbots",
    "campaign_message": "Campaign messages",
    "call": "Calls",
    "knowledge": "Knowledge",
    "metered": "Metered use",
}

# A name and how much.
Share = tuple[str, int]


@dataclass(frozen=True)
class Usage:
    """`steps` has every day of the range, used or not, or every month of a long one. Amounts are in smallest steps of `unit`,
    less what was given back."""

    unit: Unit
    steps: list[tuple[date | str, int]]
    kinds: list[Share]
    chatbots: list[Share]

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.steps)

    @property
    def points(self) -> list[tuple[date | str, float]]:
        """The steps in whole units, for a chart."""
        return [(step, round(amount / self.unit.steps, 2)) for step, amount in self.steps]


def of(sub_account: SubAccount, shown: Range, unit: Unit) -> Usage:
    """Uses of `unit` on the days of a range (days in the agency's time zone)."""
    by_day, by_kind = Counter[date](), Counter[str]()
    for line in totals.sums(credit_use.days_of(sub_account.agency), [unit.code], shown.first, shown.last, client=sub_account.public_id):
        used = totals.net([line], totals.USED, minus=totals.RETURNED)
        by_day[line.day] += used
        by_kind[KINDS.get(line.kind, line.kind.replace("_", " ").capitalize())] += used
    steps = [(step, sum(by_day[day] for day in days)) for step, days in shown.steps]
    return Usage(unit, steps, _largest_first(by_kind), _by_chatbot(sub_account, shown, unit.code))


def _by_chatbot(sub_account: SubAccount, shown: Range, unit: str) -> list[Share]:
    """Uses that name their chatbot. The totals do not know it: the entries do."""
    zone = ZoneInfo(sub_account.agency.time_zone)
    begins, ends = (least_of(datetime.combine(day, time.min, zone)) for day in (shown.first, shown.last + timedelta(days=1)))
    moved = Q(to_wallet_id=book(USED, unit)) | Q(from_wallet_id=book(VOIDED, unit))
    entries = Entry.objects.filter(moved, sub_account_id=sub_account.public_id, pk__gte=begins, pk__lt=ends).exclude(bot="")
    net = Sum(Case(When(kind="void", then=-F("amount")), default=F("amount"), output_field=BigIntegerField()))
    return _largest_first(Counter(dict(entries.values("bot").annotate(net=net).values_list("bot", "net").order_by())))


def _largest_first(sums: Counter[str]) -> list[Share]:
    return sorted(((name, amount) for name, amount in sums.items() if amount), key=lambda share: (-share[1], share[0]))
