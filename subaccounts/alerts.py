"""What the ledger noticed becomes notices: low balances, crossings, unusual use, and clients for whom nothing can pay.

The ledger writes a row in the transaction of the spend; the sweep takes each unnoticed row, tells whom it concerns and marks it,
in one transaction. So a sweep may run late, twice, several times at once, and may be killed anywhere: nothing is lost or told twice.
"""

import statistics
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.urls import reverse

from agency import notices
from agency.models import Agency, AlertRules, Category, Notice
from agency.models.notice import TELLS_BALANCE
from agency.notices import Word
from credits.models import Crossing, LowBalance, PoolLimit, Threshold, Unit, Wallet
from kit import clock, events
from kit.units import in_words
from subaccounts import credit_use
from subaccounts.models import SubAccount

log = structlog.get_logger("canopy.alerts")

BATCH = 1000
SPIKE_DAYS = 14

Row = TypeVar("Row", LowBalance, Crossing)


def sweep() -> int:
    """Tell whatever the ledger has noticed since; how many rows were dealt with. One that fails keeps no other waiting."""
    return _each(LowBalance, _tell_low_balance) + _each(Crossing, _tell_crossing)


def _each(model: type[Row], told: Callable[[Row], None]) -> int:
    waiting = model.objects.filter(noticed_at=None).order_by("at", "id").values_list("pk", flat=True)
    return sum(_deal_with(model, pk, told) for pk in list(waiting[:BATCH]))


def _deal_with(model: type[Row], pk: int, told: Callable[[Row], None]) -> bool:
    """One row in one transaction; False when another sweep has it or had it."""
    try:
        with transaction.atomic():
            waiting = model.objects.filter(pk=pk, noticed_at=None).select_for_update(skip_locked=True, of=("self",))
            row = waiting.select_related("wallet__unit").first()
            if row is None:
                return False
            told(row)
            row.noticed_at = clock.now()
            row.save(update_fields=["noticed_at"])
            return True
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one row must not silence the others; the next sweep tries it again)
        log.error("alert not told", row=model.__name__, id=pk, cause=f"{type(error).__name__}: {error}"[:300])
        return False


# --- low balances ------------------------------------------------------------------------------------------------------------


def _tell_low_balance(low: LowBalance) -> None:
    if low.rearmed_at and not Threshold.objects.filter(wallet=low.wallet, audience=low.audience, at=low.threshold).exists():
        return  # it was not the balance that rose: somebody took the threshold away or set another, which has its own row
    sub_account = _sub_account_of(low.wallet)
    if low.wallet.owner_kind == Wallet.AGENCY:
        _pool_is_low(low)
    elif sub_account is not None:
        _wallet_is_low(low, sub_account)
    else:
        return
    if low.audience == Threshold.AGENCY and low.wallet.agency_id is not None:
        client = sub_account.public_id if sub_account else None
        data = {"unit": low.wallet.unit_id, "balance": low.balance, "threshold": low.threshold}
        events.publish("credits.low", agency_id=low.wallet.agency_id, sub_account_id=client, data=data)


def _pool_is_low(low: LowBalance) -> None:
    agency = Agency.objects.filter(public_id=low.wallet.owner_id).first()
    if agency is None or low.audience != Threshold.AGENCY:
        return
    text = f"Your pool fell below {_alert_of(low)}. {_or_recovered(low, 'What nothing can pay for stops.')}"
    word = Word(f"Agency pool: {in_words(low.balance, low.wallet.unit)} left", text, _page("credits_home"))
    notices.tell(
        agency=agency, audience=Notice.AGENCY, category=Category.LOW_BALANCE, unit=low.wallet.unit_id,
        key=f"low_balance:{low.pk}", word=word, by_mail=low.rearmed_at is None,
    )  # fmt: skip


def _wallet_is_low(low: LowBalance, sub_account: SubAccount) -> None:
    title = f"{sub_account.name}: {in_words(low.balance, low.wallet.unit)} left"
    key, still_low = f"low_balance:{low.pk}", low.rearmed_at is None
    if low.audience == Threshold.AGENCY:
        after = "your pool pays" if sub_account.pays_from_pool else "its assistant stops"
        after = f"When its own are used up, {after}." if low.balance else f"Now {after}."
        text = f"The client's own balance fell below {_alert_of(low)}. {_or_recovered(low, after)}"
        _tell_agency(sub_account, Category.LOW_BALANCE, key, title, text, unit=low.wallet.unit_id, by_mail=still_low)
    elif sub_account.shows_balance:
        text = f"Your balance fell below {_alert_of(low)}. {_or_recovered(low, f'Ask {sub_account.agency.name} if you need more.')}"
        _tell_client(sub_account, Category.LOW_BALANCE, key, title, text, unit=low.wallet.unit_id, by_mail=still_low)


