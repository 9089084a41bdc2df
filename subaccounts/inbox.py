"""Which notices somebody may read: what the bell counts and the inbox lists."""

from agency.access import CAPABILITIES, Can, Role
from agency.models import Membership, Notice
from agency.models.notice import TELLS_CREDITS, NoticeQuerySet
from subaccounts.models import SubAccount


def of_member(membership: Membership) -> NoticeQuerySet:
    """Of the agency's: all for who sees credits; for an Agency Member those about granted clients that tell no credits."""
    rows = Notice.objects.in_app().for_team(membership.agency)
    if Can.SEE_CREDITS in CAPABILITIES[Role(membership.role)]:
        return rows
    granted = SubAccount.objects.open_to(membership).values("public_id")
    return rows.filter(sub_account_id__in=granted).exclude(category__in=TELLS_CREDITS)


def of_client(sub_account: SubAccount) -> NoticeQuerySet:
    """Those of one client. `sub_account` as it is now: the host's own copy may be seconds old."""
    return Notice.objects.in_app().for_client(sub_account.agency, sub_account.public_id, sees_balance=sub_account.shows_balance)
