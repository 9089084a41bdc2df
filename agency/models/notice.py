from django.db import models
from django.db.models import F, Q

from agency.models.agency import Agency, Membership
from agency.models.user import User
from kit import clock
from kit.ids import uuid7

SPIKE_FACTOR = 3
SPIKE_LEAST = 50


class Category(models.TextChoices):
    """What there are alerts about. A settings page lists them in this order."""

    LOW_BALANCE = "low_balance", "Low balance"
    SPIKE = "spike", "Unusual use"
    FALLBACK_STARTED = "fallback_started", "Own credits used up"
    LIMIT_REACHED = "limit_reached", "Limit reached"
    STOPPED = "stopped", "Assistant stopped"


# What a client reads only while it may see balances, and what a member of the team reads only who may see credits.
TELLS_BALANCE = (Category.LOW_BALANCE, Category.FALLBACK_STARTED)
TELLS_CREDITS = (*TELLS_BALANCE, Category.SPIKE, Category.LIMIT_REACHED)


class NoticeMail(models.Model):
    """One mail to one side (`audience`) about one client, or (without `sub_account_id`) about the agency itself.

    While `sent_at` is empty it waits for `due_at` and takes in whatever else happens; there is one such per side and client.
    `day` is the day it was sent on, in the agency's time zone: one a day.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="notice_mails", db_index=False)
    sub_account_id = models.UUIDField(null=True)
    audience = models.CharField(max_length=12)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agency", "sub_account_id", "audience"],
                condition=Q(sent_at=None),
                nulls_distinct=False,
                name="notice_mail_one_waiting",
            ),
            models.UniqueConstraint(
                fields=["agency", "sub_account_id", "audience", "day"],
                condition=Q(day__isnull=False),
                nulls_distinct=False,
                name="notice_mail_one_a_day",
            ),
            models.CheckConstraint(
                condition=Q(sent_at=None, day=None) | Q(sent_at__isnull=False, day__isnull=False), name="notice_mail_sent"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(sent_at=None), name="notice_mail_due")]

    def __str__(self) -> str:
        return f"to the {self.audience} about {self.sub_account_id or self.agency}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def in_app(self) -> "NoticeQuerySet":
        return self.filter(in_app=True)

    def for_team(self, agency: Agency) -> "NoticeQuerySet":
        return self.filter(agency=agency, audience=Notice.AGENCY)

    def for_client(self, agency: Agency, sub_account_id: object, *, sees_balance: bool) -> "NoticeQuerySet":
        """What the people of one client may read now: one that told a balance is gone once balances are hidden."""
        found = self.filter(agency=agency, audience=Notice.CLIENT, sub_account_id=sub_account_id)
        return found if sees_balance else found.exclude(category__in=TELLS_BALANCE)


class Notice(models.Model):
    """Something one audience is told once: `key` names what happened and who is told.

    `sub_account_id` is the public id of the client it is about, empty for the agency's own pool. `link` is a path on the host
    where its audience works. `mail` is the mail that tells it, if any does.
    """

    AGENCY = "agency"
    CLIENT = "client"

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="notices", db_index=False)
    sub_account_id = models.UUIDField(null=True)
    audience = models.CharField(max_length=12, choices=[(AGENCY, "Agency"), (CLIENT, "Client")])
    category = models.CharField(max_length=24, choices=Category.choices)
    unit = models.CharField(max_length=32, blank=True)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=500)
    link = models.CharField(max_length=200)
    key = models.CharField(max_length=120, unique=True)
    at = models.DateTimeField(default=clock.now)
    in_app = models.BooleanField(default=True)
    mail = models.ForeignKey(NoticeMail, null=True, on_delete=models.SET_NULL, related_name="notices")

    objects = NoticeQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(F("agency"), F("audience"), F("at").desc(), F("id").desc(), name="notice_newest"),
            models.Index(F("sub_account_id"), F("audience"), F("at").desc(), F("id").desc(), name="notice_of_sub_account"),
        ]

    def __str__(self) -> str:
        return self.title


class NoticeRead(models.Model):
    """That one person has read one notice."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="reads", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "user"], name="notice_read_once")]

    def __str__(self) -> str:
        return f"{self.user} read {self.notice}"


class ReadUpTo(models.Model):
    """What one person has read of one inbox in one go: everything up to `at`. The inbox is the agency's, or that of one client."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="+")
    sub_account_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "agency", "sub_account_id"], nulls_distinct=False, name="read_up_to_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} up to {self.at}"


class AlertChannel(models.Model):
    """Whether one category reaches an audience by mail and in its inbox; both where there is no row.

    Without `sub_account_id` it is about the agency's team, with it about the people of that client.
    """

    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="alert_channels", db_index=False)
    sub_account_id = models.UUIDField(null=True)
    category = models.CharField(max_length=24, choices=Category.choices)
    by_mail = models.BooleanField(default=True)
    in_app = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency", "sub_account_id", "category"], nulls_distinct=False, name="alert_channel_once"),
        ]

    def __str__(self) -> str:
        return f"{self.category} for {self.sub_account_id or self.agency}"


class AlertRules(models.Model):
    """What an agency has chosen about its alerts. No recipients means its Owner and Admins.

    A client's use is unusual on a day with more than `spike_factor` times the median of the 14 days before and more than
    `spike_least` whole units.
    """

    agency = models.OneToOneField(Agency, primary_key=True, on_delete=models.CASCADE, related_name="alert_rules")
    spike_factor = models.DecimalField(max_digits=5, decimal_places=2, default=SPIKE_FACTOR)
    spike_least = models.PositiveIntegerField(default=SPIKE_LEAST)
    recipients = models.ManyToManyField(Membership, related_name="+")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(spike_factor__gt=1, spike_least__gt=0), name="alert_rules_in_range")]

    def __str__(self) -> str:
        return f"alerts of {self.agency}"
