"""What happened lately, in words: the audit log and the ledger told as one story."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from agency import deeds
from agency.models import Agency, AuditRecord
from credits import statement
from credits.models import Entry
from kit.units import in_words
from subaccounts.models import Assist, SubAccount

SHOWN = 12
READ = 60

# What a person did with the ledger stands in the audit log already, with their name.
TOLD_BY_RECORDS = ("allocation", "reclaim", "adjustment", "transfer")
COMINGS_AND_GOINGS = {
    "grant": "received {amount}",
    "expiry": "lost {amount}, which expired",
    "void": "got {amount} back",
}
USES = {
    "ai_reply": ("AI reply", "AI replies"),
    "campaign_message": ("campaign message", "campaign messages"),
    "call": ("call", "calls"),
    "knowledge": ("knowledge base", "knowledge bases"),
}


@dataclass(frozen=True)
class Event:
    """`who`, `text` and, where the text does not say it, `about` make one sentence. `url` leads to the sub-account it is about."""

    at: datetime
    who: str
    text: str
    url: str = ""
    about: str = ""


def recent(agency: Agency, *, sub_account: SubAccount | None = None, with_credits: bool = True) -> list[Event]:
    """The latest events of an agency or of one sub-account, the newest first. Uses that follow each other are one event."""
    records = AuditRecord.objects.filter(agency=agency)
    entries = Entry.objects.filter(agency_id=agency.public_id).exclude(kind__in=TOLD_BY_RECORDS) if with_credits else Entry.objects.none()
    if sub_account is not None:
        records = records.filter(sub_account_id=sub_account.public_id)
        entries = entries.filter(sub_account_id=sub_account.public_id)
    latest_entries = list(entries.order_by("-pk")[:READ])
    latest_records = list(records.order_by("-id")[:SHOWN])
    ids = {entry.sub_account_id for entry in latest_entries} | {record.sub_account_id for record in latest_records}
    names = _names({public_id for public_id in ids if public_id})
    abouts = {} if sub_account else names
    events = [_of_record(row, abouts.get(row.sub_account_id) if row.sub_account_id else None) for row in latest_records]
    events += _of_entries(latest_entries, names)
    return sorted(events, key=lambda event: event.at, reverse=True)[:SHOWN]


def of_assist(assist: Assist) -> list[Event]:
    """What was changed in one assist, the newest first; the latest `READ` of them."""
    return [_of_record(record, None) for record in assist.records[:READ]]


def _names(public_ids: set[UUID]) -> dict[UUID, SubAccount]:
    return {row.public_id: row for row in SubAccount.objects.filter(public_id__in=public_ids).only("public_id", "name")}


def _of_record(record: AuditRecord, client: SubAccount | None) -> Event:
    text, who = deeds.in_words(record), deeds.who(record)
    if client is None or client.name in text:
        return Event(record.at, who, text)
    return Event(record.at, who, text, client.get_absolute_url(), client.name)


def _of_entries(entries: Iterable[Entry], names: dict[UUID, SubAccount]) -> list[Event]:
    runs: list[list[Entry]] = []
    for entry in entries:
        if runs and _alike(runs[-1][0]) == _alike(entry):
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return [_of_run(run, names.get(run[0].sub_account_id) if run[0].sub_account_id else None) for run in runs]


def _alike(entry: Entry) -> tuple[str, str, UUID | None]:
    """What entries that are told together have in common; amounts of different units make no sum."""
    return entry.kind, entry.unit_id, entry.sub_account_id


def _of_run(run: list[Entry], sub_account: SubAccount | None) -> Event:
    latest = run[0]
    amount = in_words(sum(entry.amount for entry in run), latest.unit_id)
    who = sub_account.name if sub_account else "The agency's pool"
    url = sub_account.get_absolute_url() if sub_account else ""
    if latest.kind in USES:
        one, many = USES[latest.kind]
        return Event(latest.at, who, f"used {amount} for {len(run)} {one if len(run) == 1 else many}", url)
    told = COMINGS_AND_GOINGS.get(latest.kind, "{amount}").format(amount=amount)
    return Event(latest.at, who, f"{told}: {latest.memo}".rstrip(": "), url)


@dataclass(frozen=True)
class Line:
    """A ledger line of one sub-account; `signed` is from its point of view: what it used is negative."""

    at: datetime
    what: str
    contact: str
    signed: str


def lines_of(sub_account: SubAccount) -> list[Line]:
    """Its latest ledger lines, the newest first."""
    entries = Entry.objects.filter(sub_account_id=sub_account.public_id).order_by("-pk")[:10]
    return [Line(entry.at, _what(entry), entry.contact, _signed(entry)) for entry in entries]


def _what(entry: Entry) -> str:
    return USES[entry.kind][0] if entry.kind in USES else entry.memo or statement.KINDS.get(entry.kind, entry.kind.replace("_", " "))


def _signed(entry: Entry) -> str:
    """Units that come into its wallet carry the new balance there; those that go to a boundary account or the pool do not."""
    sign = "+" if entry.to_balance is not None and entry.kind != "reclaim" else "−"
    return f"{sign}{in_words(entry.amount, entry.unit_id)}"
