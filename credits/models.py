"""The rows of the ledger (README.md has its laws). Only `credits.ledger` and the functions in `sql/` write them.

Amounts are in the unit's smallest step: a credit is 1, a minute is 60 seconds. Owners, agencies and sub-accounts are
opaque public ids here: they point at wallets, never the reverse.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from kit import clock
from kit.ids import uuid7

LARGEST = 10**15
# The kinds of entries there are most of: no index of their own finds them, so that they cost no more to write.
COMMON_USES = ("ai_reply", "campaign_message")


class Unit(models.Model):
    """What is counted. `steps` smallest steps make one display unit: a credit is 1, a minute is 60 seconds.

    `steps` is fixed once there are balances: it says what every stored amount means.
    """

    code = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=40)
    plural = models.CharField(max_length=40)
    steps = models.PositiveIntegerField(default=1)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.name


class BasePrice(models.Model):
    """What the platform charges an agency for one display unit, in major units of `currency`; may be a fraction of a minor one."""

    unit = models.ForeignKey(Unit, on_delete=models.CASCADE, related_name="base_prices")
    currency = models.CharField(max_length=3)
    price = models.DecimalField(max_digits=14, decimal_places=6)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["unit", "currency"], name="base_price_once"),
            models.CheckConstraint(condition=Q(price__gt=0), name="base_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.unit_id} {self.price} {self.currency}"


class Markup(models.Model):
    """What an agency adds to the base price of a unit, in percent: for all its clients, or for one of them."""

    owner_kind = models.CharField(max_length=12)
    owner_id = models.UUIDField()
    unit = models.ForeignKey(Unit, on_delete=models.CASCADE, db_index=False)
    percent = models.DecimalField(max_digits=7, decimal_places=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner_kind", "owner_id", "unit"], name="markup_once_per_owner"),
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=10_000), name="markup_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.owner_kind} {self.owner_id} {self.unit_id} +{self.percent} %"


class Rate(models.Model):
    """How many smallest steps one use of `kind` costs (`credits.rates.KINDS`).

    The platform's own rate has the owner kind `platform` and no id. `deal` is what the platform has agreed with one agency;
    `agency` what that agency asks of its clients, `sub_account` what it asks of one of them.
    """

    PLATFORM = "platform"
    DEAL = "deal"
    AGENCY = "agency"
    SUB_ACCOUNT = "sub_account"

    owner_kind = models.CharField(max_length=12)
    owner_id = models.UUIDField(null=True, blank=True)
    kind = models.CharField(max_length=24)
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner_kind", "owner_id", "kind"], nulls_distinct=False, name="rate_once_per_owner"),
            models.CheckConstraint(condition=Q(amount__gte=0, amount__lte=1_000_000), name="rate_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class PlatformRate(Rate):
    """A rate that holds for everybody who has agreed on no other."""

    class Meta:
        proxy = True


class Deal(Rate):
    """A rate the platform has agreed with one agency."""

    class Meta:
        proxy = True


class Wallet(models.Model):
    """A balance of one unit: an agency's pool, a sub-account's own wallet, or a boundary account of the books.

    `held` is the part of `balance` that open holds reserve. `sequence` numbers the wallet's entries without a gap.
    `agency_id` is the agency on whose statement its lines stand. `next_expires_at` is never later than the first expiry
    among its open grants, so a spend knows with one look whether something has to expire first. A boundary account's
    balance is the sum of its entries; its row stays at zero, so that no spend ever waits for it.

    `low_at` is the highest of the wallet's thresholds, so that a spend above it looks no further. `on_pool_since` is when a
    client's own wallet was used up and the pool began to pay; empty while it pays itself. `has_pool_limit` says that there
    is a `PoolLimit`. `converted` is on pools only: what the agency's transfers have put into the `converted` book and not yet taken out.
    """

    AGENCY = "agency"
    SUB_ACCOUNT = "sub_account"
    BOOK = "book"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner_kind = models.CharField(max_length=12)
    owner_id = models.UUIDField()
    agency_id = models.UUIDField(null=True, blank=True)
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_index=False)
    balance = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    low_at = models.BigIntegerField(null=True, blank=True)
    next_expires_at = models.DateTimeField(null=True, blank=True)
    on_pool_since = models.DateTimeField(null=True, blank=True)
    has_pool_limit = models.BooleanField(db_default=False, default=False)
    converted = models.BigIntegerField(db_default=0, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner_kind", "owner_id", "unit"], name="wallet_once_per_owner"),
            models.CheckConstraint(
                condition=Q(balance__gte=F("held"), held__gte=0, balance__lte=LARGEST, converted__gte=0), name="wallet_never_overdrawn"
            ),
        ]
        indexes = [models.Index(fields=["agency_id", "unit"], condition=Q(owner_kind="sub_account"), name="wallet_of_agency")]
        permissions = [("adjust_wallet", "Can correct a balance")]

    def __str__(self) -> str:
        return f"{self.owner_kind} {self.owner_id} {self.unit_id}"

    @property
    def available(self) -> int:
        """What can be spent now, as of the moment the row was read."""
        return self.balance - self.held

    @property
    def is_low(self) -> bool:
        """Below its threshold, so that there is an alert (a `LowBalance`) for it."""
        return self.low_at is not None and self.balance < self.low_at


class Grant(models.Model):
    """What is left of one credit to a wallet. Lower `priority` is spent first, then sooner expiry, then older."""

    STARTER = "starter"
    PROMOTION = "promotion"
    PLAN = "plan"
    PACKAGE = "package"
    ALLOCATION = "allocation"
    TRANSFER = "transfer"
    PURCHASE = "purchase"
    ADJUSTMENT = "adjustment"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="grants", db_index=False)
    source = models.CharField(max_length=20)
    priority = models.SmallIntegerField()
    expires_at = models.DateTimeField(null=True, blank=True)
    transferable = models.BooleanField(default=True)
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField()
    held = models.BigIntegerField(default=0)
    # A column of its own because an index over `remaining` would cost every spend an index entry.
    is_open = models.GeneratedField(
        expression=Q(remaining__gt=0),  # type: ignore[arg-type]  # a condition is an expression too; the stubs do not know
        output_field=models.BooleanField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount__lte=LARGEST, remaining__lte=F("amount"), held__gte=0, remaining__gte=F("held")),
                name="grant_never_overspent",
            ),
        ]
        indexes = [
            models.Index(F("wallet"), F("priority"), F("expires_at"), F("id"), condition=Q(is_open=True), name="grant_burn_down"),
            models.Index(fields=["expires_at"], condition=Q(is_open=True), name="grant_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.remaining} of {self.amount}"


class Key(models.Model):
    """An idempotency key that has been used, in a table of its own: entries are partitioned, and a key must be refused
    over a month's boundary too. `content` is a digest of what was asked. `entry_id` is the first entry it posted;
    empty while it names an open hold, or for good where the hold was let go.
    """

    key = models.CharField(max_length=120, primary_key=True, db_collation="C")
    content = models.UUIDField()
    entry_id = models.UUIDField(null=True)
    voided_by = models.CharField(max_length=120, blank=True, default="")

    def __str__(self) -> str:
        return self.key


class Entry(models.Model):
    """One movement of `amount` from one wallet to another. Written once: update and delete are refused by a trigger.

    Its id is a UUIDv7 of its own moment, by which the table is partitioned into months; the entries of one key have ids
    that differ in the last two bytes only. Boundary accounts have neither running balance nor sequence. No foreign key:
    they cost a spend a quarter of its speed, and `credits.checks` looks. `to_grant` is set where units went from one wallet
    to another: the grant they are there.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120)
    at = models.DateTimeField()
    kind = models.CharField(max_length=24)
    unit = models.ForeignKey(Unit, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    amount = models.BigIntegerField()
    from_wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    from_balance = models.BigIntegerField(null=True)
    from_sequence = models.BigIntegerField(null=True)
    to_wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    to_balance = models.BigIntegerField(null=True)
    to_sequence = models.BigIntegerField(null=True)
    grant = models.ForeignKey(Grant, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    to_grant = models.ForeignKey(Grant, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    voids = models.UUIDField(null=True)
    agency_id = models.UUIDField(null=True)
    sub_account_id = models.UUIDField(null=True)
    contact = models.CharField(max_length=160, blank=True)
    campaign = models.CharField(max_length=160, blank=True)
    bot = models.CharField(max_length=160, blank=True)
    own_key = models.BooleanField(default=False)
    reference = models.CharField(max_length=160, blank=True)
    memo = models.CharField(max_length=200, blank=True)
    by_kind = models.CharField(max_length=12)
    by_id = models.CharField(max_length=64, blank=True)
    by_label = models.CharField(max_length=160)
    on_behalf_of = models.CharField(max_length=160, blank=True)

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__lte=LARGEST) & (Q(amount__gt=0) | Q(amount=0, own_key=True)), name="entry_amount_positive"
            ),
        ]
        indexes = [
            models.Index(fields=["agency_id", "id"], name="entry_of_agency"),
            models.Index(fields=["sub_account_id", "id"], condition=Q(sub_account_id__isnull=False), name="entry_of_sub_account"),
            models.Index(fields=["from_wallet", "from_sequence"], condition=Q(from_sequence__isnull=False), name="entry_out_of_wallet"),
            models.Index(fields=["to_wallet", "to_sequence"], condition=Q(to_sequence__isnull=False), name="entry_into_wallet"),
            models.Index(fields=["agency_id", "contact", "id"], condition=~Q(contact=""), name="entry_of_contact"),
            models.Index(fields=["agency_id", "campaign", "id"], condition=~Q(campaign=""), name="entry_of_campaign"),
            models.Index(fields=["agency_id", "kind", "id"], condition=~Q(kind__in=COMMON_USES), name="entry_of_kind"),
            models.Index(fields=["sub_account_id", "kind", "id"], condition=~Q(kind__in=COMMON_USES), name="entry_of_sub_account_kind"),
            models.Index(fields=["agency_id", "id"], condition=Q(own_key=True), name="entry_with_own_key"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class Hold(models.Model):
    """Units reserved for work in progress. Leg n reserves `amounts[n]` of grant `grants[n]` in wallet `wallets[n]`.

    `limit_id` is the own wallet of the client that a pool reserves for; a `PoolLimit` of it, now or later, counts that.
    """

    OPEN = "open"
    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=120, unique=True, db_collation="C")
    state = models.CharField(max_length=12, default=OPEN)
    amount = models.BigIntegerField()
    wallets = ArrayField(models.UUIDField())
    grants = ArrayField(models.UUIDField(null=True))
    amounts = ArrayField(models.BigIntegerField())
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    kind = models.CharField(max_length=24)
    sub_account_id = models.UUIDField(null=True)
    contact = models.CharField(max_length=160, blank=True)
    campaign = models.CharField(max_length=160, blank=True)
    bot = models.CharField(max_length=160, blank=True)
    own_key = models.BooleanField(default=False)
    reference = models.CharField(max_length=160, blank=True)
    memo = models.CharField(max_length=200, blank=True)
    by_label = models.CharField(max_length=160)
    limit_id = models.UUIDField(null=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], condition=Q(state="open"), name="hold_open_expiry")]

    def __str__(self) -> str:
        return f"{self.state} hold of {self.amount}"

    @property
    def is_open(self) -> bool:
        return self.state == self.OPEN


