from datetime import datetime
from typing import NoReturn

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Cast, Coalesce, Upper
from django.utils.functional import cached_property
from django_tenants.models import DomainMixin, TenantMixin

from agency.access import AGENCY_ROLES, CLIENT_ROLES, Role
from agency.models import Agency, AuditRecord, Membership, User
from credits.models import Wallet
from kit import clock
from kit.ids import uuid7
from kit.links import url_of


class SubAccountQuerySet(models.QuerySet["SubAccount"]):
    def of(self, agency: Agency) -> "SubAccountQuerySet":
        return self.filter(agency=agency)

    def clients(self) -> "SubAccountQuerySet":
        """Without the agency's own primary sub-account: what counts towards the plan's limit."""
        return self.filter(is_primary=False)

    def ready(self) -> "SubAccountQuerySet":
        return self.filter(status=SubAccount.READY)

    def open_to(self, membership: Membership) -> "SubAccountQuerySet":
        """What a member of the team may enter: Owner and Admin everything of the agency, an Agency Member what was granted."""
        of_agency = self.filter(agency=membership.agency_id).ready()
        if membership.role in (Role.OWNER, Role.ADMIN):
            return of_agency
        return of_agency.filter(pk__in=Access.objects.filter(user=membership.user_id, role=Access.GRANTED).values("sub_account"))

    def active(self) -> "SubAccountQuerySet":
        return self.exclude(pk__in=Suspension.objects.filter(lifted_at=None).values("sub_account"))

    def hiding(self) -> "SubAccountQuerySet":
        """Those whose people do not see their balances; see `SubAccount.shows_balance`."""
        by_mode = models.Q(balance_visibility=SubAccount.BY_MODE) & ~models.Q(credit_mode=SubAccount.RESELLING)
        return self.filter(models.Q(balance_visibility=SubAccount.HIDDEN) | by_mode)

    def suspended(self) -> "SubAccountQuerySet":
        return self.filter(pk__in=Suspension.objects.filter(lifted_at=None).values("sub_account"))


