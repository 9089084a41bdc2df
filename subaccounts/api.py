"""The API about sub-accounts, and who of them a key reaches."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from ninja.responses import Status
from pydantic import AfterValidator, BaseModel, Field

from agency.access import CLIENT_ROLES
from kit.api import Changes, Email, Flag, Given, Invalid, Line, Page, PageWish, needs, paged
from subaccounts import addresses, editing, lifecycle, opening
from subaccounts.forms import plain
from subaccounts.models import Access, SubAccount, SubAccountQuerySet, Suspension

router = Router(tags=["Sub-accounts"])
people = Router(tags=["Users"])


def _plain(name: str) -> str:
    try:
        plain(name)
    except ValidationError as error:
        raise ValueError("cannot contain a web address") from error
    if name and not name.strip():
        raise ValueError("is blank")
    return name.strip()


Name = Annotated[Line, AfterValidator(_plain)]
Policy = Literal["read_only", "lockout"]
Reason = Literal["overdue_payment", "client_request", "abuse", "other"]


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
    policy: Policy
    reason: Reason
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


class SubAccountWanted(Given):
    """A client to open. Without `has_login` nobody of the client can sign in; with it `email` is needed."""

    business_name: Name = Field("", max_length=120, description="What everybody sees; the contact's name when it is left out.")
    slug: Line = Field("", max_length=40, description="What stands in the web address; made of the name when it is left out. It stays.")
    first_name: Name = Field(min_length=1, max_length=80)
    last_name: Name = Field(min_length=1, max_length=80)
    email: Email | None = None
    has_login: Flag = Field(True, description="Whether the client gets a login; its first password goes to `email` and nowhere else.")
    city: Line = Field("", max_length=80)
    state: Line = Field("", max_length=80)
    postal_code: Line = Field("", max_length=20)
    description: str = Field("", max_length=1000)


class SubAccountChanges(Changes):
    """What is to be different; whatever is left out stays. A contact's e-mail changes nobody's login."""

    name: Name = Field("", min_length=1, max_length=120)
    business_name: Name = Field("", max_length=120)
    contact_first_name: Name = Field("", max_length=80)
    contact_last_name: Name = Field("", max_length=80)
    contact_email: Email | Literal[""] = ""
    city: Line = Field("", max_length=80)
    state: Line = Field("", max_length=80)
    postal_code: Line = Field("", max_length=20)
    description: str = Field("", max_length=1000)
    balance_visibility: Literal["by_mode", "shown", "hidden"] = Field("by_mode", description="What the client sees of its balances.")


class SuspensionWanted(Given):
    policy: Policy = Field("read_only", description="Whether the client may still sign in and look.")
    reason: Reason = "other"
    note: str = Field("", max_length=150, description="The client reads it.")


@router.post("/sub-accounts", response={201: SubAccountOut})
@needs("sub_accounts:write")
def open_sub_account(request: HttpRequest, given: SubAccountWanted) -> Status[SubAccountOut]:
    """Open a sub-account: its workspace, wallets, starter credits and the client's login."""
    if given.has_login and not given.email:
        raise Invalid(fields={"email": "is needed for a login: give one, or has_login false"})
    slug = given.slug or addresses.suggest_slug(given.business_name or f"{given.first_name} {given.last_name}")
    if not slug:
        raise Invalid(fields={"slug": "is needed: no web address can be made of this name"})
    wanted = given.model_dump() | {"slug": slug, "email": given.email or ""}
    opened = opening.open_sub_account(agency=request.agency, by=request.actor, **wanted)
    return Status(201, _shown(opened.sub_account))


@router.patch("/sub-accounts/{uuid:id}", response=SubAccountOut)
@needs("sub_accounts:write")
def change_sub_account(request: HttpRequest, id: UUID, given: SubAccountChanges) -> SubAccountOut:
    """Change what the agency knows about a client and what the client sees of its balances."""
    return _shown(editing.edit(sub_account=reached(request, id), by=request.actor, **given.model_dump(exclude_unset=True)))


@router.post("/sub-accounts/{uuid:id}/suspend", response=SubAccountOut)
@needs("sub_accounts:write")
def suspend_sub_account(request: HttpRequest, id: UUID, given: SuspensionWanted) -> SubAccountOut:
    """Pause a sub-account at once: nothing answers and nothing is spent for it. All its data is kept."""
    sub_account = reached(request, id)
    lifecycle.suspend(sub_account=sub_account, by=request.actor, **given.model_dump())
    return _shown(sub_account)


@router.post("/sub-accounts/{uuid:id}/restore", response=SubAccountOut)
@needs("sub_accounts:write")
def restore_sub_account(request: HttpRequest, id: UUID) -> SubAccountOut:
    """Lift the suspension in force, at once."""
    sub_account = reached(request, id)
    lifecycle.restore(sub_account=sub_account, by=request.actor)
    return _shown(sub_account)


class OwnAccount(BaseModel):
    """The sub-account a key belongs to, as its own people see it."""

    id: UUID
    name: str
    url: str = Field(description="Where its workspace is.")
    created_at: datetime


@router.get("/sub-account", response=OwnAccount)
@needs("sub_accounts:read", clients=True)
def get_own_sub_account(request: HttpRequest) -> OwnAccount:
    """The sub-account whose key this is. An agency's key has none and gets 404."""
    own = request.sub_account or get_object_or_404(SubAccount.objects.none())
    return OwnAccount(id=own.public_id, name=own.name, url=addresses.primary_url(own, "/"), created_at=own.created_at)


# --- People of a client ---------------------------------------------------------------------------------------------------


class ClientUser(BaseModel):
    """A person of a client and what they are there."""

    id: UUID
    email: str
    name: str
    role: Literal["sub_account_admin", "sub_account_member"]
    since: datetime


class ClientUserPage(Page[ClientUser]):
    pass


@people.get("/sub-accounts/{uuid:id}/users", response=ClientUserPage)
@needs("users:read", clients=True)
def list_client_users(request: HttpRequest, id: UUID, wish: Query[PageWish]) -> ClientUserPage:
    """The people of a client, the newest first. The agency's own people are not among them."""
    rows, next_cursor = paged(_people_of(request, id), wish, of=f"users of {id}")
    return ClientUserPage(items=[_person(access) for access in rows], next_cursor=next_cursor)


@people.get("/sub-accounts/{uuid:id}/users/{uuid:user_id}", response=ClientUser)
@needs("users:read", clients=True)
def get_client_user(request: HttpRequest, id: UUID, user_id: UUID) -> ClientUser:
    """One person of a client."""
    return _person(get_object_or_404(_people_of(request, id), user__public_id=user_id))


def _people_of(request: HttpRequest, id: UUID) -> QuerySet[Access]:
    return Access.objects.filter(sub_account=reached(request, id), role__in=CLIENT_ROLES).select_related("user")


def _person(access: Access) -> ClientUser:
    user = access.user
    return ClientUser.model_validate(
        {"id": user.public_id, "email": user.email, "name": user.name, "role": access.role, "since": access.created_at}
    )


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