class PoolLimit(models.Model):
    """How much of the agency's pool one client may use in a calendar month of the agency's time zone, of one unit.

    `wallet` is the client's own wallet of that unit. `used` is what it used of the pool since `month_began_at` and what it
    reserves; the first deed at or after `month_ends_at` begins the next month. A limit that is not hard refuses nothing, it only alerts.
    """

    wallet = models.OneToOneField(Wallet, primary_key=True, on_delete=models.PROTECT, related_name="pool_limit")
    amount = models.BigIntegerField()
    is_hard = models.BooleanField(default=True)
    used = models.BigIntegerField(db_default=0, default=0)
    time_zone = models.CharField(max_length=64)
    month_began_at = models.DateTimeField(db_default=Now())
    month_ends_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gte=0, amount__lte=LARGEST, used__gte=0), name="pool_limit_in_range")]

    def __str__(self) -> str:
        return f"{self.used} of {self.amount}"

    @property
    def used_this_month(self) -> int:
        """`used`, unless that was last month and nothing happened since."""
        return self.used if clock.now() < self.month_ends_at else 0

    @property
    def left(self) -> int:
        return max(self.amount - self.used_this_month, 0)

    @property
    def is_reached(self) -> bool:
        return self.used_this_month >= self.amount


class Threshold(models.Model):
    """Below `at` somebody wants to hear of it: the agency, or the client itself."""

    AGENCY = "agency"
    CLIENT = "client"

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="thresholds", db_index=False)
    audience = models.CharField(max_length=12)
    at = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["wallet", "audience"], name="threshold_once_per_audience"),
            models.CheckConstraint(condition=Q(at__gt=0, at__lte=LARGEST), name="threshold_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.audience} below {self.at}"


class LowBalance(models.Model):
    """A wallet fell below a threshold of `audience`: one row per crossing, written by the spend itself, for others to sweep.

    `rearmed_at` is when the balance was back at the threshold or above; `noticed_at` when whoever sweeps has acted.
    """

    id = models.BigAutoField(primary_key=True)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="low_balances", db_index=False)
    audience = models.CharField(max_length=12, default=Threshold.AGENCY, db_default=Threshold.AGENCY)
    threshold = models.BigIntegerField()
    balance = models.BigIntegerField()
    at = models.DateTimeField()
    rearmed_at = models.DateTimeField(null=True)
    noticed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "low balance"
        verbose_name_plural = "low balances"
        constraints = [
            models.UniqueConstraint(fields=["wallet", "audience"], condition=Q(rearmed_at=None), name="low_balance_once_per_crossing"),
        ]
        indexes = [models.Index(fields=["at"], condition=Q(noticed_at=None), name="low_balance_unnoticed")]

    def __str__(self) -> str:
        return f"{self.wallet_id} at {self.balance}, below {self.threshold}"