class SubAccount(TenantMixin):
    """One client of an agency, the commercial relation; its workspace is the schema `schema_name`."""

    READY = "ready"
    REMOVED = "removed"
    STATUSES = [(READY, "Active"), (REMOVED, "Removed")]

    MANUAL = "manual"
    RESELLING = "reselling"
    CREDIT_MODES = [(MANUAL, "Manual: uses the agency's pool"), (RESELLING, "Reselling: buys its own credits")]

    FALLBACK_ON = "on"
    FALLBACK_CAPPED = "capped"
    FALLBACK_OFF = "off"
    POOL_FALLBACKS = [
        (FALLBACK_ON, "Uses the agency's pool when its own credits are used up"),
        (FALLBACK_CAPPED, "Uses the agency's pool up to a limit a month"),
        (FALLBACK_OFF, "Stops when its own credits are used up"),
    ]

    BY_MODE = "by_mode"
    SHOWN = "shown"
    HIDDEN = "hidden"
    VISIBILITIES = [
        (BY_MODE, "As the credit mode says: hidden in manual, shown in reselling"),
        (SHOWN, "Shown"),
        (HIDDEN, "Hidden"),
    ]

    auto_create_schema = False
    auto_drop_schema = False

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.PROTECT, related_name="sub_accounts")
    name = models.CharField(max_length=120, help_text="The client's business, or the contact's name.")
    slug = models.CharField(max_length=40, unique=True)
    is_primary = models.BooleanField(default=False)
    status = models.CharField(max_length=12, choices=STATUSES, default=READY)
    contact_first_name = models.CharField(max_length=80, blank=True)
    contact_last_name = models.CharField(max_length=80, blank=True)
    contact_email = models.EmailField(max_length=254, blank=True)
    business_name = models.CharField(max_length=120, blank=True)
    city = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=80, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    description = models.TextField(max_length=1000, blank=True)
    credit_mode = models.CharField(max_length=12, choices=CREDIT_MODES, default=MANUAL)
    pool_fallback = models.CharField(max_length=8, choices=POOL_FALLBACKS, default=FALLBACK_ON)
    balance_visibility = models.CharField(max_length=8, choices=VISIBILITIES, default=BY_MODE)
    members_may_buy = models.BooleanField(default=True, db_default=True, help_text="Whether Subaccount Members buy and manage cards.")
    notify_of_assists = models.BooleanField(
        default=False, db_default=False, help_text="Its Subaccount Admins get a mail when an assist begins."
    )
    is_white_label = models.BooleanField(
        default=False, db_default=False, help_text="Whether its people see the agency's brand instead of the platform's."
    )
    unavailable_message = models.CharField(
        max_length=300, default="Sorry, we cannot answer here right now. Please try again later or contact us directly."
    )
    chatbots = models.PositiveIntegerField(
        default=0, help_text="How many chatbots its workspace has; counted here so that nobody looks into schemas."
    )
    fingerprint = models.CharField(max_length=64, help_text="The workspace migrations its schema is at.")
    created_at = models.DateTimeField(default=clock.now)
    purged_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since then its workspace is gone for good.")

    objects = SubAccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agency"], condition=models.Q(is_primary=True), name="sub_account_one_primary"),
        ]
        indexes = [
            models.Index(fields=["agency", "-id"], name="sub_account_newest"),
            models.Index(fields=["agency", "name", "id"], name="sub_account_by_name"),
            GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="sub_account_name_search"),
        ]

    def __str__(self) -> str:
        return self.name

    def __enter__(self) -> NoReturn:
        # django-tenants keeps one stack for all threads behind `with`; a thread then works in another's workspace.
        raise TypeError("use tenancy.enter(sub_account)")

    def _check_schema_name_is_unique(self) -> None:
        """Nothing to look for: names are generated in lower case and the column is unique."""

    def get_absolute_url(self) -> str:
        """Its page in the agency's dashboard."""
        return url_of("sub_account", self.public_id, urlconf=settings.ROOT_URLCONF)

    @property
    def contact_name(self) -> str:
        return f"{self.contact_first_name} {self.contact_last_name}".strip()

    @property
    def place(self) -> str:
        """Where the business is, in one line."""
        return ", ".join(part for part in (self.city, self.state, self.postal_code) if part)

    @property
    def shows_balance(self) -> bool:
        """Whether the client sees its balances (decision 6). It always sees its usage."""
        if self.balance_visibility == self.BY_MODE:
            return self.credit_mode == self.RESELLING
        return self.balance_visibility == self.SHOWN

    @property
    def visibility_in_words(self) -> str:
        """What the client sees of its units, and why."""
        seen = "Its usage and its own balances" if self.shows_balance else "Its usage, no balance"
        why = f"because it is in {self.credit_mode} mode" if self.balance_visibility == self.BY_MODE else "chosen for this client"
        return f"{seen} ({why})"

    @property
    def pays_from_pool(self) -> bool:
        return self.pool_fallback != self.FALLBACK_OFF

    def wallet(self, unit: str) -> Wallet:
        """The sub-account's own wallet of `unit`."""
        return Wallet.objects.get(owner_kind=Wallet.SUB_ACCOUNT, owner_id=self.public_id, unit_id=unit)

    def credit_sources(self, unit: str) -> list[Wallet]:
        """Who pays for a use, in order: its own wallet, then the agency's pool where the policy allows (decision 4)."""
        sources = [self.wallet(unit)]
        if self.pays_from_pool:
            sources.append(self.agency.pool(unit))
        return sources

    @cached_property
    def suspension(self) -> "Suspension | None":
        """The suspension in force, or None."""
        return self.suspensions.filter(lifted_at=None).first()


class Domain(DomainMixin):
    """A host name a workspace answers on, lower case and without a port. The primary one is what links are built from."""

    domain = models.CharField(max_length=253, unique=True)


class KeptSlug(models.Model):
    """The web address of a workspace or agency that is gone: nobody else gets it until then."""

    slug = models.CharField(max_length=40, unique=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.slug


class Suspension(models.Model):
    """A sub-account on pause (decision 1). In force while `lifted_at` is empty; at most one at a time."""

    READ_ONLY = "read_only"
    LOCKOUT = "lockout"
    POLICIES = [
        (READ_ONLY, "Read only: the client signs in and sees its history"),
        (LOCKOUT, "Lockout: the client sees a page with your note"),
    ]
    REASONS = [
        ("overdue_payment", "Overdue payment"),
        ("client_request", "The client asked for it"),
        ("abuse", "Abuse"),
        ("other", "Other"),
    ]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="suspensions")
    policy = models.CharField(max_length=12, choices=POLICIES, default=READ_ONLY)
    reason = models.CharField(max_length=20, choices=REASONS, default="other")
    note = models.CharField(max_length=150, blank=True)
    suspended_at = models.DateTimeField(default=clock.now)
    suspended_by = models.CharField(max_length=160)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=160, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sub_account"], condition=models.Q(lifted_at=None), name="suspension_one_in_force"),
        ]

    def __str__(self) -> str:
        return f"{self.sub_account} suspended: {self.get_reason_display()}"

    @property
    def who(self) -> str:
        """The name of whoever suspended it, without their address."""
        return self.suspended_by.partition(" <")[0]

    @property
    def is_lockout(self) -> bool:
        return self.policy == self.LOCKOUT


