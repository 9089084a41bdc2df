"""The main job: one reply, one credit, one transaction."""

from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.test import override_settings
from django.urls import reverse

from agency.models import AuditRecord, User
from credits import ledger, rates
from credits.models import Entry, Hold
from subaccounts import lifecycle
from subaccounts.models import DailyFigures, SubAccount
from tests.cast import TESTS, Visitor, host_of
from workspace import conversations, replies, responder, visitors
from workspace.models import Chatbot, Contact, Conversation, Message

QUESTION = "What are your opening hours?"


@pytest.fixture
def visitor(acme: SubAccount) -> Contact:
    return visitors.meet(acme, visitors.hashed("a visitor"))


def ask(sub_account: SubAccount, bot: Chatbot, visitor: Contact, text: str = QUESTION, message_id: UUID | None = None) -> replies.Reply:
    return replies.reply(
        sub_account=sub_account,
        chatbot=bot,
        contact=visitor,
        message_id=message_id or uuid4(),
        text=text,
        page_url="https://acme.example/?x=1",
    )


def available(sub_account: SubAccount) -> int:
    return sum(wallet.balance - wallet.held for wallet in sub_account.credit_sources("credit"))


def charge(sub_account: SubAccount, amount: int) -> None:
    owner_id, agency_id = sub_account.public_id, sub_account.agency.public_id
    rates.set_rate(owner_kind="sub_account", owner_id=owner_id, kind="ai_reply", amount=amount, by=TESTS, agency_id=agency_id)


def empty(sub_account: SubAccount) -> None:
    for wallet in sub_account.credit_sources("credit"):
        if wallet.balance:
            ledger.spend(sources=[wallet], amount=wallet.balance, key=f"empty-{wallet.pk}", kind="adjustment", by=TESTS)


