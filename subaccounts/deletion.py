"""Deleting an agency: stopped at once, restored exactly for thirty days, then nothing left of it but its books."""

from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from agency import audit, sessions
from agency.access import Role
from agency.models import Agency, ApiKey, Membership, Notice, NoticeMail, OwnershipOffer, SignIn, User
from kit import clock, mail
from kit.actor import Actor, system
from kit.refusal import Refusal
from subaccounts import assist, lifecycle, people, template
from subaccounts.models import Access, AccessToAll, Assist, Domain, Invitation, KeptSlug, SubAccount, Suspension

RESTORABLE_FOR = timedelta(days=30)
SLUG_KEPT_FOR = timedelta(days=90)
BATCH = 200
SWEEPER = system("Purge of deleted agencies")
log = structlog.get_logger("canopy.deletion")


class OnlyTheOwner(Refusal):
    code = "only_the_owner"
    status = 403
    default_message = "Only the Owner deletes the agency or restores it. Nothing was changed."


class NotRestorable(Refusal):
    """It is not deleted, or its thirty days are over."""

    code = "not_restorable"
    status = 409
    default_message = "There is nothing to restore. Nothing was changed."


def restorable_until(agency: Agency) -> datetime | None:
    """When the purge may begin; None for an agency that is not deleted."""
    return agency.deleted_at + RESTORABLE_FOR if agency.deleted_at else None


def reach_of(agency: Agency) -> dict[str, int]:
    """What would stop: how many clients, people besides the Owner, and keys."""
    return {
        "clients": SubAccount.objects.of(agency).clients().ready().count(),
        "people": people.of_agency(agency).count() - 1,
        "keys": ApiKey.objects.filter(agency=agency, revoked_at=None).count(),
    }


@transaction.atomic
def delete(*, agency: Agency, owner: User, by: Actor) -> None:
    """From the commit on nobody gets in but to its Owner's page to restore it, and nothing acts or spends for its clients.

    Waits for whoever is spending. Sessions of its people and open assists end; the Owner's own stay. Deleting it again does
    nothing. Raises `OnlyTheOwner`.
    """
    lifecycle.close_agency(agency)
    locked = _owned(agency, owner)
    if locked.deleted_at is not None:
        return
    locked.deleted_at = clock.now()
    locked.save(update_fields=["deleted_at"])
    for open_one in Assist.objects.filter(sub_account__agency=agency, ended_at=None).select_related("sub_account__agency", "user"):
        assist.end(assist=open_one, by=by, how=Assist.LOST)
    sessions.end_all_of(people.of_agency(agency).exclude(pk=owner.pk))
    audit.record("agency.deleted", by=by, agency=agency, subject=agency.name)
    _tell_team("deleted", locked)
    agency.refresh_from_db(fields=["deleted_at"])


@transaction.atomic
def restore(*, agency: Agency, owner: User, by: Actor) -> None:
    """Everything is as it was; only who was signed in signs in again. Raises `OnlyTheOwner` and `NotRestorable`."""
    locked = _owned(agency, owner)
    until = restorable_until(locked)
    if until is None or until <= clock.now() or locked.purged_at is not None:
        raise NotRestorable
    before = locked.deleted_at
    locked.deleted_at = None
    locked.save(update_fields=["deleted_at"])
    audit.record("agency.restored", by=by, agency=agency, subject=agency.name, before={"deleted_at": before.isoformat() if before else ""})
    _tell_team("restored", locked)
    agency.refresh_from_db(fields=["deleted_at"])


def purge_due() -> int:
    """Purge the agencies whose thirty days are over; how many. May run late, twice, and be killed anywhere."""
    due = Agency.objects.filter(deleted_at__lte=clock.now() - RESTORABLE_FOR, purged_at=None)
    agencies = list(due.order_by("deleted_at", "id"))
    for agency in agencies:
        purge(agency)
    return len(agencies)


def purge(agency: Agency) -> None:
    """Workspaces, people and addresses of a deleted agency go for good, its books stay. Every step is one transaction and
    finds what the ones before have left, so a purge that was killed goes on where it was."""
    for pk in SubAccount.objects.filter(agency=agency, purged_at=None).order_by("id").values_list("pk", flat=True):
        _purge_sub_account(pk)
    while _blank_people(agency):
        pass
    _purge_rest(agency)
    log.info("agency purged", agency=str(agency.public_id))


