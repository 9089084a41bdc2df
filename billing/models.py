"""Outgoing webhooks: who listens, what is told, and how every delivery went (docs/decisions/0103)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from agency.models import Agency, User
from kit import clock
from kit.ids import uuid7


class Endpoint(models.Model):
    """An address that is told of events: an agency's, or (with `sub_account_id`) one sub-account's. It hears `event_types`, or every one if there are none.

    `failures` counts the tries that failed in a row since `failing_since`; nothing is tried before `resumes_at`.
    """

    GONE = "gone"
    FAILING = "failing"
    BY_HAND = "by_hand"
    CAUSES = [(GONE, "It answered that it is gone (410)"), (FAILING, "It failed for days"), (BY_HAND, "Switched off by hand")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="webhook_endpoints")
    sub_account_id = models.UUIDField(null=True, db_index=True, help_text="The public id of the sub-account whose endpoint it is.")
    url = models.CharField(max_length=600)
    description = models.CharField(max_length=120, blank=True)
    event_types = ArrayField(models.CharField(max_length=60), default=list)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    disabled_at = models.DateTimeField(null=True)
    disabled_cause = models.CharField(max_length=12, choices=CAUSES, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    resumes_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(disabled_at=None) ^ ~Q(disabled_cause=""), name="endpoint_disabled_for_a_cause")]

    def __str__(self) -> str:
        return self.url


class EndpointSecret(models.Model):
    """What an endpoint's deliveries are signed with, sealed. While a former one has not expired, both sign."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    sealed = models.TextField()
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint"], condition=Q(expires_at=None), name="endpoint_secret_one_current")]

    def __str__(self) -> str:
        return f"secret of {self.endpoint}"


class Event(models.Model):
    """Something that happened, as it is told: `body` is the exact text that is signed and sent, the same at every try."""

    public_id = models.UUIDField(unique=True)
    type = models.CharField(max_length=60)
    at = models.DateTimeField()
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="webhook_events")
    sub_account_id = models.UUIDField(null=True)
    body = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="webhook_event_time")]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"


class Delivery(models.Model):
    """One event on its way to one endpoint. `claimed_until`: a worker has it in hand, or died with it in hand."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    STATES = [(WAITING, "Waiting"), (DELIVERED, "Delivered"), (FAILED, "Failed")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=STATES, default=WAITING)
    tries = models.PositiveSmallIntegerField(default=0, help_text="Since it was last put on its way; a replay begins anew.")
    due_at = models.DateTimeField(default=clock.now)
    claimed_until = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="delivery_once"),
            models.CheckConstraint(condition=Q(state="waiting") ^ Q(settled_at__isnull=False), name="delivery_settled"),
        ]
        indexes = [
            models.Index(fields=["endpoint", "due_at", "id"], condition=Q(state="waiting"), name="delivery_waiting"),
            models.Index(fields=["endpoint"], condition=Q(claimed_until__isnull=False), name="delivery_in_hand"),
            models.Index(fields=["endpoint", "-id"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.endpoint}"


class Attempt(models.Model):
    """One try: what came back, or why nothing did. `answer` is the beginning of a success's text, `headers` what was sent with it."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(default=clock.now)
    milliseconds = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.CharField(max_length=200, blank=True)
    error = models.CharField(max_length=200, blank=True)
    headers = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.delivery}: {self.status or self.error}"
