from django.contrib.postgres.fields import ArrayField
from django.db import models

from agency.models.agency import Agency
from agency.models.user import User
from kit import clock
from kit.ids import uuid7


class ApiKey(models.Model):
    """A program's way in: an agency's key, or (with `sub_account_id`) the key of one sub-account. Only a hash is stored.

    `prefix` is what people recognise it by and what it is looked up with; `scopes` what it may do; without `allowed_networks`
    (addresses or CIDR networks) it works from anywhere.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="api_keys")
    sub_account_id = models.UUIDField(null=True, blank=True, db_index=True, help_text="The public id of the sub-account whose key it is.")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=24, unique=True)
    secret_hash = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    allowed_networks = ArrayField(models.CharField(max_length=49), default=list, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class KeptAnswer(models.Model):
    """What a request with an `Idempotency-Key` was answered, for 24 hours: the same request again gets the same answer.

    While the first is still being worked on, `status` is empty.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="kept_answers", db_index=False)
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64, help_text="Of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    at = models.DateTimeField(default=clock.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["api_key", "key"], name="kept_answer_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.api_key}"
