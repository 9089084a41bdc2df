"""Background work.

The schedule only ever says "look": what is due is decided by rows in PostgreSQL, so a tick too many or too few, or two
clocks at once, change nothing. Times of day are UTC.
"""

import os
from typing import Any

import psycopg
import structlog
from celery import Celery
from celery.beat import Scheduler
from celery.schedules import crontab
from celery.signals import beat_init, setup_logging
from django.conf import settings
from kombu.exceptions import OperationalError as BrokerError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

log = structlog.get_logger("canopy.beat")

app = Celery("canopy")
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

SCHEDULE: dict[str, tuple[str, Any]] = {
    "write down that beat and a worker are alive": ("kit.tasks.tick", 20),
    "deliver the outbox": ("kit.tasks.deliver_outbox", 30),
    "forget settled outbox messages": ("kit.tasks.purge_outbox", crontab(hour="3", minute="10")),
    "forget sessions that are over": ("agency.tasks.forget_sessions", crontab(hour="3", minute="20")),
    "forget audit records past their time": ("agency.tasks.forget_audit_records", crontab(hour="3", minute="50")),
    "forget old sign-ins": ("agency.tasks.forget_sign_ins", crontab(hour="3", minute="25")),
    "forget kept answers of the API": ("agency.tasks.forget_kept_answers", crontab(hour="3", minute="15")),
    "settle offers of ownership that ran out": ("agency.tasks.settle_offers", 600),
    "expire grants and holds": ("credits.tasks.expire_due", 300),
    "let go of calls that nobody ended": ("subaccounts.tasks.lose_calls", 60),
    "fold the use of credits into totals": ("subaccounts.tasks.fold_credit_use", 60),
    "open the ledger's coming months": ("credits.tasks.open_months", crontab(hour="2", minute="50")),
    "open wallets of units that were added": ("credits.tasks.open_missing_wallets", crontab(minute="15")),
    "audit the books": ("credits.tasks.audit", crontab(hour="3", minute="30")),
    "forget tokens between hosts": ("subaccounts.tasks.forget_hops", crontab(hour="3", minute="40")),
    "end assists whose time is over": ("subaccounts.tasks.end_assists", 60),
    "purge agencies deleted long ago": ("subaccounts.tasks.purge_deleted_agencies", crontab(hour="4", minute="10")),
    "tell of low balances and limits": ("subaccounts.tasks.tell_alerts", 60),
    "look for unusual use": ("subaccounts.tasks.look_for_spikes", 600),
    "forget old webhook events": ("billing.tasks.forget_webhook_events", crontab(hour="4", minute="10")),
    "deliver webhooks": ("billing.tasks.deliver_webhooks", 5),
    "keep spare workspaces": ("subaccounts.tasks.keep_spares", 60),
}
# A look that nobody had time for is not worth having later; a nightly one is, for some hours.
app.conf.beat_schedule = {
    name: {"task": task, "schedule": when, "options": {"expires": 60 if isinstance(when, int) else 6 * 3600}}
    for name, (task, when) in SCHEDULE.items()
}


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery would install its own handlers; ours (config/logging.py) redact."""


@beat_init.connect
def look_at_once(**_: Any) -> None:
    """Not only after the first interval: /readyz waits for the first tick."""
    try:
        app.send_task("kit.tasks.tick", expires=60, retry=False)
    except (BrokerError, OSError) as error:
        log.warning("first tick not sent", cause=type(error).__name__)


class OneBeat(Scheduler):
    """Celery's scheduler behind an advisory lock in PostgreSQL: of several beats one hands out work, the others wait.

    The lock belongs to a connection, so it is free again at the moment its holder or PostgreSQL dies.
    """

    LOCK = 0x63_61_6E_6F_70_79
    WAIT_SECONDS = 5.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.guard: psycopg.Connection[Any] | None = None
        self.is_leading = False
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not self._leads():
            return self.WAIT_SECONDS
        return min(float(super().tick(*args, **kwargs)), self.WAIT_SECONDS)

    def close(self) -> None:
        if self.guard is not None:
            self.guard.close()
        super().close()

    def _leads(self) -> bool:
        try:
            if self.guard is None or self.guard.closed:
                self.guard, self.is_leading = psycopg.connect(settings.DATABASE_URL, autocommit=True, connect_timeout=5), False
            if self.is_leading:
                self.guard.execute("SELECT 1")
            else:
                row = self.guard.execute("SELECT pg_try_advisory_lock(%s)", [self.LOCK]).fetchone()
                self.is_leading = bool(row and row[0])
        except psycopg.OperationalError as error:
            log.warning("no PostgreSQL, no beat", cause=type(error).__name__)
            self.guard, self.is_leading = None, False
        return self.is_leading
