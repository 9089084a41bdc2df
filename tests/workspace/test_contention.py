"""Real threads on a real PostgreSQL: the last credit, and one message that arrives many times at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connection, transaction

from credits import checks, ledger
from credits.models import Entry, Hold, Wallet
from subaccounts import editing
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from tests import cast
from tests.workspace import demo
from workspace import chatbots, replies, visitors
from workspace.models import Chatbot, Faq, Message

Result = TypeVar("Result")
THREADS = 8


@pytest.fixture
def own(transactional_db: None) -> SubAccount:
    """A sub-account of an agency of this test alone: what is committed here stays."""
    name = uuid4().hex[:12]
    agency = cast.agency(name=f"Agency {name}", slug=f"a-{name}", owner=cast.person(f"{name}@agency.example", "Ada", "Owner"))
    return cast.sub_account(agency, name="Pipes", slug=f"s-{name}", first="P", last="Ipes", email=f"{name}@client.example")


@pytest.fixture
def bot(own: SubAccount) -> Chatbot:
    with enter(own):
        made = chatbots.create(sub_account=own, by=cast.TESTS, name="Pipes assistant")
        Faq.objects.bulk_create([Faq(chatbot=made, **row) for row in demo.faqs("acme-plumbing")])
    return made


def leave(sub_account: SubAccount, amount: int) -> None:
    """Take everything out of what the sub-account may spend, but `amount` in the pool."""
    for wallet in sub_account.credit_sources("credit"):
        if wallet.balance:
            ledger.spend(sources=[wallet], amount=wallet.balance, key=f"drain-{wallet.pk}", kind="adjustment", by=cast.TESTS)
    if amount:
        ledger.grant(
            to=sub_account.agency.pool("credit"), amount=amount, source="plan", key=f"left-{sub_account.pk}-{uuid4()}", by=cast.TESTS
        )


def at_once(work: Callable[[int], Result]) -> list[Result]:
    barrier = Barrier(THREADS)

    def one(number: int) -> Result:
        try:
            barrier.wait(10)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, range(THREADS)))


def nothing_is_held(sub_account: SubAccount) -> bool:
    wallets = Wallet.objects.filter(pk__in=[wallet.pk for wallet in sub_account.credit_sources("credit")])
    return (
        all(wallet.held == 0 for wallet in wallets)
        and not Hold.objects.filter(state=Hold.OPEN, sub_account_id=sub_account.public_id).exists()
    )


def test_the_last_credit_pays_for_exactly_one_of_eight_replies(own: SubAccount, bot: Chatbot) -> None:
    leave(own, 1)

    def ask(number: int) -> replies.Reply:
        with enter(own):
            visitor = visitors.meet(own, visitors.hashed(f"visitor {number}"))
            return replies.reply(sub_account=own, chatbot=bot, contact=visitor, message_id=uuid4(), text="What are your opening hours?")

    told = at_once(ask)

    assert sum(reply.message is not None for reply in told) == 1
    assert {reply.text for reply in told if reply.message is None} == {own.unavailable_message}
    assert Entry.objects.filter(sub_account_id=own.public_id, kind="ai_reply").count() == 1
    assert nothing_is_held(own)
    with enter(own):
        assert Message.objects.filter(role=Message.VISITOR).count() == THREADS
        assert Message.objects.filter(role=Message.BOT).count() == 1
    assert checks.audit() == []


def test_one_message_that_arrives_eight_times_at_once_is_answered_and_charged_once(own: SubAccount, bot: Chatbot) -> None:
    leave(own, 5)
    message_id = uuid4()

    def ask(number: int) -> replies.Reply:
        with enter(own):
            visitor = visitors.meet(own, visitors.hashed("one visitor"))
            return replies.reply(sub_account=own, chatbot=bot, contact=visitor, message_id=message_id, text="What are your opening hours?")

    told = at_once(ask)

    assert len({reply.message.public_id for reply in told if reply.message}) == 1
    assert all(reply.message for reply in told)
    assert Entry.objects.filter(sub_account_id=own.public_id, kind="ai_reply").count() == 1
    assert nothing_is_held(own)


def test_eight_who_take_the_last_three_places_get_three_chatbots(own: SubAccount) -> None:
    own.agency.max_chatbots_override = 3
    own.agency.save(update_fields=["max_chatbots_override"])

    def make(number: int) -> bool:
        with enter(own):
            try:
                chatbots.create(sub_account=own, by=cast.TESTS, name=f"Bot {number}")
            except chatbots.ChatbotLimitReached:
                return False
            return True

    assert sum(at_once(make)) == 3
    own.refresh_from_db()
    with enter(own):
        assert own.chatbots == Chatbot.objects.count() == 3


def test_making_a_chatbot_and_editing_its_sub_account_do_not_lock_each_other(own: SubAccount) -> None:
    """The edit's record refers to the agency, whose row the cap on chatbots is counted under."""

    def make() -> None:
        try:
            with enter(own):
                chatbots.create(sub_account=own, by=cast.TESTS, name="Pipes assistant")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            editing.edit(sub_account=own, by=cast.TESTS, city="Leeds")
            made = other.submit(make)
            sleep(0.3)  # until it waits for the row that is edited
        made.result(10)

    own.refresh_from_db()
    assert (own.city, own.chatbots) == ("Leeds", 1)
