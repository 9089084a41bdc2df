from django.db import models

from kit.ids import uuid7


class Unit(models.Model):
    """What is counted. `steps` smallest steps make one display unit: a credit is 1, a minute is 60 seconds."""

    code = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=40)
    plural = models.CharField(max_length=40)
    steps = models.PositiveIntegerField(default=1)
    position = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Wallet(models.Model):
    """A balance of one unit, in smallest steps: an agency's pool, a sub-account's own, or a boundary account of the books."""

    AGENCY = "agency"
    SUB_ACCOUNT = "sub_account"
    BOOK = "book"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner_kind = models.CharField(max_length=12)
    owner_id = models.UUIDField()
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_index=False)
    balance = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    low_at = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner_kind", "owner_id", "unit"], name="wallet_once_per_owner")]

    def __str__(self) -> str:
        return f"{self.owner_kind} {self.owner_id} {self.unit_id}"
