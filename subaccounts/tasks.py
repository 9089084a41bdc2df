"""Work in the background: the base of everything that happens inside a workspace, and the stock of spares."""

from typing import Any
from uuid import UUID

from celery import Task, shared_task

from subaccounts import alert_mails, alerts, assist, calls, credit_use, deletion, hop, provisioning
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter


class WorkspaceGone(Exception):
    """The task was for a sub-account that does not exist or was removed; nothing was done."""


class WorkspaceTask(Task):
    """Base of a task that works in a workspace: `@shared_task(base=WorkspaceTask)`, queued with `sub_account_id=` (its public id).

    The body is called with `sub_account` as its first argument, inside the workspace's schema. Everything is looked up inside
    the call, so whatever goes wrong there (unknown, removed, no database) raises before the body runs; a task queued without
    `sub_account_id` fails. (A switch by `task_prerun` signal is not enough: Celery swallows what a signal raises.)
    """

    abstract = True
    # The body's signature is not what callers write: they say sub_account_id, it gets sub_account.
    typing = False

    def __call__(self, *args: Any, sub_account_id: str | UUID, **kwargs: Any) -> Any:
        sub_account = SubAccount.objects.ready().select_related("agency__plan").filter(public_id=sub_account_id).first()
        if sub_account is None:
            raise WorkspaceGone(str(sub_account_id))
        with enter(sub_account):
            return super().__call__(sub_account, *args, **kwargs)


@shared_task(expires=60)
def keep_spares() -> None:
    provisioning.keep_spares()


@shared_task(expires=60)
def forget_hops() -> None:
    hop.forget()


@shared_task(expires=60)
def end_assists() -> None:
    assist.sweep()


@shared_task(expires=60)
def fold_credit_use() -> None:
    credit_use.sweep()


@shared_task(expires=60)
def lose_calls() -> None:
    calls.sweep()


@shared_task(expires=60)
def tell_alerts() -> None:
    alerts.sweep()
    alert_mails.send_due()


@shared_task(expires=300)
def look_for_spikes() -> None:
    alerts.look_for_spikes()


@shared_task(expires=6 * 3600)
def purge_deleted_agencies() -> None:
    deletion.purge_due()
