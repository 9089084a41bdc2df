"""The API about the key itself and the agency's own people."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel, Field

from agency.models import Membership
from kit.api import Page, PageWish, needs, paged

router = Router(tags=["Keys"])
people = Router(tags=["Users"])


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