class Crossing(models.Model):
    """Something a client's wallet came to, once until it is armed again: for others to sweep, like a `LowBalance`.

    `FALLBACK`: its own units are used up and the pool began to pay. `LIMIT`: its pool limit of the month is reached.
    """

    FALLBACK = "fallback_started"
    LIMIT = "limit_reached"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="crossings", db_index=False)
    amount = models.BigIntegerField(default=0)
    at = models.DateTimeField()
    rearmed_at = models.DateTimeField(null=True)
    noticed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["wallet", "kind"], condition=Q(rearmed_at=None), name="crossing_once"),
        ]
        indexes = [models.Index(fields=["at"], condition=Q(noticed_at=None), name="crossing_unnoticed")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.wallet_id}"


class AuditRun(models.Model):
    """One audit of the books, for those who read later what it found. `report` is at most its first thousand findings, in words;
    `sheet` what every account held then (`checks.sheet`).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    started_at = models.DateTimeField(default=clock.now)
    began_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    findings = models.PositiveIntegerField(default=0)
    report = models.JSONField(default=list)
    sheet = models.JSONField(default=dict)
    error = models.CharField(max_length=300, blank=True)
    by_label = models.CharField(max_length=160)

    class Meta:
        ordering = ["-started_at"]
        verbose_name = "audit of the books"
        verbose_name_plural = "audits of the books"

    def __str__(self) -> str:
        return f"audit of {self.started_at:%Y-%m-%d %H:%M}"


class Calendar(models.Model):
    """The days by which an agency's totals are counted. An agency that moves to another time zone gets another calendar, which
    its pages use once it is ready: everything is folded into it.
    """

    agency_id = models.UUIDField(db_index=True)
    time_zone = models.CharField(max_length=64)
    is_ready = models.BooleanField(db_default=False, default=False)
    made_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.agency_id} in {self.time_zone}"


class Fold(models.Model):
    """Up to which of its entries a wallet is in the totals of a calendar. Not on the wallet's row: spends are busy there."""

    pk = models.CompositePrimaryKey("calendar_id", "wallet_id")
    calendar = models.ForeignKey(Calendar, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    sequence = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.wallet_id} up to {self.sequence}"


