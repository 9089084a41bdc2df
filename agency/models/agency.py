from django.db import models
from django.db.models import Q

from agency.access import AGENCY_ROLES
from agency.models.plan import Plan
from credits.models import Wallet
from kit import clock
from kit.ids import uuid7

# No agency keeps its audit log for less; the database has the number in its function as well.
LEAST_KEPT_DAYS = 365


class Agency(models.Model):
    """A paying customer of the platform; parent of sub-accounts."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(max_length=80)
    slug = models.CharField(max_length=40, unique=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    currency = models.CharField(max_length=3, default="USD")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="agencies")
    max_sub_accounts_override = models.PositiveIntegerField(null=True, blank=True)
    max_chatbots_override = models.PositiveIntegerField(null=True, blank=True)
    trial_ends_at = models.DateTimeField(null=True, blank=True)
    assists_need_reason = models.BooleanField(default=False, db_default=False, help_text="Whoever enters a client's workspace says why.")
    team_needs_mfa = models.BooleanField(default=False, db_default=False)
    clients_need_mfa = models.BooleanField(default=False, db_default=False)
    audit_kept_days = models.PositiveIntegerField(null=True, blank=True, help_text="Empty keeps the audit log for ever.")
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="Since then nobody gets in; its Owner can restore it for 30 days.")
    purged_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then only its books are left.")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(audit_kept_days=None) | Q(audit_kept_days__gte=LEAST_KEPT_DAYS), name="agency_keeps_audit")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def max_sub_accounts(self) -> int | None:
        """How many sub-accounts besides the primary; None is no limit."""
        return self.plan.max_sub_accounts if self.max_sub_accounts_override is None else self.max_sub_accounts_override

    @property
    def max_chatbots(self) -> int | None:
        """How many chatbots over all sub-accounts; None is no limit."""
        return self.plan.max_chatbots if self.max_chatbots_override is None else self.max_chatbots_override

    @property
    def trial_days_left(self) -> int | None:
        """Whole days, rounded up; 0 when the trial is over; None without a trial."""
        if self.trial_ends_at is None:
            return None
        seconds = (self.trial_ends_at - clock.now()).total_seconds()
        return max(0, -int(-seconds // 86400))

    def pool(self, unit: str) -> Wallet:
        """The agency's shared wallet of `unit` (a unit code such as "credit")."""
        return Wallet.objects.get(owner_kind=Wallet.AGENCY, owner_id=self.public_id, unit_id=unit)


class Membership(models.Model):
    """A person's place in an agency's team. Exactly one Owner at every instant: the database sees to it."""

    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey("agency.User", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in AGENCY_ROLES])
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency", "user"], name="membership_once_per_agency"),
            models.UniqueConstraint(fields=["agency"], condition=Q(role="owner"), name="membership_one_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"


class OwnershipOffer(models.Model):
    """The Owner offers the agency to a colleague, who takes it over or declines. At most one is open."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="ownership_offers")
    offered_by = models.ForeignKey("agency.User", on_delete=models.CASCADE, related_name="+")
    offered_to = models.ForeignKey("agency.User", on_delete=models.CASCADE, related_name="+")
    offered_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, help_text="When it was taken, declined or withdrawn.")
    was_taken = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency"], condition=Q(settled_at=None), name="ownership_offer_one_open"),
            models.CheckConstraint(condition=Q(was_taken=False) | Q(settled_at__isnull=False), name="ownership_offer_taken_is_settled"),
        ]

    def __str__(self) -> str:
        return f"{self.agency} to {self.offered_to}"


class AuditRecord(models.Model):
    """Who did what, on whose behalf, from where. Append-only: triggers refuse every change but forgetting what is past its time."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=clock.now)
    agency = models.ForeignKey(Agency, null=True, on_delete=models.DO_NOTHING, related_name="audit_records")
    sub_account_id = models.UUIDField(null=True, help_text="The public id of the sub-account it concerns.")
    action = models.CharField(max_length=60, help_text="noun.verb, for instance sub_account.opened")
    actor_kind = models.CharField(max_length=12)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=160)
    on_behalf_of = models.CharField(max_length=160, blank=True)
    address = models.CharField(max_length=64, blank=True)
    subject = models.CharField(max_length=200, blank=True, help_text="What it was done to, in words.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        # Ids begin with their moment: each of these is read backwards for the newest of a log, of a client, of a person and so on.
        indexes = [
            models.Index(fields=["agency", "id"], name="audit_newest"),
            models.Index(fields=["agency", "sub_account_id", "id"], name="audit_of_client"),
            models.Index(fields=["agency", "actor_id", "id"], name="audit_of_person"),
            models.Index(fields=["agency", "address", "id"], condition=~Q(address=""), name="audit_from_address"),
            models.Index(fields=["agency", "id"], condition=~Q(on_behalf_of=""), name="audit_on_behalf"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_label}"
