from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel, Field

from credits import grants
from credits.api.figures import Figure, figure_of
from credits.models import PoolLimit, Threshold, Wallet
from kit.api import Invalid, Page, PageWish, needs, opened_cursor, paged, sealed_cursor
from kit.ids import uuid_of
from subaccounts.api import reach

router = Router(tags=["Wallets"])


class LimitOut(BaseModel):
    """How much of the agency's pool the client may use in a calendar month."""

    limit: Figure
    used: Figure
    is_hard: bool = Field(description="Whether it stops there; otherwise the agency is only told.")
    month_ends_at: datetime


class WalletOut(BaseModel):
    """A balance of one unit: the agency's pool, or a sub-account's own."""

    id: UUID
    owner: Literal["agency", "sub_account"]
    owner_id: UUID
    unit: str = Field(description="The unit's code, for instance credit or premium_minute.")
    steps_per_unit: int
    balance: Figure
    reserved: Figure = Field(description="The part of the balance that holds and calls reserve.")
    available: Figure = Field(description="The balance without what is reserved and what has expired.")
    alert_below: Figure | None = Field(description="Below this balance whoever asks here is told.")
    pool_limit: LimitOut | None = Field(description="Null for a pool, where there is no limit, and for the client itself.")


class WalletPage(Page[WalletOut]):
    pass


class WalletWish(PageWish):
    sub_account: UUID | None = Field(None, description="Only the wallets of this sub-account.")
    owner: Literal["agency", "sub_account"] | None = Field(None, description="Only the agency's pools, or only sub-accounts' own wallets.")
    unit: str = Field("", max_length=32)


class GrantOut(BaseModel):
    """What is left of one credit to a wallet. They are used up in the order in which they are listed."""

    id: UUID
    source: str = Field(description="starter, promotion, plan, package, allocation, transfer, purchase or adjustment")
    granted: Figure
    remaining: Figure
    reserved: Figure
    is_transferable: bool
    expires_at: datetime | None
    created_at: datetime


class GrantPage(Page[GrantOut]):
    pass


def wallets_reached(request: HttpRequest) -> QuerySet[Wallet]:
    """Those whose balance this key may know: 404 for a client that may not see its own."""
    found = Wallet.objects.select_related("unit")
    if request.sub_account is not None:
        if not request.sub_account.shows_balance:
            raise Http404
        return found.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=request.sub_account.public_id)
    pools = Q(owner_kind=Wallet.AGENCY, owner_id=request.agency.public_id)
    return found.filter(pools | Q(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=reach(request).values("public_id")))


@router.get("/wallets", response=WalletPage)
@needs("credits:read", clients=True)
def list_wallets(request: HttpRequest, wish: Query[WalletWish]) -> WalletPage:
    """Balances: the agency's pools and its sub-accounts' wallets, or a sub-account's own."""
    rows = wallets_reached(request)
    if wish.sub_account:
        rows = rows.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id=wish.sub_account)
    if wish.owner:
        rows = rows.filter(owner_kind=wish.owner)
    if wish.unit:
        rows = rows.filter(unit=wish.unit)
    found, next_cursor = paged(rows, wish, of="wallets")
    return WalletPage(items=_shown(request, found), next_cursor=next_cursor)


@router.get("/wallets/{uuid:id}", response=WalletOut)
@needs("credits:read", clients=True)
def get_wallet(request: HttpRequest, id: UUID) -> WalletOut:
    """One balance."""
    return _shown(request, [get_object_or_404(wallets_reached(request), pk=id)])[0]


@router.get("/wallets/{uuid:id}/grants", response=GrantPage)
@needs("credits:read", clients=True)
def list_wallet_grants(request: HttpRequest, id: UUID, wish: Query[PageWish]) -> GrantPage:
    """What a balance is made of, in the order in which it is used up."""
    wallet = get_object_or_404(wallets_reached(request), pk=id)
    of = f"grants of {wallet.pk}"
    after = uuid_of(opened_cursor(wish.cursor, of=of)) if wish.cursor else None
    if after is not None and not wallet.grants.filter(pk=after).exists():
        raise Invalid(fields={"cursor": "is not one of this list: leave it out to begin at the first page"})
    page = grants.page(wallet, after=after, size=wish.limit)
    items = [
        GrantOut(
            id=row.grant.pk,
            source=row.grant.source,
            granted=figure_of(row.grant.amount, wallet.unit),
            remaining=figure_of(row.grant.remaining, wallet.unit),
            reserved=figure_of(row.grant.held, wallet.unit),
            is_transferable=row.grant.transferable,
            expires_at=row.grant.expires_at,
            created_at=row.grant.created_at,
        )
        for row in page.rows
    ]
    return GrantPage(items=items, next_cursor=sealed_cursor(str(page.next_cursor), of=of) if page.next_cursor else None)


def _shown(request: HttpRequest, wallets: list[Wallet]) -> list[WalletOut]:
    audience = Threshold.CLIENT if request.sub_account else Threshold.AGENCY
    alerts = dict(Threshold.objects.filter(wallet__in=wallets, audience=audience).values_list("wallet_id", "at"))
    limits = {} if request.sub_account else PoolLimit.objects.in_bulk([wallet.pk for wallet in wallets])
    outlooks = grants.outlook(wallets)
    return [
        WalletOut(
            id=wallet.pk,
            owner="agency" if wallet.owner_kind == Wallet.AGENCY else "sub_account",
            owner_id=wallet.owner_id,
            unit=wallet.unit_id,
            steps_per_unit=wallet.unit.steps,
            balance=figure_of(wallet.balance, wallet.unit),
            reserved=figure_of(wallet.held, wallet.unit),
            available=figure_of(outlooks[wallet.pk].available, wallet.unit),
            alert_below=figure_of(alerts[wallet.pk], wallet.unit) if wallet.pk in alerts else None,
            pool_limit=_limit(limits[wallet.pk], wallet) if wallet.pk in limits else None,
        )
        for wallet in wallets
    ]


def _limit(limit: PoolLimit, wallet: Wallet) -> LimitOut:
    return LimitOut(
        limit=figure_of(limit.amount, wallet.unit),
        used=figure_of(limit.used_this_month, wallet.unit),
        is_hard=limit.is_hard,
        month_ends_at=limit.month_ends_at,
    )