class DayTotal(models.Model):
    """What happened in one day to the units of a client, in its own wallet or (`is_pool`) on its account in the pool.

    `direction` and `kind` are those of the view `credits_line`. `sub_account_id` is all zeros where it was about no client.
    """

    pk = models.CompositePrimaryKey("calendar_id", "sub_account_id", "unit_id", "day", "is_pool", "direction", "kind")
    calendar = models.ForeignKey(Calendar, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    sub_account_id = models.UUIDField()
    unit = models.ForeignKey(Unit, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    day = models.DateField()
    is_pool = models.BooleanField()
    direction = models.CharField(max_length=12)
    kind = models.CharField(max_length=160)
    amount = models.DecimalField(max_digits=40, decimal_places=0)
    lines = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.day} {self.direction} {self.amount}"


class AgencyDayTotal(models.Model):
    """The `DayTotal`s of all clients together, and of the pool where it was about no client."""

    pk = models.CompositePrimaryKey("calendar_id", "unit_id", "day", "is_pool", "direction", "kind")
    calendar = models.ForeignKey(Calendar, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    unit = models.ForeignKey(Unit, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    day = models.DateField()
    is_pool = models.BooleanField()
    direction = models.CharField(max_length=12)
    kind = models.CharField(max_length=160)
    amount = models.DecimalField(max_digits=40, decimal_places=0)
    lines = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.day} {self.direction} {self.amount}"


class MonthTotal(models.Model):
    """What a client used in a month, less what was given back: `through[n]` from the 1st through the n-th, always 31 of them.

    So any range of days costs one row for each month it touches, whoever ranks ten thousand clients by it.
    """

    pk = models.CompositePrimaryKey("calendar_id", "unit_id", "month", "sub_account_id")
    calendar = models.ForeignKey(Calendar, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    unit = models.ForeignKey(Unit, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    month = models.DateField()
    sub_account_id = models.UUIDField()
    through = ArrayField(models.BigIntegerField())

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.through[-1]}"
