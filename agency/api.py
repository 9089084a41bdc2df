"""The API about the key itself, the agency's own people, and the audit log."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel, Field

from agency import audit_trail, deeds
from agency.audit_trail import Trail
from agency.differences import Reader
from agency.models import AuditRecord, Membership
from kit.api import Invalid, Page, PageWish, needs, opened_cursor, paged, sealed_cursor
from kit.ids import uuid_of
from workspace.views.audit import trail_of

router = Router(tags=["Keys"])
people = Router(tags=["Users"])
log = Router(tags=["Audit log"])
_CURSORS = "audit records"


class KeyOwner(BaseModel):
    id: UUID
    name: str


class Me(BaseModel):
    """The key that asks: whose it is and what it may do."""

    id: UUID
    name: str
    kind: Literal["agency", "sub_account"]
    owner: KeyOwner = Field(description="The agency, or the sub-account whose key it is.")
    scopes: list[str]
    expires_at: datetime | None


@router.get("/me", response=Me)
@needs(None, clients=True)
def me(request: HttpRequest) -> Me:
    """Whose key this is and what it may do."""
    key, owner = request.auth, request.sub_account or request.agency
    return Me(
        id=key.public_id,
        name=key.name,
        kind="sub_account" if request.sub_account else "agency",
        owner=KeyOwner(id=owner.public_id, name=owner.name),
        scopes=key.scopes,
        expires_at=key.expires_at,
    )


# --- The team -------------------------------------------------------------------------------------------------------------


class TeamUser(BaseModel):
    """A person of the agency's team."""

    id: UUID
    email: str
    name: str
    role: Literal["owner", "admin", "member"]
    since: datetime


class TeamUserPage(Page[TeamUser]):
    pass


@people.get("/users", response=TeamUserPage)
@needs("users:read")
def list_users(request: HttpRequest, wish: Query[PageWish]) -> TeamUserPage:
    """The agency's team, who came last first."""
    team = Membership.objects.filter(agency=request.agency).select_related("user")
    rows, next_cursor = paged(team, wish, of="users")
    return TeamUserPage(items=[_person(membership) for membership in rows], next_cursor=next_cursor)


@people.get("/users/{uuid:id}", response=TeamUser)
@needs("users:read")
def get_user(request: HttpRequest, id: UUID) -> TeamUser:
    """One person of the agency's team."""
    return _person(get_object_or_404(Membership.objects.select_related("user"), agency=request.agency, user__public_id=id))


def _person(membership: Membership) -> TeamUser:
    user = membership.user
    return TeamUser.model_validate(
        {"id": user.public_id, "email": user.email, "name": user.name, "role": membership.role, "since": membership.created_at}
    )


# --- The audit log --------------------------------------------------------------------------------------------------------


class Doer(BaseModel):
    kind: str = Field(description="user, api_key, system, staff or visitor.")
    id: str
    name: str


class Change(BaseModel):
    """What was different, in the words of the audit log's page."""

    field: str
    before: str
    after: str


class AuditRecordOut(BaseModel):
    """Something that was done: who, what, for whom, from where."""

    id: UUID
    at: datetime
    action: str
    kind: str
    words: str = Field(description="What was done, to follow the name of who did it.")
    by: Doer
    on_behalf_of: str = Field(description="The client whom somebody of the agency was assisting.")
    sub_account_id: UUID | None
    address: str = Field(description="The network address it was done from; empty where it is not yours to know.")
    changes: list[Change]


class AuditRecordPage(Page[AuditRecordOut]):
    """A page may be short although another one follows: `next_cursor` says so."""


class AuditWish(PageWish):
    kind: deeds.Kind | None = Field(None, description="Records of one kind.")
    sub_account_id: UUID | None = Field(None, description="Records about one sub-account.")


@log.get("/audit-records", response=AuditRecordPage)
@needs("audit:read", clients=True)
def list_audit_records(request: HttpRequest, wish: Query[AuditWish]) -> AuditRecordPage:
    """The audit log, the newest first. A sub-account's key reads what its people read of it."""
    trail = trail_of(request.sub_account) if request.sub_account else Trail(request.agency)
    asked = audit_trail.Wish(kind=wish.kind or "", client=wish.sub_account_id)
    page = audit_trail.page(trail, asked, before=_position(wish.cursor), size=wish.limit)
    reader = Reader(request.agency.time_zone, is_client=trail.is_of_client)
    next_cursor = sealed_cursor(str(page.older), of=_CURSORS) if page.older else None
    return AuditRecordPage(items=[_told(record, trail, reader) for record in page.records], next_cursor=next_cursor)


def _position(cursor: str | None) -> UUID | None:
    if not cursor:
        return None
    position = uuid_of(opened_cursor(cursor, of=_CURSORS))
    if position is None:
        raise Invalid(fields={"cursor": "is not one of this list"})
    return position


def _told(record: AuditRecord, trail: Trail, reader: Reader) -> AuditRecordOut:
    return AuditRecordOut(
        id=record.pk,
        at=record.at,
        action=record.action,
        kind=deeds.kind_of(record.action),
        words=deeds.in_words(record),
        by=Doer(kind=record.actor_kind, id=record.actor_id, name=deeds.who(record)),
        on_behalf_of=record.on_behalf_of,
        sub_account_id=record.sub_account_id,
        address=trail.address_of(record),
        changes=[Change(field=change.label, before=change.before, after=change.after) for change in reader.read(record).changes],
    )
