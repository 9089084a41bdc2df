"""Signing out, and changing a password, ends what one began elsewhere."""

from typing import Any

from allauth.account.signals import password_changed, password_reset
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from agency.models import User
from kit.ids import uuid_of
from kit.requests import client_address
from subaccounts import assist
from subaccounts.models import Assist


@receiver(user_logged_out)
def end_assists(sender: Any, request: HttpRequest | None, user: User | None, **kwargs: Any) -> None:
    """An agency person who signs out, or is signed out, on the platform's host leaves every workspace; on a workspace's host, that one."""
    if user is None or request is None or user.realm_id is not None:
        return
    by = user.as_actor(address=client_address(request))
    sub_account = request.site.sub_account
    if sub_account is None:
        assist.end_all(user=user, by=by)
        return
    # Only that of this session: a newer one of the same person goes on in another browser.
    known = assist.known_by(uuid_of(request.session.get("assist", "")), sub_account)
    if known is not None:
        assist.end(assist=known, by=by, how=Assist.SIGNED_OUT)


@receiver([password_changed, password_reset])
def end_assists_of_the_old_password(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    assist.end_all(user=user, by=user.as_actor(address=client_address(request)))
