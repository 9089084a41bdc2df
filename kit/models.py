"""Rows the house itself needs, in the public schema."""

from django.db import models

from kit import clock


class OutboxMessage(models.Model):
    """Something that must happen after a commit: a mail, a webhook, a recharge. Written with what causes it (kit/outbox.py)."""

    topic = models.CharField(max_length=60)
    key = models.CharField(max_length=160, blank=True, help_text="At most one message per topic and key; empty means any number.")
    payload = models.JSONField()
    created_at = models.DateTimeField(default=clock.now)
    due_at = models.DateTimeField(default=clock.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    delivered_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["topic", "key"], condition=~models.Q(key=""), name="outbox_once_per_key"),
            models.CheckConstraint(condition=models.Q(delivered_at=None) | models.Q(given_up_at=None), name="outbox_delivered_or_given_up"),
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=models.Q(delivered_at=None, given_up_at=None), name="outbox_due"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.key or self.pk}"


class Tick(models.Model):
    """When a clock last went by, so that a dead one is noticed. One row per clock."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.at}"
