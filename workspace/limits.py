"""How much a widget takes: per visitor, per network, per workspace, and no more than so many replies a day."""

import structlog
from django.conf import settings

from agency import audit
from kit import clock, ratelimit
from kit.actor import system
from kit.refusal import Refusal
from subaccounts.models import DailyFigures, SubAccount

# (how many, in how many seconds). A network is an IPv4 address or an IPv6 /64, so a company behind one address fits.
MESSAGES_PER_VISITOR = (12, 60)
MESSAGES_PER_NETWORK = (40, 60)
MESSAGES_PER_NETWORK_HOURLY = (400, 3600)
MESSAGES_PER_WORKSPACE = (300, 60)
VISITS_PER_NETWORK = (120, 60)
READS_PER_NETWORK = (1200, 60)
LEADS_PER_NETWORK = (6, 60)
LEADS_PER_WORKSPACE = (60, 60)
ALERTS = (50, 80, 100)  # percent of the day's replies, told to the agency in its audit log

log = structlog.get_logger("canopy.limits")


class TooMany(Refusal):
    code = "too_many"
    status = 429
    default_message = "That was a lot at once. Please wait a minute and try again."
    retry_after = 60


class DailyCapReached(Refusal):
    """The workspace has given all the replies it may give in one day. Nothing was spent."""

    code = "daily_cap_reached"
    status = 429


def admit(sub_account: SubAccount, *limits: tuple[str, str, tuple[int, int]]) -> None:
    """Count one event under each (what, whose, limit) of this workspace. Raises `TooMany`, and 503 when Redis cannot say."""
    for what, whose, (most, seconds) in limits:
        if not ratelimit.allow(f"widget:{sub_account.public_id.hex}:{what}:{whose}", most, seconds):
            raise TooMany


def message(sub_account: SubAccount, *, visitor: str, network: str) -> None:
    """One message from `visitor` (the hash of a token) at `network`. Raises `TooMany`."""
    admit(
        sub_account,
        ("message", f"visitor:{visitor}", MESSAGES_PER_VISITOR),
        ("message", f"network:{network}", MESSAGES_PER_NETWORK),
        ("message-hour", f"network:{network}", MESSAGES_PER_NETWORK_HOURLY),
        ("message", "all", MESSAGES_PER_WORKSPACE),
    )


def lead(sub_account: SubAccount, *, network: str) -> None:
    """One contact form from `network`. Raises `TooMany`."""
    admit(sub_account, ("lead", f"network:{network}", LEADS_PER_NETWORK), ("lead", "all", LEADS_PER_WORKSPACE))


def replies_today(sub_account: SubAccount, *, is_counted: bool = False) -> None:
    """Raises `DailyCapReached` when one more reply today is above the cap, or, with `is_counted`, when the last one was.

    Counted in PostgreSQL; asked again with `is_counted` in the transaction that spends, after the day's row was added to
    and is locked. So the cap is exact under any concurrency, and there is no way to spend without asking.
    """
    day = clock.today_in(sub_account.agency.time_zone)
    cap = settings.WIDGET_DAILY_REPLIES
    made = DailyFigures.objects.filter(sub_account=sub_account, day=day).values_list("replies", flat=True).first() or 0
    if made + (not is_counted) > cap:
        raise DailyCapReached
    if is_counted and made in {-(-cap * percent // 100) for percent in ALERTS}:
        used = 100 * made // cap
        log.warning("daily replies", sub_account=sub_account.slug, made=made, cap=cap, percent=used)
        audit.record(
            "workspace.daily_replies",
            by=system("daily cap"),
            agency=sub_account.agency,
            sub_account_id=sub_account.public_id,
            subject=f"{made:,} of {cap:,} replies of today ({used} %)",
        )
