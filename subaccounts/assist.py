"""An agency person working inside a client's workspace: begun and ended on the record (decision 11)."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from agency import audit, security
from agency.access import CAPABILITIES, Can, Role
from agency.models import Membership, User
from kit import clock
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import assist_mails
from subaccounts.models import Access, Assist, AssistQuerySet, SubAccount

BATCH = 200


class MayNotEnter(Refusal):
    code = "may_not_enter"
    status = 403
    default_message = "You may not enter this workspace. Nothing was opened."


class ReasonNeeded(Refusal):
    code = "reason_needed"
    default_message = "Your agency asks for a reason before somebody enters a workspace. Go back and say why."


def may_enter(user: User, sub_account: SubAccount) -> bool:
    """Whether a member of the agency's team may enter: Owner and Admin every sub-account, a Member only granted ones.

    Nobody enters what was removed, nor anything of a deleted agency, nor without the second factor that the agency asks its team
    for. `sub_account` is as the database has it now.
    """
    membership = Membership.objects.select_related("agency").filter(user=user, agency=sub_account.agency_id).first()
    if membership is None or not user.is_active or membership.agency.deleted_at or sub_account.status != SubAccount.READY:
        return False
    if Can.ENTER_SUB_ACCOUNTS not in CAPABILITIES[Role(membership.role)]:
        return False
    if membership.agency.team_needs_mfa and not security.has_second_factor(user):
        return False
    if membership.role in (Role.OWNER, Role.ADMIN):
        return True
    return Access.objects.filter(sub_account=sub_account, user=user, role=Access.GRANTED).exists()


@transaction.atomic
def begin(*, user: User, sub_account: SubAccount, reason: str = "", address: str = "") -> Assist:
    """Half an hour in `sub_account`, counted from now and prolonged by nothing. An open one of the same person there ends.

    Raises `MayNotEnter`, and `ReasonNeeded` where the agency asks for one.
    """
    sub_account = SubAccount.objects.select_related("agency").get(pk=sub_account.pk)
    user = User.objects.select_for_update(of=("self",)).get(pk=user.pk)  # of two at once the second ends the first
    if not may_enter(user, sub_account):
        raise MayNotEnter
    if sub_account.agency.assists_need_reason and not reason:
        raise ReasonNeeded
    by = user.as_actor(on_behalf_of=sub_account.name, address=address)
    for former in _waiting(user).filter(sub_account=sub_account):
        end(assist=former, by=by, how=Assist.REPLACED)
    now = clock.now()
    made = Assist.objects.create(
        sub_account=sub_account, user=user, reason=reason, started_at=now, expires_at=now + timedelta(seconds=settings.ASSIST_SECONDS)
    )
    _record("assist.begun", made, by, {"reason": reason, "until": made.expires_at.isoformat()})
    assist_mails.tell(made, "begun")
    return made


@transaction.atomic
def end(*, assist: Assist, by: Actor, how: str = Assist.RETURNED) -> None:
    """End it now, by `by`. One whose time is over ended then, of itself; one that has ended stays as it is."""
    if assist.expires_at <= clock.now():
        ended_at, how = assist.expires_at, Assist.TIME_OVER
        by = assist.user.as_actor(on_behalf_of=assist.sub_account.name)
    else:
        ended_at = clock.now()
    name = by.label.partition(" <")[0]
    if not Assist.objects.filter(pk=assist.pk, ended_at=None).update(ended_at=ended_at, ended_as=how, ended_by=name):
        return
    assist.ended_at, assist.ended_as, assist.ended_by = ended_at, how, name
    _record("assist.stopped" if how == Assist.STOPPED else "assist.ended", assist, by, {"how": assist.end_in_words})
    assist_mails.tell(assist, "ended")


def end_all(*, user: User, by: Actor, how: str = Assist.SIGNED_OUT) -> None:
    """End every open assist of one person: they left the agency's dashboard, or the agency. With `how` LOST they may not come back."""
    for assist in _waiting(user):
        end(assist=assist, by=by, how=how)


@transaction.atomic
def choose_mails(*, sub_account: SubAccount, is_wanted: bool, by: Actor) -> None:
    """Whether the client's Subaccount Admins get a mail when an assist begins and when it ends."""
    sub_account = SubAccount.objects.select_for_update(of=("self",)).select_related("agency").get(pk=sub_account.pk)
    before = sub_account.notify_of_assists
    sub_account.notify_of_assists = is_wanted
    sub_account.save(update_fields=["notify_of_assists"])
    audit.record(
        "assist_mails.changed",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        before={"notify_of_assists": before},
        after={"notify_of_assists": is_wanted},
    )


def sweep() -> int:
    """Write down the end of those whose time is over; how many. May run late, twice and at once."""
    over = list(Assist.objects.over().select_related("sub_account__agency", "user").order_by("expires_at")[:BATCH])
    for assist in over:
        end(assist=assist, by=assist.user.as_actor(on_behalf_of=assist.sub_account.name))
    return len(over)


def known_by(public_id: UUID | None, sub_account: SubAccount) -> Assist | None:
    """The assist of this id in this workspace, whether it is open or over."""
    found = Assist.objects.select_related("sub_account__agency", "user").filter(sub_account=sub_account)
    return found.filter(public_id=public_id).first() if public_id else None


def _waiting(user: User) -> AssistQuerySet:
    return Assist.objects.filter(user=user, ended_at=None).select_related("sub_account__agency", "user").order_by("id")


def _record(action: str, assist: Assist, by: Actor, after: dict[str, str]) -> None:
    sub_account = assist.sub_account
    audit.record(
        action,
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"assist": str(assist.public_id), **after},
    )
