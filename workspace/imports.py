"""FAQs out of a CSV: read and judged first, written only when a person has confirmed, in steps that survive a crash.

Each step is one outbox message: it writes at most `STEP` rows, notes how far it came and asks for the next step, all in
one transaction. A worker killed anywhere repeats nothing and loses nothing.
"""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Upper

from agency import audit
from kit import clock, outbox
from kit.actor import Actor
from kit.models import OutboxMessage
from kit.refusal import Refusal
from subaccounts import lifecycle
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from workspace.conversations import name_of
from workspace.models import Chatbot, Faq, FaqImport

STEP = 50
MOST_ROWS = 2000
MOST_BYTES = 2_000_000
TOPIC = "workspace.faq_import"
LOOK_AGAIN = timedelta(minutes=5)  # how often the import of a suspended sub-account asks whether it may go on

ADD, UPDATE, SAME, REJECT = "add", "update", "same", "reject"


class NotReadable(Refusal):
    code = "not_readable"


class NotWaiting(Refusal):
    code = "not_waiting"
    status = 409
    default_message = "This import was confirmed or cancelled before. Nothing was changed."


@transaction.atomic
def dry_run(*, sub_account: SubAccount, chatbot: Chatbot, file_name: str, content: bytes, by: Actor) -> FaqImport:
    """Read a CSV with the columns question and answer and say of each row what would happen. Writes no FAQ. Raises `NotReadable`."""
    rows = _judged(chatbot, _read(content))
    made = FaqImport.objects.create(
        chatbot=chatbot,
        file_name=file_name[-120:] or "faqs.csv",
        rows=rows,
        total=len(rows),
        failures=[row for row in rows if row["outcome"] == REJECT],
        user_id=by.id,
        user_label=name_of(by),
    )
    _record("faq_import.checked", sub_account, made, by)
    return made


@transaction.atomic
def confirm(*, sub_account: SubAccount, faq_import: FaqImport, by: Actor) -> FaqImport:
    """Start writing. Raises `NotWaiting` unless it is waiting for that."""
    faq_import = _locked_waiting(faq_import)
    faq_import.state = FaqImport.CONFIRMED
    faq_import.save(update_fields=["state"])
    _ask_for_next(sub_account, faq_import)
    _record("faq_import.confirmed", sub_account, faq_import, by)
    return faq_import


@transaction.atomic
def cancel(*, sub_account: SubAccount, faq_import: FaqImport, by: Actor) -> FaqImport:
    """Forget a dry run. Raises `NotWaiting`."""
    faq_import = _locked_waiting(faq_import)
    faq_import.state, faq_import.finished_at = FaqImport.CANCELLED, clock.now()
    faq_import.save(update_fields=["state", "finished_at"])
    _record("faq_import.cancelled", sub_account, faq_import, by)
    return faq_import


@outbox.handler(TOPIC)
def continue_import(message: OutboxMessage) -> None:
    """One step, in the outbox's transaction. While the sub-account is suspended nothing is written; it goes on after the restore."""
    sub_account = SubAccount.objects.ready().select_related("agency").filter(public_id=message.payload["sub_account"]).first()
    if sub_account is None:
        return  # removed meanwhile: there is nothing left to write to
    with enter(sub_account):
        faq_import = FaqImport.objects.select_for_update(of=["self"]).select_related("chatbot").get(public_id=message.payload["import"])
        if faq_import.state != FaqImport.CONFIRMED:
            return
        try:
            lifecycle.may_act(sub_account)
        except lifecycle.Suspended:
            _ask_for_next(sub_account, faq_import, due_at=clock.now() + LOOK_AGAIN)
            return
        _write_step(faq_import)
        if faq_import.state == FaqImport.CONFIRMED:
            _ask_for_next(sub_account, faq_import)


def counts(faq_import: FaqImport) -> dict[str, int]:
    """How many rows have each outcome."""
    outcomes = [row["outcome"] for row in faq_import.rows]
    return {outcome: outcomes.count(outcome) for outcome in (ADD, UPDATE, SAME, REJECT)}