class Access(models.Model):
    """A person's way into one sub-account: a client's role there, or (role `member`) a grant to an Agency Member."""

    GRANTED = "member"

    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="accesses")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="accesses")
    role = models.CharField(
        max_length=20, choices=[*[(role.value, role.label) for role in CLIENT_ROLES], (GRANTED, "Agency Member, granted")]
    )
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sub_account", "user"], name="access_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.sub_account}"


class AccessToAll(models.Model):
    """A person's way into every sub-account of an agency, those to come included; each has an `Access` row as well."""

    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="accesses_to_all")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="accesses_to_all")
    role = models.CharField(max_length=20, choices=Access._meta.get_field("role").choices)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agency", "user"], name="access_to_all_once")]

    def __str__(self) -> str:
        return f"{self.user} in all of {self.agency}"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def unsettled(self) -> "InvitationQuerySet":
        """Neither accepted nor revoked; some of them may have expired."""
        return self.filter(accepted_at=None, revoked_at=None)

    def open(self) -> "InvitationQuerySet":
        return self.unsettled().filter(expires_at__gt=clock.now())

    def opening(self) -> "InvitationQuerySet":
        """Those that open a sub-account."""
        return self.filter(opens__isnull=False)


class Invitation(models.Model):
    """A link that lets one address in with one role, once, for seven days. Only a hash of its token is stored.

    A client's role comes with `sub_accounts` or (`covers_all`) all of them, or with `opens`: what the new sub-account will be
    (arguments of `opening.open_sub_account`), which counts towards the plan's limit while the invitation is open. `invited_in` is
    the sub-account whose own people invited; `former_hashes` are of links that a newer one replaced.
    """

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    agency = models.ForeignKey(Agency, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role if role != Role.OWNER])
    covers_all = models.BooleanField(default=False)
    sub_accounts = models.ManyToManyField(SubAccount, related_name="invitations")
    opens = models.JSONField(null=True)
    invited_in = models.ForeignKey(SubAccount, null=True, on_delete=models.CASCADE, related_name="+")
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    token_hash = models.CharField(max_length=64, unique=True)
    former_hashes = ArrayField(models.CharField(max_length=64), default=list, db_default=[])
    sent_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True, help_text="For one that expired, the moment it did, once that is written down.")

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            # Among those of one sub-account's people, and among the agency's own: neither learns of the other's.
            models.UniqueConstraint(
                fields=["agency", "email", "invited_in"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                nulls_distinct=False,
                name="invitation_one_unsettled",
            ),
            models.CheckConstraint(condition=~models.Q(role=Role.OWNER), name="invitation_never_owner"),
        ]
        indexes = [
            models.Index(fields=["agency", "-id"], name="invitation_newest"),
            GinIndex(fields=["former_hashes"], name="invitation_former_links"),
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.agency}"

    @property
    def is_open(self) -> bool:
        return self.accepted_at is None and self.revoked_at is None and clock.now() < self.expires_at

    @property
    def has_expired(self) -> bool:
        """Whether its seven days were over before anybody accepted or revoked it."""
        return self.accepted_at is None and (self.revoked_at or clock.now()) >= self.expires_at

    @property
    def is_for_team(self) -> bool:
        """Whether it leads into the agency's team, not into a client's workspace."""
        return self.role in AGENCY_ROLES

    @property
    def realm(self) -> Agency | None:
        """Where the person is known by their address: the platform's realm for the team, the agency's for its clients."""
        return None if self.is_for_team else self.agency

    @property
    def reach(self) -> str:
        """What it leads to, in words. Asks for `sub_accounts`, which lists fetch beforehand."""
        if self.opens is not None:
            return f"New sub-account {self.opens['business_name']}"
        if self.covers_all:
            return "All sub-accounts"
        names = [sub_account.name for sub_account in self.sub_accounts.all()]
        if names:
            return ", ".join(names)
        return "No sub-accounts" if self.role == Role.MEMBER else "The agency"


class DailyFigures(models.Model):
    """What one sub-account did on one day (the day in its agency's time zone). Deeds add to it in their own transaction."""

    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="daily_figures")
    day = models.DateField()
    conversations = models.PositiveIntegerField(default=0)
    messages = models.PositiveIntegerField(default=0)
    replies = models.PositiveIntegerField(default=0)
    leads = models.PositiveIntegerField(default=0)
    contacts = models.PositiveIntegerField(default=0)
    campaign_sends = models.PositiveIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    seconds = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sub_account", "day"], name="daily_figures_once")]

    def __str__(self) -> str:
        return f"{self.sub_account} on {self.day}"


class MonthlyFigures(models.Model):
    """The `DailyFigures` of a month that pages sum over all sub-accounts, kept by a trigger: ten thousand rows instead of three hundred thousand."""

    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="monthly_figures")
    month = models.DateField()
    conversations = models.BigIntegerField(default=0)
    messages = models.BigIntegerField(default=0)
    leads = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sub_account", "month"], name="monthly_figures_once")]

    def __str__(self) -> str:
        return f"{self.sub_account} in {self.month:%Y-%m}"


