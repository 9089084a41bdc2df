"""What is said: a visitor's message on record, a person's answer, who is answering right now."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import F

from agency import audit
from kit import clock, events
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import figures
from subaccounts.models import SubAccount
from workspace.models import Chatbot, Contact, Conversation, Message

A_NEW_VISIT = timedelta(hours=24)


class EmptyMessage(Refusal):
    code = "empty_message"
    default_message = "There is nothing in this message. Write something and send it again."


class MessageTooLong(Refusal):
    code = "message_too_long"
    default_message = "This message is too long. Please keep it under 2,000 characters."


class ConversationClosed(Refusal):
    code = "conversation_closed"
    status = 409
    default_message = "This conversation is closed. Nothing was sent."


@transaction.atomic
def hear(*, sub_account: SubAccount, chatbot: Chatbot, contact: Contact, message_id: UUID, text: str, page_url: str = "") -> Message:
    """Put a visitor's message on record, once per `message_id` and contact: a repeat returns the first one, locked nothing.

    It joins the contact's conversation with this chatbot, or opens one when there is none, the last is closed or a day old.
    Raises `EmptyMessage` and `MessageTooLong`.
    """
    text = _checked(text)
    Contact.objects.select_for_update().get(pk=contact.pk)  # one message of a visitor at a time
    public_id = uuid5(contact.public_id, str(message_id))
    if earlier := Message.objects.select_related("conversation").filter(public_id=public_id).first():
        return earlier
    conversation = current(chatbot, contact)
    is_new = conversation is None
    if conversation is None:
        conversation = Conversation.objects.create(chatbot=chatbot, contact=contact, page_url=safe_url(page_url))
    message = _add(conversation, Message(public_id=public_id, role=Message.VISITOR, text=text))
    if is_new:
        data = {"conversation_id": str(conversation.public_id), "chatbot": chatbot.name, "page_url": conversation.page_url}
        events.publish("conversation.started", agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id, data=data)
    if conversation.status == Conversation.PERSON:
        _waiting(conversation)
    Contact.objects.filter(pk=contact.pk).update(last_seen_at=message.sent_at)
    figures.add(sub_account, messages=1, conversations=int(is_new))
    return message


def current(chatbot: Chatbot, contact: Contact) -> Conversation | None:
    """The conversation a message of `contact` would join now."""
    latest = chatbot.conversations.filter(contact=contact).order_by("-id").first()
    if latest is None or latest.status == Conversation.CLOSED or latest.last_message_at < clock.now() - A_NEW_VISIT:
        return None
    return latest


def reply(question: Message, reply: Message, *, is_known: bool) -> Message:
    """Put the chatbot's reply to `question` on record. In the caller's transaction."""
    reply.role, reply.reply_to = Message.BOT, question
    was_waiting = question.outcome == Message.UNAVAILABLE
    question.outcome = Message.ANSWERED if is_known else Message.UNKNOWN
    question.save(update_fields=["outcome"])
    stored = _add(question.conversation, reply)
    if is_known and was_waiting:
        waiting = Conversation.objects.filter(pk=question.conversation_id, unknown_count__gt=0)
        waiting.update(unknown_count=F("unknown_count") - 1)
    elif not is_known and not was_waiting:
        _waiting(question.conversation)
    return stored


@transaction.atomic
def unanswered(question: Message) -> None:
    """The chatbot could not answer `question`: it waits for a person. Again changes nothing."""
    if Message.objects.filter(pk=question.pk).exclude(outcome=Message.UNAVAILABLE).update(outcome=Message.UNAVAILABLE):
        _waiting(question.conversation)


@transaction.atomic
def say(*, conversation: Conversation, text: str, by: Actor, sub_account: SubAccount) -> Message:
    """A person answers: the chatbot keeps quiet from here on, nothing is spent. Raises `ConversationClosed`."""
    text = _checked(text)
    conversation = Conversation.objects.select_for_update().get(pk=conversation.pk)
    if conversation.status == Conversation.CLOSED:
        raise ConversationClosed
    message = _add(conversation, Message(role=Message.PERSON, text=text, user_id=by.id, user_label=name_of(by)))
    Conversation.objects.filter(pk=conversation.pk).update(status=Conversation.PERSON, unknown_count=0)
    audit.record("conversation.answered", by=by, agency=sub_account.agency, sub_account_id=sub_account.public_id, subject=str(conversation))
    figures.add(sub_account, messages=1)
    return message


@transaction.atomic
def set_status(*, conversation: Conversation, status: str, by: Actor, sub_account: SubAccount) -> Conversation:
    """Take over (`person`), hand back to the chatbot (`bot`) or close. Setting what is set already changes nothing."""
    conversation = Conversation.objects.select_for_update().get(pk=conversation.pk)
    before = conversation.status
    if before != status:
        conversation.status = status
        if status == Conversation.CLOSED:
            conversation.unknown_count = 0
        conversation.save(update_fields=["status", "unknown_count"])
    audit.record(
        "conversation.status_set",
        by=by,
        agency=sub_account.agency,
        sub_account_id=sub_account.public_id,
        subject=str(conversation),
        before={"status": before},
        after={"status": status},
    )
    return conversation


def name_of(by: Actor) -> str:
    """Who it was, for colleagues to read: the name without the address that the audit log keeps beside it."""
    return by.label.partition(" <")[0]


def safe_url(url: str) -> str:
    """The page a visitor was on, without query and fragment (they carry names and tokens); empty unless it is a web page."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:500]


def _checked(text: str) -> str:
    text = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text).strip()
    if not text:
        raise EmptyMessage
    if len(text) > 2000:
        raise MessageTooLong
    return text


def _add(conversation: Conversation, message: Message) -> Message:
    message.conversation = conversation
    message.save(force_insert=True)
    changes: dict[str, Any] = {"message_count": F("message_count") + 1, "last_message_at": message.sent_at}
    if message.role == Message.VISITOR:
        changes["preview"] = " ".join(message.text.split())[:160]
    Conversation.objects.filter(pk=conversation.pk).update(**changes)
    return message


def _waiting(conversation: Conversation) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(unknown_count=F("unknown_count") + 1)
