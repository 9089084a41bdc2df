"""Each invariant is quiet when all is well and speaks when it is broken."""

from uuid import uuid4

import pytest

from subaccounts.models import SubAccount
from workspace import invariants, replies, visitors
from workspace.models import Chatbot, Message


@pytest.fixture
def reply(acme: SubAccount, bot: Chatbot) -> Message:
    visitor = visitors.meet(acme, visitors.hashed("a visitor"))
    told = replies.reply(sub_account=acme, chatbot=bot, contact=visitor, message_id=uuid4(), text="When are you open?")
    assert told.message is not None
    return told.message


def test_all_is_well(reply: Message) -> None:
    assert list(invariants.chatbots_are_counted()) == []
    assert list(invariants.replies_are_paid()) == []


def test_a_wrong_number_of_chatbots_is_found(acme: SubAccount, bot: Chatbot) -> None:
    Chatbot.objects.filter(pk=bot.pk).delete()
    assert list(invariants.chatbots_are_counted()) == [f"{acme.schema_name} has 0 chatbots, kept are 1"]


def test_a_reply_without_its_entry_is_found(acme: SubAccount, reply: Message) -> None:
    Message.objects.filter(pk=reply.pk).update(entry_key="nothing")
    assert list(invariants.replies_are_paid()) == [f"{acme.schema_name} has 1 replies that nothing paid for"]
