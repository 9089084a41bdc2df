"""Which accounts a person can go to from here: what the account switcher lists."""

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Max

from agency.models import Membership, User
from kit.links import url_of
from subaccounts import addresses
from subaccounts.models import Assist, SubAccount, SubAccountQuerySet

SHOWN = 50


@dataclass(frozen=True)
class Account:
    """A line of the switcher. `is_link`: a plain link (the client signs in there itself); otherwise entering is a POST."""

    name: str
    url: str
    is_link: bool
    is_current: bool = False


def accounts_for(user: User, membership: Membership | None, current: SubAccount | None = None) -> list[Account]:
    """At most `SHOWN` accounts, the recently entered first. An assisting person gets none: from there the way leads back only."""
    if user.realm_id is not None:
        return [_linked(sub_account, current) for sub_account in _of_client(user)[:SHOWN]]
    if membership is None:
        return []
    return [_entered(sub_account) for sub_account in _recent_first(user, membership)]


def workspaces_of(user: User) -> list[dict[str, str]]:
    """Name and address of every workspace a client may enter."""
    return [{"name": sub_account.name, "url": addresses.primary_url(sub_account, "/")} for sub_account in _of_client(user)]


def _of_client(user: User) -> SubAccountQuerySet:
    return SubAccount.objects.ready().filter(accesses__user=user, agency__deleted_at=None).order_by("name", "id")


def _recent_first(user: User, membership: Membership) -> list[SubAccount]:
    allowed = SubAccount.objects.open_to(membership).only("public_id", "name", "is_primary")
    entered = Assist.objects.filter(user=user).values("sub_account").annotate(at=Max("started_at")).order_by("-at")[:SHOWN]
    order = [row["sub_account"] for row in entered]
    recent = sorted(allowed.filter(pk__in=order), key=lambda sub_account: order.index(sub_account.pk))
    return [*recent, *allowed.exclude(pk__in=order).order_by("-is_primary", "name", "id")[: SHOWN - len(recent)]]


def _entered(sub_account: SubAccount) -> Account:
    name = f"{sub_account.name} (your own)" if sub_account.is_primary else sub_account.name
    url = url_of("sub_account_enter", sub_account.public_id, urlconf=settings.ROOT_URLCONF)
    return Account(name, url, is_link=False)


def _linked(sub_account: SubAccount, current: SubAccount | None) -> Account:
    return Account(sub_account.name, addresses.own_url(sub_account), is_link=True, is_current=sub_account == current)
