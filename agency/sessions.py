"""The end of sessions: of one person's at once, and of those that are over."""

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, F, OuterRef

from agency.models import User
from kit import clock


@transaction.atomic
def forget_expired() -> int:
    """Delete expired sessions and the listed ones that no longer exist; how many rows of both. Safe to run at any time."""
    expired = Session.objects.filter(expire_date__lte=clock.now()).delete()[0]
    gone = UserSession.objects.exclude(Exists(Session.objects.filter(session_key=OuterRef("session_key"))))
    return expired + gone.delete()[0]


@transaction.atomic
def end_all(user: User) -> None:
    """End every session of `user` from the next request on, on every host, also one that no list knows of.

    A session carries a mark of the person; changing that ends all of them, whoever has the cookie. `user` may be used on.
    """
    User.objects.filter(pk=user.pk).update(sessions_ended=F("sessions_ended") + 1)
    user.refresh_from_db(fields=["sessions_ended"])
    listed = UserSession.objects.filter(user=user)
    Session.objects.filter(session_key__in=listed.values("session_key")).delete()
    listed.delete()