def test_a_reply_costs_one_credit_and_the_entry_names_contact_and_chatbot(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    before = available(acme)

    told = ask(acme, bot, visitor)

    assert "Monday to Friday" in told.text
    assert available(acme) == before - 1
    assert told.message is not None
    entry = Entry.objects.get(key=told.message.entry_key)
    assert (entry.kind, entry.amount, entry.contact, entry.bot) == ("ai_reply", 1, visitor.label, bot.name)
    assert entry.sub_account_id == acme.public_id
    assert entry.reference == told.question.conversation.public_id.hex


def test_a_reply_costs_what_its_rate_says_and_the_conversation_shows_it(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    charge(acme, 3)
    before = available(acme)

    told = ask(acme, bot, visitor)

    assert available(acme) == before - 3
    assert told.message is not None
    assert Entry.objects.get(key=told.message.entry_key).amount == 3
    person = User.objects.get(email="paul@acme-plumbing.example")
    thread = reverse("conversation_thread", args=[told.question.conversation.public_id], urlconf=settings.WORKSPACE_URLCONF)
    page = Visitor(host_of(acme), person).get(thread)
    assert f"{bot.name} · 3 credits" in page.content.decode()


def test_a_reply_that_costs_several_credits_draws_on_wallet_and_pool(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    wallet, pool = acme.credit_sources("credit")
    ledger.spend(sources=[wallet], amount=wallet.balance - 1, key="t:all-but-one", kind="ai_reply", by=TESTS)
    charge(acme, 3)

    told = ask(acme, bot, visitor)

    assert told.message is not None
    assert ledger.amounts_of([told.message.entry_key, "no such key"]) == {told.message.entry_key: 3}
    assert (acme.wallet("credit").balance, acme.agency.pool("credit").balance) == (0, pool.balance - 2)


def test_a_try_that_died_at_another_rate_is_left_and_the_next_one_pays_what_holds_now(
    acme: SubAccount, bot: Chatbot, visitor: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id, before = uuid4(), sum(wallet.balance for wallet in acme.credit_sources("credit"))
    with monkeypatch.context() as dying:
        dying.setattr(responder, "answer", lambda *_: 1 / 0)
        dying.setattr(replies, "_let_go", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            ask(acme, bot, visitor, message_id=message_id)
    charge(acme, 2)

    told = ask(acme, bot, visitor, message_id=message_id)

    assert told.message is not None
    assert sum(wallet.balance for wallet in acme.credit_sources("credit")) == before - 2
    assert Hold.objects.filter(sub_account_id=acme.public_id, state=Hold.OPEN).count() == 1, "until its five minutes are over"


def test_a_reply_adds_to_the_figures_of_the_day(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    ask(acme, bot, visitor)
    ask(acme, bot, visitor, "Do you charge for a quote?")

    day = DailyFigures.objects.get(sub_account=acme)
    assert (day.conversations, day.messages, day.replies, day.contacts) == (1, 4, 2, 1)


def test_the_same_message_again_gets_the_same_answer_and_is_charged_once(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    before, message_id = available(acme), uuid4()

    first = ask(acme, bot, visitor, message_id=message_id)
    again = ask(acme, bot, visitor, message_id=message_id)

    assert again.message == first.message
    assert available(acme) == before - 1
    assert Message.objects.count() == 2


def test_the_same_id_from_another_visitor_is_another_message(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    message_id = uuid4()
    other = visitors.meet(acme, visitors.hashed("another"))

    mine, theirs = ask(acme, bot, visitor, message_id=message_id), ask(acme, bot, other, message_id=message_id)

    assert mine.question.conversation != theirs.question.conversation


def test_not_knowing_costs_a_reply_too_and_asks_for_an_address(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    before = available(acme)

    told = ask(acme, bot, visitor, "Who won the football world cup in 1998?")

    assert told.wants_contact
    assert "I do not know" in told.text
    assert available(acme) == before - 1
    assert Conversation.objects.get().unknown_count == 1


def test_an_empty_workspace_stores_the_question_and_says_so_politely(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    empty(acme)

    told = ask(acme, bot, visitor)

    assert told.message is None
    assert told.text == acme.unavailable_message
    assert Message.objects.get().outcome == Message.UNAVAILABLE
    assert available(acme) == 0


def test_once_there_are_credits_again_the_same_message_is_answered(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    message_id = uuid4()
    empty(acme)
    ask(acme, bot, visitor, message_id=message_id)
    ledger.grant(to=acme.wallet("credit"), amount=1, source="purchase", key="topped up", by=TESTS)

    assert ask(acme, bot, visitor, message_id=message_id).message is not None
    assert available(acme) == 0


def test_a_question_nothing_could_pay_for_waits_for_a_person_until_it_is_answered(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    message_id = uuid4()
    empty(acme)
    for _ in range(2):
        ask(acme, bot, visitor, message_id=message_id)
    assert Conversation.objects.get().unknown_count == 1

    ledger.grant(to=acme.wallet("credit"), amount=1, source="purchase", key="topped up", by=TESTS)
    ask(acme, bot, visitor, message_id=message_id)
    assert Conversation.objects.get().unknown_count == 0


def test_a_suspended_workspace_spends_nothing(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    before = available(acme)
    lifecycle.suspend(sub_account=acme, by=TESTS)

    told = ask(acme, bot, visitor)

    assert (told.message, told.text) == (None, acme.unavailable_message)
    assert available(acme) == before
    assert Message.objects.get().text == QUESTION


def test_a_suspension_while_the_answer_is_being_found_spends_nothing(
    acme: SubAccount, bot: Chatbot, visitor: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, find = available(acme), responder.answer

    def meanwhile(chatbot: Chatbot, question: str) -> responder.Answer:
        lifecycle.suspend(sub_account=acme, by=TESTS)
        return find(chatbot, question)

    monkeypatch.setattr(responder, "answer", meanwhile)
    told = ask(acme, bot, visitor)

    assert told.message is None
    assert available(acme) == before
    assert not Hold.objects.filter(state=Hold.OPEN).exists()


def test_j06_a_responder_that_fails_gives_the_credit_back_and_a_retry_answers(
    acme: SubAccount, bot: Chatbot, visitor: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, message_id = available(acme), uuid4()

    def fail(chatbot: Chatbot, question: str) -> responder.Answer:
        raise TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(responder, "answer", fail)
        with pytest.raises(TimeoutError):
            ask(acme, bot, visitor, message_id=message_id)
    assert available(acme) == before

    assert ask(acme, bot, visitor, message_id=message_id).message is not None
    assert available(acme) == before - 1


def test_j06_a_hold_that_expired_with_its_worker_does_not_block_the_retry(
    acme: SubAccount, bot: Chatbot, visitor: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, message_id = available(acme), uuid4()
    question = conversations.hear(sub_account=acme, chatbot=bot, contact=visitor, message_id=message_id, text=QUESTION)
    dead = replies._hold(acme, question, TESTS)
    ledger.release(hold=dead, by=TESTS)

    assert ask(acme, bot, visitor, message_id=message_id).message is not None
    assert available(acme) == before - 1


@override_settings(WIDGET_DAILY_REPLIES=2)
def test_j03_the_daily_cap_is_exact_and_closes(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    before = available(acme)

    told = [ask(acme, bot, visitor) for _ in range(4)]

    assert [reply.message is not None for reply in told] == [True, True, False, False]
    assert told[-1].text == acme.unavailable_message
    assert available(acme) == before - 2


@override_settings(WIDGET_DAILY_REPLIES=10)
def test_j03_the_agency_is_told_at_half_at_eighty_and_at_a_hundred_percent(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    for _ in range(12):
        ask(acme, bot, visitor)

    told = AuditRecord.objects.filter(action="workspace.daily_replies", sub_account_id=acme.public_id).order_by("at")
    assert [record.subject for record in told] == [
        "5 of 10 replies of today (50 %)",
        "8 of 10 replies of today (80 %)",
        "10 of 10 replies of today (100 %)",
    ]


def test_whoever_takes_over_while_the_chatbot_thinks_is_not_talked_over(
    acme: SubAccount, bot: Chatbot, visitor: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, think = available(acme), responder.answer

    def taken_over(chatbot: Chatbot, question: str) -> responder.Answer:
        conversations.say(conversation=Conversation.objects.get(), text="I am here.", by=TESTS, sub_account=acme)
        return think(chatbot, question)

    monkeypatch.setattr(responder, "answer", taken_over)
    told = ask(acme, bot, visitor)

    assert (told.text, told.message) == ("", None)
    assert available(acme) == before
    assert Hold.objects.get(sub_account_id=acme.public_id).state == Hold.RELEASED
    assert [line.role for line in Message.objects.order_by("id")] == ["visitor", "person"]


def test_while_a_person_answers_the_chatbot_is_quiet_and_free(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    conversation = ask(acme, bot, visitor).question.conversation
    conversations.say(conversation=conversation, text="Paul here. How can I help?", by=TESTS, sub_account=acme)
    before = available(acme)

    told = ask(acme, bot, visitor, "Do you charge for a quote?")

    assert (told.message, told.text) == (None, "")
    assert available(acme) == before
    conversation.refresh_from_db()
    assert conversation.unknown_count == 1

    conversations.set_status(conversation=conversation, status=Conversation.BOT, by=TESTS, sub_account=acme)
    assert ask(acme, bot, visitor, "Do you charge for a quote?").message is not None


@pytest.mark.parametrize("text", ["", "   \n ", "\x07"])
def test_an_empty_message_is_refused(acme: SubAccount, bot: Chatbot, visitor: Contact, text: str) -> None:
    with pytest.raises(conversations.EmptyMessage):
        ask(acme, bot, visitor, text)


def test_a_message_over_two_thousand_characters_is_refused(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    with pytest.raises(conversations.MessageTooLong):
        ask(acme, bot, visitor, "a" * 2001)
    assert not Message.objects.exists()


def test_the_page_is_kept_without_what_follows_it(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:
    assert ask(acme, bot, visitor).question.conversation.page_url == "https://acme.example/"