def _write_step(faq_import: FaqImport) -> None:
    for row in faq_import.rows[faq_import.done : faq_import.done + STEP]:
        if row["outcome"] in (ADD, UPDATE):
            _write_row(faq_import.chatbot, row)
        faq_import.done += 1
    if faq_import.done >= faq_import.total:
        faq_import.state, faq_import.finished_at = FaqImport.DONE, clock.now()
    faq_import.save(update_fields=["done", "state", "finished_at"])


def _write_row(chatbot: Chatbot, row: dict[str, Any]) -> None:
    """By the question as it stands now: somebody may have added or deleted it since the dry run."""
    values = {"question": row["question"], "answer": row["answer"], "updated_at": clock.now()}
    # PostgreSQL says what the same question is, as its unique index does: Python makes STRASSE of Straße, it does not.
    if not chatbot.faqs.annotate(upper=Upper("question")).filter(upper=Upper(Value(row["question"]))).update(**values):
        Faq.objects.create(chatbot=chatbot, **values)


def _ask_for_next(sub_account: SubAccount, faq_import: FaqImport, *, due_at: datetime | None = None) -> None:
    payload = {"sub_account": str(sub_account.public_id), "import": str(faq_import.public_id)}
    again = f":{due_at.timestamp():.0f}" if due_at else ""
    outbox.put(TOPIC, payload, key=f"{faq_import.public_id}:{faq_import.done}{again}", due_at=due_at)


def _read(content: bytes) -> list[tuple[int, str, str]]:
    """(line, question, answer) of each row that is not empty."""
    if len(content) > MOST_BYTES:
        raise NotReadable("This file is larger than 2 MB. Split it and import the parts one after the other.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotReadable("This file is not UTF-8 text. Save it as “CSV UTF-8” and upload it again.") from error
    if "\x00" in text:
        raise NotReadable("This is not a CSV file. Download the template to see what one looks like.")
    header, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if "question" not in names or "answer" not in names:
            raise NotReadable("The first line must name the columns question and answer. Download the template to see how.")
        question, answer = names.index("question"), names.index("answer")
        rows = []
        for row in reader:
            if any(cell.strip() for cell in row):
                asked, given = (row[place] if place < len(row) else "" for place in (question, answer))
                rows.append((reader.line_num, " ".join(asked.split()), given.strip()))
            if len(rows) > MOST_ROWS:
                raise NotReadable(f"More than {MOST_ROWS} rows. Split the file and import the parts one after the other.")
    except csv.Error as error:
        raise NotReadable(f"Line {reader.line_num} cannot be read: {error}. Nothing was changed.") from error
    if not rows:
        raise NotReadable("There is no row below the first line. Nothing was changed.")
    return rows


def _judged(chatbot: Chatbot, rows: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
    known = {faq.question.upper(): faq for faq in chatbot.faqs.only("question", "answer")}
    seen: dict[str, int] = {}
    judged = []
    for line, question, answer in rows:
        outcome, problem = _judge(question, answer, known.get(question.upper()), seen.get(question.upper()))
        seen.setdefault(question.upper(), line)
        judged.append({"line": line, "question": question[:400], "answer": answer[:2500], "outcome": outcome, "problem": problem})
    return judged


def _judge(question: str, answer: str, known: Faq | None, earlier_line: int | None) -> tuple[str, str]:
    if not question or not answer:
        return REJECT, "The question is empty." if not question else "The answer is empty."
    if len(question) > 300:
        return REJECT, f"The question has {len(question)} characters; 300 are possible."
    if len(answer) > 2000:
        return REJECT, f"The answer has {len(answer)} characters; 2,000 are possible."
    if earlier_line is not None:
        return REJECT, f"The same question stands in line {earlier_line}."
    if known is None:
        return ADD, ""
    return (SAME, "") if (known.question, known.answer) == (question, answer) else (UPDATE, "")


def _locked_waiting(faq_import: FaqImport) -> FaqImport:
    faq_import = FaqImport.objects.select_for_update(of=["self"]).select_related("chatbot").get(pk=faq_import.pk)
    if faq_import.state != FaqImport.DRY_RUN:
        raise NotWaiting
    return faq_import


def _record(action: str, sub_account: SubAccount, faq_import: FaqImport, by: Actor) -> None:
    audit.record(
        action,
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=f"{faq_import.file_name} for {faq_import.chatbot}",
        after=counts(faq_import),
    )
