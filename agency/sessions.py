"""Sessions that are over are forgotten, with what the list of sessions knew about them."""

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, OuterRef

from kit import clock


@transaction.atomic
def forget_expired() -> int:
    """Delete expired sessions and the listed ones that no longer exist; how many rows of both. Safe to run at any time."""
    expired = Session.objects.filter(expire_date__lte=clock.now()).delete()[0]
    gone = UserSession.objects.exclude(Exists(Session.objects.filter(session_key=OuterRef("session_key"))))
    return expired + gone.delete()[0]
