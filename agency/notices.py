"""What an agency's team and its clients are told: once per happening, in the app at once, by mail once a day.

The first thing that happens to a client on a day is mailed at once. What follows on the same day waits and goes as one mail the
next morning, which is that day's mail; so each side has at most one mail a day about each client, and one about the agency itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from agency.models import Agency, AlertChannel, Notice, NoticeMail, NoticeRead, ReadUpTo, User
from agency.models.notice import NoticeQuerySet
from kit import clock

MORNING = time(8)
COUNTED = 100
"""An unread count goes no further: whoever has that many knows enough."""
_SETTLED_AFTER = timedelta(minutes=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Word:
    """What is said. `title` names client, unit and figure, since it is the subject of the mail; `link` is a path."""

    title: str
    text: str
    link: str


@dataclass(frozen=True)
class Reader:
    """Somebody before an inbox: the agency's, or (with the public id of a sub-account) a client's."""

    user: User
    agency: Agency
    sub_account_id: UUID | None = None


@transaction.atomic
def tell(
    *,
    agency: Agency,
    audience: str,
    category: str,
    key: str,
    word: Word,
    sub_account_id: UUID | None = None,
    unit: str = "",
    by_mail: bool = True,
) -> Notice | None:
    """Tell `audience` once: the same `key` again is None and changes nothing, however many ask at once.

    None too where nobody wants to hear of the category. Without `by_mail` it only stands in the inbox.
    """
    wants_mail, in_app = _channels(agency, sub_account_id if audience == Notice.CLIENT else None, category)
    wants_mail = wants_mail and by_mail
    if not (wants_mail or in_app):
        return None
    notice, is_new = Notice.objects.get_or_create(
        key=f"{key}:{audience}",
        defaults={
            "agency": agency,
            "sub_account_id": sub_account_id,
            "audience": audience,
            "category": category,
            "unit": unit,
            "title": _short(word.title, 200),
            "text": _short(word.text, 500),
            "link": word.link,
            "in_app": in_app,
            "at": clock.now(),
        },
    )
    if not is_new:
        return None
    if wants_mail:
        notice.mail = _mail_for(notice)
        notice.save(update_fields=["mail"])
    return notice


def was_told(key: str, audience: str) -> bool:
    return bool(told_among([key], audience))


def told_among(keys: Iterable[str], audience: str) -> set[str]:
    """Which of the keys `audience` was told already."""
    wanted = {f"{key}:{audience}": key for key in keys}
    return {wanted[key] for key in Notice.objects.filter(key__in=wanted).values_list("key", flat=True)}


def next_morning(agency: Agency) -> datetime:
    """Tomorrow at eight in the agency's time zone."""
    tomorrow = clock.today_in(agency.time_zone) + timedelta(days=1)
    return datetime.combine(tomorrow, MORNING, tzinfo=ZoneInfo(agency.time_zone))


def went_today(mail: NoticeMail) -> bool:
    """Whether this side has had its mail about this client today, in the agency's time zone."""
    today = clock.today_in(mail.agency.time_zone)
    sent = NoticeMail.objects.filter(agency=mail.agency, sub_account_id=mail.sub_account_id, audience=mail.audience, day=today)
    return sent.exists()


def _mail_for(notice: Notice) -> NoticeMail:
    """The mail of this side that waits, or a new one. Whoever sends it holds its row, so nothing is put into a mail that has gone."""
    side = {"agency": notice.agency, "sub_account_id": notice.sub_account_id, "audience": notice.audience}
    with connection.cursor() as cursor:
        name = f"notices:{notice.agency.pk}:{notice.sub_account_id}:{notice.audience}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
    waiting = NoticeMail.objects.select_for_update().filter(**side, sent_at=None).first()
    if waiting is not None:
        return waiting
    mail = NoticeMail(**side)
    mail.due_at = next_morning(notice.agency) if went_today(mail) else clock.now()
    mail.save()
    return mail


def _channels(agency: Agency, sub_account_id: UUID | None, category: str) -> tuple[bool, bool]:
    chosen = AlertChannel.objects.filter(agency=agency, sub_account_id=sub_account_id, category=category).first()
    return (chosen.by_mail, chosen.in_app) if chosen else (True, True)


def _short(text: str, most: int) -> str:
    """On one line: a client's name may hold anything, and a title becomes the subject of a mail."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


# --- reading -----------------------------------------------------------------------------------------------------------------


def unread(rows: NoticeQuerySet, reader: Reader) -> NoticeQuerySet:
    place = ReadUpTo.objects.filter(user=reader.user, agency=reader.agency, sub_account_id=reader.sub_account_id)
    reads = NoticeRead.objects.filter(notice=OuterRef("pk"), user=reader.user)
    return rows.filter(~Exists(reads), at__gt=Coalesce(Subquery(place.values("at")), Value(_EVER)))


def count_unread(rows: NoticeQuerySet, reader: Reader) -> int:
    """How many of `rows` the reader has not read, `COUNTED` at most: one query, and short however many there ever were."""
    return unread(rows, reader)[:COUNTED].count()


def unread_among(rows: Iterable[Notice], reader: Reader) -> set[int]:
    """Which of the rows in hand are unread, by their ids."""
    ids = [row.pk for row in rows]
    return set(unread(Notice.objects.filter(pk__in=ids), reader).values_list("pk", flat=True))


@transaction.atomic
def read(notices: Iterable[Notice], *, by: User) -> None:
    """Reading twice is reading once."""
    NoticeRead.objects.bulk_create([NoticeRead(notice=notice, user=by, at=clock.now()) for notice in notices], ignore_conflicts=True)


@transaction.atomic
def read_all(rows: NoticeQuerySet, reader: Reader) -> None:
    """Everything that is there now. The last minute's are read one by one: a notice that commits late must not be read unseen."""
    until = clock.now() - _SETTLED_AFTER
    ReadUpTo.objects.update_or_create(user=reader.user, agency=reader.agency, sub_account_id=reader.sub_account_id, defaults={"at": until})
    read(unread(rows, reader), by=reader.user)
