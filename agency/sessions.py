"""The sessions of a person: which are open and where, and their end, one by one or all at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac

from agency.models import User
from kit import clock, user_agents

STAMP = "stamp"
"""Under this name a session carries where it is good, for whom and how long (`subaccounts.middleware.SessionStampMiddleware`)."""


@dataclass(frozen=True)
class OpenSession:
    """A session that would let its browser in now. `device` is its User-Agent, `assist` the public id of one that goes on in it.

    `mark` names it in an address: nobody can guess another's, and it is worth nothing to anybody else.
    """

    pk: int
    mark: str
    host: str
    device: str
    address: str
    began_at: datetime
    seen_at: datetime
    assist: str
    is_current: bool

    @property
    def icon(self) -> str:
        return user_agents.icon_of(self.device)


def open_of(user: User, *, current_key: str) -> list[OpenSession]:
    """Every open session of `user`, the current one first, then those seen last."""
    listed = {row.session_key: row for row in UserSession.objects.filter(user=user)}
    stored = Session.objects.filter(session_key__in=listed, expire_date__gt=clock.now())
    found = [(listed[session.session_key], session.get_decoded()) for session in stored]
    lines = [_line(row, data, current_key) for row, data in found if _opens(user, data)]
    return sorted(lines, key=lambda line: (not line.is_current, -line.seen_at.timestamp()))


def end(session: OpenSession) -> None:
    """End one from its next request on. Ending one that is over does nothing."""
    for row in UserSession.objects.filter(pk=session.pk):
        row.end()


def is_over(stamp: dict[str, Any]) -> bool:
    """Whether a session with this stamp was idle for too long, or has lasted as long as any may."""
    now = clock.now().timestamp()
    return bool(now - stamp["began"] >= stamp["lasts"] or now - stamp["seen"] >= stamp.get("idle", settings.SESSION_IDLE_SECONDS))


def _opens(user: User, data: dict[str, Any]) -> bool:
    is_theirs = constant_time_compare(data.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
    return is_theirs and not (STAMP in data and is_over(data[STAMP]))


def _line(row: UserSession, data: dict[str, Any], current_key: str) -> OpenSession:
    return OpenSession(
        pk=row.pk,
        mark=salted_hmac("session", row.session_key).hexdigest()[:24],
        host=data.get(STAMP, {}).get("host", ""),
        device=row.user_agent,
        address=row.ip,
        began_at=row.created_at,
        seen_at=row.last_seen_at,
        assist=data.get("assist") or "",
        is_current=row.session_key == current_key,
    )


@transaction.atomic
def forget_expired() -> int:
    """Delete expired sessions and the listed ones that no longer exist; how many rows of both. Safe to run at any time."""
    expired = Session.objects.filter(expire_date__lte=clock.now()).delete()[0]
    gone = UserSession.objects.exclude(Exists(Session.objects.filter(session_key=OuterRef("session_key"))))
    return expired + gone.delete()[0]


def end_all(user: User) -> None:
    """End every session of `user` from the next request on, on every host, also one that no list knows of.

    A session carries a mark of the person; changing that ends all of them, whoever has the cookie. `user` may be used on.
    """
    end_all_of(User.objects.filter(pk=user.pk))
    user.refresh_from_db(fields=["sessions_ended"])


@transaction.atomic
def end_all_of(users: QuerySet[User]) -> None:
    """As `end_all`, for many people at once."""
    wanted = list(users.order_by().values_list("pk", flat=True))
    User.objects.filter(pk__in=wanted).update(sessions_ended=F("sessions_ended") + 1)
    listed = UserSession.objects.filter(user__in=wanted)
    Session.objects.filter(session_key__in=listed.values("session_key")).delete()
    listed.delete()
