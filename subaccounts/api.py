"""The API about sub-accounts, and who of them a key reaches."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel, Field

from kit.api import Page, PageWish, needs, paged
from subaccounts import addresses
from subaccounts.models import SubAccount, SubAccountQuerySet, Suspension

router = Router(tags=["Sub-accounts"])


def reach(request: HttpRequest) -> SubAccountQuerySet:
    """The sub-accounts this key may know of: all of its agency, or the one it belongs to."""
    of_agency = SubAccount.objects.of(request.agency).ready().select_related("agency__plan")
    return of_agency.filter(pk=request.sub_account.pk) if request.sub_account else of_agency


def reached(request: HttpRequest, id: UUID) -> SubAccount:
    """The sub-account with this public id when the key may know of it; 404 for every other id."""
    return get_object_or_404(reach(request), public_id=id)


class Contact(BaseModel):
    first_name: str
    last_name: str
    email: str


class Pause(BaseModel):
    policy: Literal["read_only", "lockout"]
    reason: Literal["overdue_payment", "client_request", "abuse", "other"]
    note: str
    suspended_at: datetime


class SubAccountOut(BaseModel):
    """One client of an agency."""

    id: UUID
    name: str
    slug: str = Field(description="What stands in its web address.")
    url: str = Field(description="Where its workspace is.")
    is_primary: bool = Field(description="Whether it is the agency's own.")
    status: Literal["active", "suspended"]
    suspension: Pause | None
    contact: Contact
    business_name: str
    city: str
    state: str
    postal_code: str
    description: str
    created_at: datetime


class SubAccountPage(Page[SubAccountOut]):
    pass


class SubAccountWish(PageWish):
    search: str = Field("", max_length=120, description="A part of the name.")
    status: Literal["active", "suspended"] | None = None


@router.get("/sub-accounts", response=SubAccountPage)
@needs("sub_accounts:read")
def list_sub_accounts(request: HttpRequest, wish: Query[SubAccountWish]) -> SubAccountPage:
    """All sub-accounts of the agency, the newest first."""
    rows = reach(request).prefetch_related("suspensions")
    if wish.search:
        rows = rows.filter(name__icontains=wish.search)
    if wish.status:
        rows = rows.active() if wish.status == "active" else rows.suspended()
    found, next_cursor = paged(rows, wish, of="sub-accounts")
    return SubAccountPage(items=[_shown(sub_account) for sub_account in found], next_cursor=next_cursor)


@router.get("/sub-accounts/{uuid:id}", response=SubAccountOut)
@needs("sub_accounts:read")
def get_sub_account(request: HttpRequest, id: UUID) -> SubAccountOut:
    """One sub-account."""
    return _shown(reached(request, id))


def _shown(sub_account: SubAccount) -> SubAccountOut:
    suspension = next((one for one in sub_account.suspensions.all() if one.lifted_at is None), None)
    return SubAccountOut(
        id=sub_account.public_id,
        name=sub_account.name,
        slug=sub_account.slug,
        url=addresses.own_url(sub_account),
        is_primary=sub_account.is_primary,
        status="suspended" if suspension else "active",
        suspension=_pause(suspension) if suspension else None,
        contact=Contact(
            first_name=sub_account.contact_first_name, last_name=sub_account.contact_last_name, email=sub_account.contact_email
        ),
        business_name=sub_account.business_name,
        city=sub_account.city,
        state=sub_account.state,
        postal_code=sub_account.postal_code,
        description=sub_account.description,
        created_at=sub_account.created_at,
    )


def _pause(suspension: Suspension) -> Pause:
    return Pause.model_validate(
        {
            "policy": suspension.policy,
            "reason": suspension.reason,
            "note": suspension.note,
            "suspended_at": suspension.suspended_at,
        }
    )