def _alert_of(low: LowBalance) -> str:
    return f"{in_words(low.threshold, low.wallet.unit)}, the alert that was set"


def _or_recovered(low: LowBalance, text: str) -> str:
    return "It has been back above since." if low.rearmed_at else text


# --- what a client's wallet came to ------------------------------------------------------------------------------------------


def _tell_crossing(crossing: Crossing) -> None:
    sub_account = _sub_account_of(crossing.wallet)
    if sub_account is None:
        return
    told = {Crossing.FALLBACK: _fallback_started, Crossing.LIMIT: _limit_reached}[crossing.kind]
    told(crossing, sub_account)


def _tell_depleted(sub_account: SubAccount, *, unit: str, pool_pays: bool) -> None:
    data = {"unit": unit, "pool_pays": pool_pays}
    events.publish("credits.depleted", agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id, data=data)


def _fallback_started(crossing: Crossing, sub_account: SubAccount) -> None:
    _tell_depleted(sub_account, unit=crossing.wallet.unit_id, pool_pays=True)
    unit, key, is_so = crossing.wallet.unit, f"fallback_started:{crossing.pk}", crossing.rearmed_at is None
    title = f"{sub_account.name}: own {unit.plural.lower()} used up"
    text = "Your pool pays for what it uses from now on." if is_so else "Your pool paid for a while; the client has units of its own again."
    _tell_agency(sub_account, Category.FALLBACK_STARTED, key, title, text, unit=unit.code, by_mail=is_so)
    if sub_account.shows_balance:
        name = sub_account.agency.name
        text = f"{name} pays for what you use from now on." if is_so else f"{name} paid for a while; you have units of your own again."
        _tell_client(sub_account, Category.FALLBACK_STARTED, key, title, text, unit=unit.code, by_mail=is_so)


def _limit_reached(crossing: Crossing, sub_account: SubAccount) -> None:
    """The client hears of it only where it stops its service, and never a number: it is of the agency's pool."""
    unit, key, is_so = crossing.wallet.unit, f"limit_reached:{crossing.pk}", crossing.rearmed_at is None
    limit = PoolLimit.objects.filter(wallet=crossing.wallet).first()
    stops = is_so and limit is not None and limit.is_hard
    title = f"{sub_account.name}: limit of {in_words(limit.amount if limit else crossing.amount, unit)} reached"
    if stops:
        text = "Your pool pays no more for it this month. Its assistant stops, unless it gets units of its own or a higher limit."
    else:
        text = (
            "Your pool goes on paying: the limit only alerts."
            if is_so
            else "It is below again since: a new month began, the limit rose, or a reservation was let go."
        )
    _tell_agency(sub_account, Category.LIMIT_REACHED, key, title, text, unit=unit.code, by_mail=is_so, page="sub_account_limit")
    if stops:
        title = f"{sub_account.name}: your service is limited"
        text = f"Your assistant may not answer until next month. {sub_account.agency.name} knows and can change it."
        _tell_client(sub_account, Category.LIMIT_REACHED, key, title, text)


def stopped(sub_account: SubAccount) -> None:
    """Nothing could pay for something this client wanted: both sides hear of it, once a day. Call it outside what was rolled back."""
    agency = sub_account.agency
    key = f"stopped:{sub_account.public_id}:{clock.today_in(agency.time_zone)}"
    if notices.was_told(key, Notice.AGENCY) or notices.was_told(key, Notice.CLIENT):
        return
    with transaction.atomic():
        _tell_depleted(sub_account, unit=credit_use.UNIT, pool_pays=False)
        text = "Neither its own units nor your pool could pay for an answer. Top it up, or raise what it may use of your pool."
        _tell_agency(sub_account, Category.STOPPED, key, f"{sub_account.name}: assistant stopped answering", text)
        text = f"A visitor was told that you cannot answer right now. {agency.name} knows and can change it."
        _tell_client(sub_account, Category.STOPPED, key, f"{sub_account.name}: your assistant stopped answering", text)


# --- unusual use -------------------------------------------------------------------------------------------------------------