@transaction.atomic
def _purge_sub_account(pk: int) -> None:
    sub_account = SubAccount.objects.select_for_update(of=("self",)).get(pk=pk)
    if sub_account.purged_at is not None:
        return
    Domain.objects.filter(tenant=sub_account).delete()
    Access.objects.filter(sub_account=sub_account).delete()
    Suspension.objects.filter(sub_account=sub_account).update(suspended_by="", lifted_by="", note="")
    template.drop(sub_account.schema_name)
    _keep(sub_account.slug)
    SubAccount.objects.filter(pk=pk).update(
        status=SubAccount.REMOVED,
        purged_at=clock.now(),
        slug=f"gone-{uuid4().hex}",
        name="Former client",
        contact_first_name="",
        contact_last_name="",
        contact_email="",
        business_name="",
        city="",
        state="",
        postal_code="",
        description="",
    )


@transaction.atomic
def _blank_people(agency: Agency) -> int:
    """The next people who are nobody anywhere else; how many. Their rows stay, since the books name them by id."""
    users = list(_only_here(agency).order_by("pk")[:BATCH])
    sessions.end_all_of(User.objects.filter(pk__in=[user.pk for user in users]))
    for owned in (EmailAddress, Authenticator, SignIn):
        owned._default_manager.filter(user__in=users).delete()
    for user in users:
        user.email = f"{user.public_id}@gone.invalid"
        user.first_name = user.last_name = user.time_zone = ""
        user.is_active = False
        user.set_unusable_password()
    User.objects.bulk_update(users, ["email", "first_name", "last_name", "time_zone", "is_active", "password"])
    return len(users)


def _only_here(agency: Agency) -> QuerySet[User]:
    elsewhere = Membership.objects.filter(user=OuterRef("pk")).exclude(agency=agency)
    team = User.objects.filter(~Exists(elsewhere), memberships__agency=agency, is_staff=False)
    return User.objects.filter(pk__in=team.values("pk").union(User.objects.filter(realm=agency).values("pk"))).exclude(
        email__endswith="@gone.invalid"
    )


@transaction.atomic
def _purge_rest(agency: Agency) -> None:
    locked = Agency.objects.select_for_update(of=("self",), no_key=True).get(pk=agency.pk)
    if locked.purged_at is not None:
        return
    for owned in (Invitation, AccessToAll, OwnershipOffer, Notice, NoticeMail, ApiKey, Membership):
        owned._default_manager.filter(agency=locked).delete()
    _keep(locked.slug)
    locked.slug, locked.purged_at = f"gone-{uuid4().hex}"[:40], clock.now()
    locked.save(update_fields=["slug", "purged_at"])
    audit.record("agency.purged", by=SWEEPER, agency=locked, subject=locked.name)


def _keep(slug: str) -> None:
    """Nobody gets the address of somebody else's former workspace while links to it are still about."""
    KeptSlug.objects.update_or_create(slug=slug, defaults={"until": clock.now() + SLUG_KEPT_FOR})


def _owned(agency: Agency, owner: User) -> Agency:
    locked = Agency.objects.select_for_update(of=("self",), no_key=True).get(pk=agency.pk)
    if not Membership.objects.select_for_update().filter(agency=locked, user=owner, role=Role.OWNER).exists():
        raise OnlyTheOwner
    return locked


def _tell_team(what: str, agency: Agency) -> None:
    team = Membership.objects.filter(agency=agency, role__in=[Role.OWNER, Role.ADMIN]).select_related("user").order_by("id")
    for membership in team:
        context = {
            "person": membership.user,
            "agency": agency,
            "until": restorable_until(agency),
            "is_owner": membership.role == Role.OWNER,
            "url": f"{settings.SCHEME}://{settings.BASE_DOMAIN}/",
            "platform": settings.PLATFORM_NAME,
        }
        mail.send(to=membership.user.email, template=f"mails/agency_{what}", context=context)