class SpareWorkspace(models.Model):
    """An empty schema, ready to be taken by the next sub-account. Never used when its fingerprint is not today's."""

    schema_name = models.CharField(max_length=63, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return self.schema_name


class WorkspaceTemplate(models.Model):
    """The DDL of an empty workspace at one fingerprint: single statements with a token for the schema's name."""

    fingerprint = models.CharField(max_length=64, primary_key=True)
    statements = models.JSONField()
    digest = models.CharField(max_length=64, help_text="Hash of the catalogue the statements must produce.")
    created_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return self.fingerprint[:12]


class Hop(models.Model):
    """A single-use ticket from one of our hosts to another (60 s), bound to person, host, purpose and browser. Stored hashed."""

    SWITCH = "switch"
    RETURN = "return"
    JOIN = "join"

    token_hash = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    host = models.CharField(max_length=253)
    purpose = models.CharField(max_length=12, choices=[(SWITCH, SWITCH), (RETURN, RETURN), (JOIN, JOIN)])
    nonce_hash = models.CharField(max_length=64)
    reason = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Why the person enters, for the assist that begins."
    )
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.purpose} to {self.host}"


class AssistQuerySet(models.QuerySet["Assist"]):
    def of(self, agency: Agency) -> "AssistQuerySet":
        return self.filter(sub_account__agency=agency)

    def open(self) -> "AssistQuerySet":
        return self.filter(ended_at=None, expires_at__gt=clock.now())

    def over(self) -> "AssistQuerySet":
        """Whose time is over and whose end nobody has written down yet."""
        return self.filter(ended_at=None, expires_at__lte=clock.now())

    def with_changes(self) -> "AssistQuerySet":
        """Each with `changes`: how many records its person made on the client's behalf meanwhile."""
        mine = AuditRecord.objects.filter(
            sub_account_id=OuterRef("sub_account__public_id"),
            actor_id=Cast(OuterRef("user__public_id"), models.CharField()),
            at__gte=OuterRef("started_at"),
            at__lte=Coalesce(OuterRef("ended_at"), OuterRef("expires_at")),
        )
        counted = changes_among(mine).order_by().values("sub_account_id").annotate(number=Count("pk")).values("number")
        return self.annotate(changes=Coalesce(Subquery(counted, output_field=models.IntegerField()), 0))


class Assist(models.Model):
    """An agency user working inside a client's workspace, visibly, for a short time, on the record."""

    RETURNED = "returned"
    REPLACED = "replaced"
    SIGNED_OUT = "signed_out"
    STOPPED = "stopped"
    LOST = "lost"
    TIME_OVER = "time_over"
    ENDS = [
        (RETURNED, "Returned"),
        (REPLACED, "Began a new one"),
        (SIGNED_OUT, "Signed out"),
        (STOPPED, "Ended by"),
        (LOST, "Lost the right to enter"),
        (TIME_OVER, "Time was over"),
    ]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    sub_account = models.ForeignKey(SubAccount, on_delete=models.CASCADE, related_name="assists")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="assists")
    reason = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_as = models.CharField(max_length=12, choices=ENDS, blank=True, default="", db_default="")
    ended_by = models.CharField(max_length=160, blank=True, default="", db_default="", help_text="The name of whoever ended it.")

    objects = AssistQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], condition=models.Q(ended_at=None), name="assist_not_ended"),
            models.Index(fields=["-started_at", "-id"], name="assist_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.sub_account}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None and clock.now() < self.expires_at

    @property
    def left_at(self) -> datetime:
        """When it ended, or will at the latest."""
        return self.ended_at or self.expires_at

    @property
    def end_in_words(self) -> str:
        """How it ended; one that nobody ended ran out."""
        if self.ended_as == self.STOPPED:
            return f"{self.get_ended_as_display()} {self.ended_by}"
        return self.get_ended_as_display() or ("Ended" if self.ended_at else "Time was over")

    @property
    def records(self) -> "models.QuerySet[AuditRecord]":
        """What its person did on the client's behalf meanwhile, the newest first."""
        mine = AuditRecord.objects.filter(
            sub_account_id=self.sub_account.public_id, actor_id=str(self.user.public_id), at__gte=self.started_at, at__lte=self.left_at
        )
        return changes_among(mine).order_by("-at", "-id")


def changes_among(records: "models.QuerySet[AuditRecord]") -> "models.QuerySet[AuditRecord]":
    """Those that were made on somebody's behalf, the comings and goings left out."""
    return records.exclude(on_behalf_of="").exclude(action__startswith="assist.")
