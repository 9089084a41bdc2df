"""What a client itself used, by day and by kind, out of the ledger's own entries: never anybody's balance."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate

from credits.models import Entry, Wallet
from subaccounts.models import SubAccount

KINDS = {"ai_reply": "Replies by chatbots", "campaign_message": "Campaign messages", "call": "Calls", "knowledge": "Knowledge"}


@dataclass(frozen=True)
class Usage:
    """`days` has every day of the range, used or not; amounts are credits."""

    days: list[tuple[date, int]]
    kinds: list[tuple[str, int, int]]

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.days)


def of(sub_account: SubAccount, first: date, last: date) -> Usage:
    """Uses of credits from `first` to `last` (days in the agency's time zone, both included), whoever's wallet paid."""
    zone = ZoneInfo(sub_account.agency.time_zone)
    begins = datetime.combine(first, time.min, zone)
    ends = datetime.combine(last + timedelta(days=1), time.min, zone)
    used = Entry.objects.filter(
        sub_account_id=sub_account.public_id, unit_id="credit", kind__in=KINDS, at__gte=begins, at__lt=ends,
        from_wallet__owner_kind__in=[Wallet.AGENCY, Wallet.SUB_ACCOUNT],
    )  # fmt: skip
    by_day = dict(used.annotate(day=TruncDate("at", tzinfo=zone)).values_list("day").annotate(Sum("amount")).order_by())
    by_kind = used.values_list("kind").annotate(Sum("amount"), Count("pk")).order_by("kind")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return Usage([(day, by_day.get(day, 0)) for day in days], [(KINDS[kind], amount, count) for kind, amount, count in by_kind])
