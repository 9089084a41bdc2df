"""An agency person working inside a client's workspace: begun and ended on the record (decision 11)."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction

from agency import audit
from agency.models import User
from kit import clock
from kit.actor import Actor
from subaccounts.models import Assist, SubAccount


@transaction.atomic
def begin(*, user: User, sub_account: SubAccount, address: str = "") -> Assist:
    """Half an hour in `sub_account`, counted from now and not prolonged by use. An open one of the same person there ends."""
    by = user.as_actor(on_behalf_of=sub_account.name, address=address)
    for former in Assist.objects.filter(user=user, sub_account=sub_account, ended_at=None):
        end(assist=former, by=by)
    now = clock.now()
    made = Assist.objects.create(
        sub_account=sub_account, user=user, started_at=now, expires_at=now + timedelta(seconds=settings.ASSIST_SECONDS)
    )
    _record("assist.begun", made, by)
    return made


@transaction.atomic
def end(*, assist: Assist, by: Actor) -> None:
    """End it now. Ending one that is over already does nothing."""
    now = clock.now()
    if not Assist.objects.filter(pk=assist.pk, ended_at=None, expires_at__gt=now).update(ended_at=now):
        return
    assist.ended_at = now
    _record("assist.ended", assist, by)


def end_all(*, user: User, by: Actor) -> None:
    """End every open assist of one person: they left the agency's dashboard."""
    for assist in Assist.objects.filter(user=user, ended_at=None).select_related("sub_account__agency"):
        end(assist=assist, by=by)


def _record(action: str, assist: Assist, by: Actor) -> None:
    sub_account = assist.sub_account
    audit.record(
        action,
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=sub_account.name,
        after={"until": assist.expires_at.isoformat()},
    )
