"""The API about keys and, on the platform's host, the agency's own people."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, Field

from kit.api import needs

router = Router(tags=["Keys"])


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