def look_for_spikes() -> int:
    """Tell of each client that used unusually much of a unit today, once a day; how many were found, told before or not.

    A few statements for each agency and unit in use, however many clients: the sums of today, and where somebody used enough to be
    looked at those of the days before.
    """
    rules = {row.agency_id: row for row in AlertRules.objects.all()}
    return sum(_spikes(agency, unit, rules.get(agency.pk) or AlertRules(agency=agency)) for agency, unit in _in_use())


def _in_use() -> Iterator[tuple[Agency, Unit]]:
    """The agencies with the units that they or their clients ever had any of."""
    moved = Wallet.objects.filter(owner_kind__in=[Wallet.AGENCY, Wallet.SUB_ACCOUNT], sequence__gt=0)
    units = Unit.objects.in_bulk()
    pairs = list(moved.order_by("agency_id", "unit").values_list("agency_id", "unit").distinct())
    agencies = {agency.public_id: agency for agency in Agency.objects.filter(public_id__in={agency_id for agency_id, _ in pairs})}
    return ((agencies[agency_id], units[unit]) for agency_id, unit in pairs if agency_id in agencies)


def _spikes(agency: Agency, unit: Unit, rules: AlertRules) -> int:
    used = credit_use.today(agency, unit.code)
    candidates = {public_id: amount for public_id, amount in used.items() if amount > rules.spike_least * unit.steps}
    if not candidates:
        return 0
    before = credit_use.days_before(agency, unit.code, SPIKE_DAYS, among=candidates)
    usual = {public_id: statistics.median(days) for public_id, days in before.items()}
    unusual = {public_id: amount for public_id, amount in candidates.items() if amount > rules.spike_factor * Decimal(usual[public_id])}
    keys = {public_id: f"spike:{public_id}:{unit.code}:{clock.today_in(agency.time_zone)}" for public_id in unusual}
    told = notices.told_among(keys.values(), Notice.AGENCY) | notices.told_among(keys.values(), Notice.CLIENT)
    news = [public_id for public_id in unusual if keys[public_id] not in told]
    for sub_account in SubAccount.objects.of(agency).ready().filter(public_id__in=news).select_related("agency"):
        _tell_spike(sub_account, unit, keys[sub_account.public_id], unusual[sub_account.public_id], round(usual[sub_account.public_id]))
    return len(unusual)


def _tell_spike(sub_account: SubAccount, unit: Unit, key: str, amount: int, usual: int) -> None:
    """`usual` is the median of the days before, those without use included."""
    title = f"{sub_account.name}: {in_words(amount, unit)} used today"
    text = f"That is unusually much: on a usual day it is {in_words(usual, unit)} (the median of the {SPIKE_DAYS} days before)."
    with transaction.atomic():
        _tell_agency(sub_account, Category.SPIKE, key, title, text, unit=unit.code)
        _tell_client(sub_account, Category.SPIKE, key, title, text, unit=unit.code)


# --- telling -----------------------------------------------------------------------------------------------------------------


def _tell_agency(
    sub_account: SubAccount,
    category: Category,
    key: str,
    title: str,
    text: str,
    *,
    unit: str = "",
    by_mail: bool = True,
    page: str = "sub_account",
) -> None:
    notices.tell(
        agency=sub_account.agency, sub_account_id=sub_account.public_id, audience=Notice.AGENCY, category=category, unit=unit,
        key=key, word=Word(title, text, _page(page, sub_account.public_id)), by_mail=by_mail,
    )  # fmt: skip


def _tell_client(
    sub_account: SubAccount, category: Category, key: str, title: str, text: str, *, unit: str = "", by_mail: bool = True
) -> None:
    """A suspended client gets no mail. The agency's own sub-account has no client behind it."""
    if sub_account.is_primary:
        return
    page = "workspace_credits" if category in TELLS_BALANCE else "workspace_usage"
    notices.tell(
        agency=sub_account.agency, sub_account_id=sub_account.public_id, audience=Notice.CLIENT, category=category, unit=unit,
        key=key, word=Word(title, text, reverse(page, urlconf=settings.WORKSPACE_URLCONF)),
        by_mail=by_mail and sub_account.suspension is None,
    )  # fmt: skip


def _sub_account_of(wallet: Wallet) -> SubAccount | None:
    """Whose wallet it is; None for one that was removed, about which nobody is told any more."""
    if wallet.owner_kind != Wallet.SUB_ACCOUNT:
        return None
    return SubAccount.objects.ready().select_related("agency").filter(public_id=wallet.owner_id).first()


def _page(name: str, *ids: UUID) -> str:
    return reverse(name, args=ids, urlconf=settings.ROOT_URLCONF)
