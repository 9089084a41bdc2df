"""The figures of the agency's home and of a sub-account's page, in a bounded number of queries."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.db.models import Count, Q, Sum

from agency.models import Agency, User
from credits.models import Wallet
from kit import clock
from kit.ranges import Range
from subaccounts import credit_use, figures, usage
from subaccounts.models import Access, MonthlyFigures, SubAccount, SubAccountQuerySet

CHART_DAYS = 30


@dataclass(frozen=True)
class Key:
    """D-07 … D-10. `messages` and `active` are of this month, `leads` of all time."""

    clients: int
    active: int
    messages: int
    leads: int


@dataclass(frozen=True)
class Chart:
    """`series` are (name, value for each of `days`), the largest first and the rest as one."""

    days: list[date]
    series: list[tuple[str, list[int]]]

    @property
    def total(self) -> int:
        return sum(sum(values) for _, values in self.series)


@dataclass(frozen=True)
class Step:
    """Something a new agency does next. `url_name` leads there."""

    title: str
    text: str
    url_name: str
    is_done: bool


def key_figures(agency: Agency, sub_accounts: SubAccountQuerySet) -> Key:
    month = clock.month_start(agency.time_zone).date()
    sums = MonthlyFigures.objects.filter(sub_account__in=sub_accounts.clients()).aggregate(
        messages=Sum("messages", filter=Q(month__gte=month)),
        active=Count("pk", filter=Q(month=month, conversations__gt=0)),
        leads=Sum("leads"),
    )
    return Key(sub_accounts.clients().count(), sums["active"] or 0, sums["messages"] or 0, sums["leads"] or 0)


def pool(agency: Agency) -> Wallet | None:
    return Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=agency.public_id, unit_id=credit_use.UNIT).first()


def used_by_client(agency: Agency) -> Chart:
    """Credits used on each of the last 30 days by the clients that used most, the others together."""
    days = _last_days(agency)
    shown = Range(str(CHART_DAYS), days[0], days[-1])
    return Chart(days, usage.by_client(credit_use.days_of(agency), credit_use.UNIT, shown))


def figures_of(sub_account: SubAccount) -> dict[str, Any]:
    """This month's and all figures of one sub-account, and its messages of the last 30 days."""
    agency = sub_account.agency
    days = _last_days(agency)
    month = clock.month_start(agency.time_zone).date()
    daily = figures.by_day(sub_account, days[0], days[-1])
    empty = figures.Figures()
    chart = Chart(days, [("Messages", [daily.get(day, empty).messages for day in days])])
    return {
        "month": figures.total(sub_account, month, days[-1]),
        "leads": MonthlyFigures.objects.filter(sub_account=sub_account).aggregate(all=Sum("leads"))["all"] or 0,
        "chart": chart,
    }


def credits_of(sub_account: SubAccount) -> dict[str, Any]:
    """What its wallet holds, and what it used on each of the last 30 days and this month."""
    agency = sub_account.agency
    days = _last_days(agency)
    month = clock.month_start(agency.time_zone).date()
    used = credit_use.by_day(sub_account, min(days[0], month))
    values = [used.get(day, 0) for day in days]
    return {
        "wallet": sub_account.wallet(credit_use.UNIT),
        "used_this_month": sum(amount for day, amount in used.items() if day >= month),
        "credit_chart": Chart(days, [("Credits used", values)]),
    }


def steps(agency: Agency, user: User) -> list[Step]:
    """What a new agency does, each with whether it has been done; empty once all is."""
    clients = SubAccount.objects.of(agency).clients().ready()
    facts = clients.aggregate(clients=Count("pk", distinct=True), chatbots=Sum("chatbots"))
    signed_in = Access.objects.filter(sub_account__in=clients, user__last_login__isnull=False, user__realm=agency).exists()
    talked = MonthlyFigures.objects.filter(sub_account__in=clients, conversations__gt=0).exists()
    made = [
        Step(
            "Open a sub-account for your first client",
            "It takes a minute and gives them their own workspace.",
            "sub_account_new",
            bool(facts["clients"]),
        ),
        Step(
            "Set up their first chatbot",
            "Enter the workspace, add a chatbot, import what people ask.",
            "sub_account_list",
            bool(facts["chatbots"]),
        ),
        Step("Let the client sign in", "They get a first password by e-mail and choose their own.", "sub_account_list", signed_in),
        Step("Answer the first visitor", "Put the chat on the client's website and ask it something.", "sub_account_list", talked),
        Step("Protect your sign-in", "Add a passkey or an authenticator app.", "mfa_index", _has_second_factor(user)),
    ]
    return [] if all(step.is_done for step in made) else made


def _has_second_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user).exists())


def _last_days(agency: Agency) -> list[date]:
    today = clock.today_in(agency.time_zone)
    return [today - timedelta(days=distance) for distance in reversed(range(CHART_DAYS))]
