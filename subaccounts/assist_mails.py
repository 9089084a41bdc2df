"""What a client that wants to know is told: that somebody of its agency came, and that they left."""

from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.urls import reverse

from agency.access import Role
from agency.models import User
from kit import mail
from subaccounts import addresses
from subaccounts.models import Assist

log = structlog.get_logger("canopy.assists")


def tell(assist: Assist, happening: str) -> None:
    """Mail that it has "begun" or "ended" to the Subaccount Admins, once each, where the client wants to know."""
    sub_account = assist.sub_account
    if not sub_account.notify_of_assists:
        return
    agency = sub_account.agency
    here = ZoneInfo(agency.time_zone)
    context = {
        "assist": assist,
        "sub_account": sub_account,
        "agency": agency,
        "began": assist.started_at.astimezone(here),
        "until": assist.left_at.astimezone(here),
        "changes": assist.records.count(),
        "url": addresses.primary_url(sub_account, reverse("workspace_assist", args=[assist.public_id], urlconf=settings.WORKSPACE_URLCONF)),
    }
    admins = User.objects.filter(accesses__sub_account=sub_account, accesses__role=Role.SUB_ACCOUNT_ADMIN, is_active=True)
    for user in admins.order_by("id"):
        key = f"assist:{assist.public_id}:{happening}:{user.public_id}"
        try:
            mail.send(
                to=user.email, template=f"mails/assist_{happening}", context={**context, "user": user}, key=key, sender_name=agency.name
            )
        except ValidationError:  # an address that is none must not keep anybody out of a workspace, nor in it
            log.warning("assist not mailed: no address", user=str(user.public_id))
