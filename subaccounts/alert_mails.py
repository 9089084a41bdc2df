"""Sending what `agency.notices` has put into mails: each to the people of its side, with what they may read now."""

from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from agency import alerting, notices
from agency.access import Role
from agency.models import Agency, Membership, Notice, NoticeMail, User
from agency.models.notice import TELLS_BALANCE, TELLS_CREDITS, NoticeQuerySet
from kit import clock, mail
from subaccounts import addresses
from subaccounts.models import SubAccount

log = structlog.get_logger("canopy.alerts")

BATCH = 1000


def send_due() -> int:
    """Send the mails that are due; how many. Each in a transaction of its own, and whoever else sends takes another one."""
    due = NoticeMail.objects.filter(sent_at=None, due_at__lte=clock.now()).order_by("due_at", "id").values_list("pk", flat=True)
    return sum(_send_one(pk) for pk in list(due[:BATCH]))


def _send_one(pk: int) -> bool:
    try:
        with transaction.atomic():
            waiting = NoticeMail.objects.filter(pk=pk, sent_at=None).select_for_update(skip_locked=True, of=("self",))
            notice_mail = waiting.select_related("agency").first()
            return notice_mail is not None and _send(notice_mail)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one mail must not keep the others; the next sweep tries it again)
        log.error("alert mail not sent", id=pk, cause=f"{type(error).__name__}: {error}"[:300])
        return False


def _send(notice_mail: NoticeMail) -> bool:
    """Put it into the outbox, once for each recipient, and write down that it went; a day that had its mail puts it off."""
    if notices.went_today(notice_mail):
        notice_mail.due_at = notices.next_morning(notice_mail.agency)
        notice_mail.save(update_fields=["due_at"])
        return False
    if not sum(_send_to(user, notice_mail, rows) for user, rows in _readers(notice_mail)):
        notice_mail.delete()  # nobody is left to read it, or nothing to tell: this is no mail, so it takes no day
        return False
    notice_mail.sent_at, notice_mail.day = clock.now(), clock.today_in(notice_mail.agency.time_zone)
    notice_mail.save(update_fields=["sent_at", "day"])
    return True


def _readers(notice_mail: NoticeMail) -> list[tuple[User, list[Notice]]]:
    """Who gets it, each with what they may read and still want to hear of."""
    agency, sub_account_id = notice_mail.agency, notice_mail.sub_account_id
    is_client = notice_mail.audience == Notice.CLIENT
    channels = alerting.channels_of(agency, sub_account_id if is_client else None)
    wanted = [category for category, channel in channels.items() if channel.by_mail]
    rows = notice_mail.notices.filter(category__in=wanted).order_by("at", "id")
    if agency.deleted_at is not None:
        return []
    if not is_client:
        return [(member.user, list(_for_member(rows, member, sub_account_id))) for member in alerting.recipients_of(agency)]
    sub_account = SubAccount.objects.ready().active().filter(agency=agency, public_id=sub_account_id).first()
    if sub_account is None:
        return []
    seen = list(rows if sub_account.shows_balance else rows.exclude(category__in=TELLS_BALANCE))
    admins = User.objects.filter(accesses__sub_account=sub_account, accesses__role=Role.SUB_ACCOUNT_ADMIN, is_active=True).order_by("id")
    return [(user, seen) for user in admins]


def _for_member(rows: NoticeQuerySet, member: Membership, sub_account_id: UUID | None) -> NoticeQuerySet:
    """An Agency Member hears of the clients granted to them, and never of credits: the role does not see them."""
    if member.role != Role.MEMBER:
        return rows
    granted = SubAccount.objects.open_to(member).values_list("public_id", flat=True)
    return rows.exclude(category__in=TELLS_CREDITS) if sub_account_id in granted else rows.none()


def _send_to(user: User, notice_mail: NoticeMail, rows: list[Notice]) -> bool:
    if not rows:
        return False
    agency, is_client = notice_mail.agency, notice_mail.audience == Notice.CLIENT
    context = {
        "user": user,
        "subject": rows[0].title + (f" (and {len(rows) - 1} more)" if rows[1:] else ""),
        "lines": [{"title": row.title, "text": row.text, "url": _url(agency, notice_mail, row.link)} for row in rows],
        "settings_url": _url(agency, notice_mail, reverse("alert_settings", urlconf=_urlconf(is_client))),
        "agency": agency,
        "is_client": is_client,
    }
    try:
        mail.send(
            to=user.email, template="mails/notices", context=context, key=f"notices:{notice_mail.public_id}:{user.public_id}",
            sender_name=agency.name if is_client else "",
        )  # fmt: skip
    except ValidationError:  # an address that is none must not keep the others from their mail
        log.warning("alert not mailed: no address", user=str(user.public_id))
        return False
    return True


def _urlconf(is_client: bool) -> str:
    return settings.WORKSPACE_URLCONF if is_client else settings.ROOT_URLCONF


def _url(agency: Agency, notice_mail: NoticeMail, path: str) -> str:
    if notice_mail.audience == Notice.CLIENT:
        return addresses.primary_url(SubAccount.objects.get(agency=agency, public_id=notice_mail.sub_account_id), path)
    return addresses.platform_url(path)
