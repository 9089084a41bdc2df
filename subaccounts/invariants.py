from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Count, Exists, F, OuterRef, Q

from agency.models import Agency, Membership
from credits.models import Wallet
from kit import clock
from kit.invariants import ROWS_SHOWN, invariant
from subaccounts import catalogue
from subaccounts.models import Access, Call, Domain, SpareWorkspace, SubAccount, WorkspaceTemplate

BATCH = 500
SETTLED_WITHIN = timedelta(minutes=30)


@invariant("a workspace is ready exactly when its schema is complete")
def workspaces_are_whole() -> Iterator[str]:
    wanted = dict(WorkspaceTemplate.objects.values_list("fingerprint", "digest"))
    for model in (SubAccount.objects.ready(), SpareWorkspace.objects.all()):
        rows = list(model.values_list("schema_name", "fingerprint"))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            found = catalogue.digests([schema for schema, _ in batch])
            for schema, fingerprint in batch:
                if schema not in found:
                    yield f"{schema} does not exist"
                elif found[schema] != wanted.get(fingerprint):
                    yield f"{schema} is not what its fingerprint {fingerprint[:12]} says"


@invariant("every sub-account has its wallets and one primary host name")
def sub_accounts_are_whole() -> Iterator[str]:
    wallets = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=OuterRef("public_id"))
    domains = Domain.objects.filter(tenant=OuterRef("pk"), is_primary=True)
    whole = SubAccount.objects.ready().annotate(has_wallets=Exists(wallets), has_domain=Exists(domains))
    for sub_account in whole.exclude(has_wallets=True, has_domain=True)[:ROWS_SHOWN]:
        yield f"{sub_account.slug}: wallets {sub_account.has_wallets}, primary host name {sub_account.has_domain}"


@invariant("every agency has one Owner and one primary sub-account")
def agencies() -> Iterator[str]:
    counted = Agency.objects.filter(purged_at=None).annotate(
        owners=Count("memberships", filter=Q(memberships__role="owner"), distinct=True),
        primaries=Count("sub_accounts", filter=Q(sub_accounts__is_primary=True), distinct=True),
    )
    for agency in counted.exclude(owners=1, primaries=1).order_by("pk")[:ROWS_SHOWN]:
        yield f"{agency.slug} has {agency.owners} owners and {agency.primaries} primary sub-accounts"


@invariant("clients enter sub-accounts of their own realm, team members those of their own agency")
def accesses_stay_at_home() -> Iterator[str]:
    of_the_team = Membership.objects.filter(user=OuterRef("user"), agency=OuterRef("sub_account__agency"))
    at_home = Q(Exists(of_the_team), role=Access.GRANTED, user__realm=None) | Q(
        ~Q(role=Access.GRANTED), user__realm=F("sub_account__agency")
    )
    for access in Access.objects.exclude(at_home).select_related("user", "sub_account").order_by("pk")[:ROWS_SHOWN]:
        yield f"{access.user.email} as {access.role} in {access.sub_account.slug}"


@invariant("a call that nobody ended in time is lost soon after")
def calls_are_settled() -> Iterator[str]:
    for call in Call.objects.under_way().filter(expires_at__lt=clock.now() - SETTLED_WITHIN).order_by("expires_at")[:ROWS_SHOWN]:
        yield f"call {call.public_id} should have been lost at {call.expires_at}"
