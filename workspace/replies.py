"""The main job: a visitor's message becomes a reply, and the reply costs what its rate says, one credit where nobody says more.

One reply costs the same however it was found: an answer, "I do not know" and a greeting alike. Its credits are reserved
before the responder works and used in the very transaction that stores the reply, where the gate is asked again; so there
is never a reply without its credits nor credits without their reply, and a workspace suspended meanwhile spends nothing.
That transaction locks the row of a pool that all clients of the agency want, so it lets go of it before it waits for the disk.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import F

from credits import ledger, rates
from credits.models import Hold
from kit import clock, durable
from kit.actor import Actor
from subaccounts import alerts, figures, lifecycle
from subaccounts.models import SubAccount
from workspace import conversations, limits, responder, visitors
from workspace.models import Chatbot, Contact, Conversation, Faq, Message

log = structlog.get_logger("canopy.replies")

HELD_FOR = timedelta(minutes=5)
_TRIES = 3

CannotPay = (lifecycle.Suspended, ledger.InsufficientCredits, limits.DailyCapReached)


class PersonAnswers(Exception):
    """Somebody took the conversation over while the responder worked: the chatbot keeps quiet and nothing is spent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the visitor is told. `message` is the stored reply; None when nothing was spent: the workspace could not
    answer (`text` is its polite message), or a person has taken over (`text` is empty). `suggestions` are FAQs the visitor may have meant."""

    question: Message
    text: str
    message: Message | None = None
    wants_contact: bool = False
    suggestions: list[str] = field(default_factory=list)


def reply(
    *, sub_account: SubAccount, chatbot: Chatbot, contact: Contact, message_id: UUID, text: str, page_url: str = "", address: str = ""
) -> Reply:
    """Answer a visitor's message. `message_id` is made by the browser: a repeat gets the same answer and is charged once.

    The message itself is always stored. Raises what `conversations.hear` raises.
    """
    sub_account = SubAccount.objects.select_related("agency__plan").get(pk=sub_account.pk)  # the host cache may be seconds old
    question = conversations.hear(
        sub_account=sub_account, chatbot=chatbot, contact=contact, message_id=message_id, text=text, page_url=page_url
    )
    if stored := _stored_reply(question):
        durable.flush()  # the other call may still be waiting for the disk
        return _told(chatbot, question, stored)
    if question.conversation.status == Conversation.PERSON:
        return Reply(question, "")
    by = visitors.actor(contact, address)
    for _ in range(_TRIES):
        try:
            return _answer(sub_account, chatbot, contact, question, by)
        except (ledger.HoldClosed, ledger.KeyReused):  # left over from a try that died, or at another rate: the next one reserves anew
            _give_up(question)
        except PersonAnswers:
            return Reply(question, "")
        except CannotPay as refusal:
            log.info("no reply", code=refusal.code)
            if isinstance(refusal, ledger.InsufficientCredits):
                alerts.stopped(sub_account)
            conversations.unanswered(question)
            return Reply(question, sub_account.unavailable_message)
    raise ledger.HoldClosed


def cost(sub_account: SubAccount) -> rates.Cost:
    """What a reply costs this client now."""
    return rates.cost("ai_reply", agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id)


def _answer(sub_account: SubAccount, chatbot: Chatbot, contact: Contact, question: Message, by: Actor) -> Reply:
    lifecycle.may_act(sub_account)
    limits.replies_today(sub_account)
    hold = _hold(sub_account, question, by)
    try:
        found = responder.answer(chatbot, question.text)
        return _settle(sub_account, chatbot, contact, question, found, hold, by)
    except ledger.HoldClosed:
        raise
    except BaseException:  # whatever happened, even a shutdown: the credit goes back at once, not when the hold expires
        _let_go(question, hold, by)
        raise


@durable.early_release()
def _settle(
    sub_account: SubAccount, chatbot: Chatbot, contact: Contact, question: Message, found: responder.Answer, hold: Hold, by: Actor
) -> Reply:
    """The one transaction: gate, reply, credit, figures, cap."""
    mine = Message.objects.select_for_update(of=["self", "conversation"], no_key=True)  # who takes over now waits for this reply
    question = mine.select_related("conversation").get(pk=question.pk)
    if stored := _stored_reply(question):  # the same message came twice at once, and the other one was quicker
        return _told(chatbot, question, stored)
    if question.conversation.status == Conversation.PERSON:
        raise PersonAnswers
    lifecycle.may_act(sub_account)
    posted = ledger.commit(
        hold=hold,
        by=by,
        contact=contact.label,
        bot=chatbot.name,
        reference=question.conversation.public_id.hex,
        memo=f"Reply by {chatbot.name}",
    )
    said = Message(text=found.text, faq=found.faq, confidence=found.confidence, entry_key=posted.key)
    stored = conversations.reply(question, said, is_known=found.is_known)
    if found.faq is not None:
        Faq.objects.filter(pk=found.faq.pk).update(uses=F("uses") + 1)
    figures.add(sub_account, messages=1, replies=1)
    limits.replies_today(sub_account, is_counted=True)
    return _told(chatbot, question, stored)


def _hold(sub_account: SubAccount, question: Message, by: Actor) -> Hold:
    asked = cost(sub_account)
    hold = ledger.hold(
        sources=sub_account.credit_sources(asked.unit),
        amount=asked.amount,
        key=f"reply:{question.public_id.hex}:{question.attempt}",
        expires_at=clock.now() + HELD_FOR,
        by=by,
        kind="ai_reply",
        sub_account_id=sub_account.public_id,
    )
    if hold.state in (Hold.RELEASED, Hold.EXPIRED):
        raise ledger.HoldClosed
    return hold


def _let_go(question: Message, hold: Hold, by: Actor) -> None:
    try:
        ledger.release(hold=hold, by=by)
    except ledger.HoldClosed:
        return  # the same message, sent twice at once: the other one has answered and paid
    _give_up(question)


def _give_up(question: Message) -> None:
    """The key of a hold that is closed is used up; the next try takes the next one."""
    Message.objects.filter(pk=question.pk, attempt=question.attempt).update(attempt=F("attempt") + 1)
    question.refresh_from_db(fields=["attempt"])


def _stored_reply(question: Message) -> Message | None:
    return Message.objects.filter(reply_to=question).first()


def _told(chatbot: Chatbot, question: Message, stored: Message) -> Reply:
    is_unknown = question.outcome == Message.UNKNOWN
    suggestions = responder.suggest(chatbot, question.text) if is_unknown else []
    return Reply(question, stored.text, stored, wants_contact=chatbot.collects_leads and is_unknown, suggestions=suggestions)
