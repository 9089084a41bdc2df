from django.db import models
from django.db.models import F, Q

from kit import clock
from kit.ids import uuid7
from subaccounts.models.sub_account import SubAccount


class CallQuerySet(models.QuerySet["Call"]):
    def under_way(self) -> "CallQuerySet":
        return self.filter(state=Call.UNDER_WAY)


class Call(models.Model):
    """A phone call that a client pays for by the second.

    What `reserved_seconds` cost is held while it lasts, at the `rate` (smallest steps a minute) of the moment it began. When it
    ends, `seconds` is how long it took and `charged_seconds`, never more than was reserved, what `amount` smallest steps were
    used for. It may be extended to `maximum_seconds`; nobody having ended it by `expires_at`, it is lost and costs nothing.
    """

    BASIC = "basic"
    PREMIUM = "premium"
    TIERS = [(BASIC, "Basic"), (PREMIUM, "Premium")]

    UNDER_WAY = "under_way"
    ENDED = "ended"
    LOST = "lost"
    STATES = [(UNDER_WAY, "Under way"), (ENDED, "Ended"), (LOST, "Lost")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="calls", db_index=False)
    tier = models.CharField(max_length=8, choices=TIERS)
    state = models.CharField(max_length=12, choices=STATES, default=UNDER_WAY)
    contact = models.CharField(max_length=160, blank=True)
    reference = models.CharField(max_length=160, blank=True, help_text="What the caller's own system calls it.")
    is_own = models.BooleanField(default=False, help_text="Begun by the client's own program, not by its agency's.")
    expected_seconds = models.PositiveIntegerField()
    maximum_seconds = models.PositiveIntegerField()
    reserved_seconds = models.PositiveIntegerField()
    rate = models.PositiveIntegerField()
    holds = models.PositiveSmallIntegerField(default=1, help_text="How many reservations it is held by.")
    started_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    seconds = models.PositiveIntegerField(null=True)
    charged_seconds = models.PositiveIntegerField(null=True)
    amount = models.BigIntegerField(null=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(reserved_seconds__gte=F("expected_seconds"), reserved_seconds__lte=F("maximum_seconds"))
                & (Q(charged_seconds=None) | Q(charged_seconds__lte=F("reserved_seconds"))),
                name="call_within_what_is_reserved",
            ),
            models.CheckConstraint(
                condition=Q(state="under_way", ended_at=None, seconds=None, charged_seconds=None, amount=None)
                | Q(state="ended", ended_at__isnull=False, seconds__isnull=False, charged_seconds__isnull=False, amount__isnull=False)
                | Q(state="lost", ended_at__isnull=False, seconds=None, charged_seconds=None, amount=None),
                name="call_settled_once",
            ),
        ]
        indexes = [
            models.Index(fields=["sub_account", "-id"], name="call_newest"),
            models.Index(fields=["expires_at"], condition=Q(state="under_way"), name="call_under_way"),
        ]

    def __str__(self) -> str:
        return f"{self.get_tier_display()} call of {self.sub_account}"
