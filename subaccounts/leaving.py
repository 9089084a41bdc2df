"""Signing out ends what one began elsewhere."""

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from agency.models import User
from kit.requests import client_address
from subaccounts import assist


@receiver(user_logged_out)
def end_assists(sender: Any, request: HttpRequest | None, user: User | None, **kwargs: Any) -> None:
    """An agency person who signs out, or is signed out, on the platform's host leaves every workspace; on a workspace's host, that one."""
    if user is None or request is None or user.realm_id is not None:
        return
    by = user.as_actor(address=client_address(request))
    if request.site.sub_account is None:
        assist.end_all(user=user, by=by)
        return
    for open_one in user.assists.filter(sub_account=request.site.sub_account, ended_at=None).select_related("sub_account__agency"):
        assist.end(assist=open_one, by=by)
