"""The workspace through its pages: who may what, what a page says, what a form does."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from agency.models import AuditRecord
from kit import clock, outbox
from subaccounts import lifecycle
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from tests.cast import TESTS, Cast, Visitor, host_of
from tests.workspace.conftest import make_chatbot
from workspace import imports, leads, replies, visitors
from workspace.models import Chatbot, Contact, Conversation, Faq, FaqImport, Lead, Message

URLS = "config.workspace_urls"
CSV = b'question,answer\nDo you work on Sundays?,"Yes, from 10:00."\nWhat are your opening hours?,Always.\n,No question\nDo you work on Sundays?,Twice\n'


def url(name: str, *args: object) -> str:
    return reverse(name, urlconf=URLS, args=args)


@pytest.fixture
def paul(cast: Cast) -> Visitor:
    return Visitor(host_of(cast.acme), cast.paul)


@pytest.fixture
def tess(cast: Cast) -> Visitor:
    return Visitor(host_of(cast.acme), cast.tess)


@pytest.fixture
def bot(cast: Cast) -> Chatbot:
    with enter(cast.acme) as acme:
        return make_chatbot(acme)


@pytest.fixture
def talk(cast: Cast, bot: Chatbot) -> Conversation:
    with enter(cast.acme) as acme:
        visitor = visitors.meet(acme, visitors.hashed("a visitor"))
        for text in ("What are your opening hours?", "Who won the world cup in 1998?"):
            told = replies.reply(sub_account=acme, chatbot=bot, contact=visitor, message_id=uuid4(), text=text)
        leads.leave(sub_account=acme, chatbot=bot, contact=visitor, name="=HYPERLINK(1)", email="v@example.org", phone="")
        return told.question.conversation


def test_a_new_workspace_says_what_to_do_next(paul: Visitor) -> None:
    page = paul.get("/").content.decode()
    assert "What to do next" in page
    assert url("chatbot_new") in page


def test_a_chatbot_is_made_taught_and_installed(paul: Visitor, cast: Cast) -> None:
    made = paul.post(
        url("chatbot_new"),
        {
            "name": "Acme assistant",
            "greeting": "Hello!",
            "tone": "formal",
            "accent": "#2F6F4F",
            "allowed_websites": "https://www.acme.example/contact",
            "collects_leads": "on",
        },
    )

    with enter(cast.acme):
        bot = Chatbot.objects.get()
    assert made.headers["Location"] == url("faq_list", bot.public_id)
    assert (bot.allowed_websites, bot.accent) == (["https://acme.example"], "#2f6f4f")
    assert cast.acme.chatbots == 1
    assert AuditRecord.objects.filter(action="chatbot.created", sub_account_id=cast.acme.public_id).exists()
    assert f"data-chatbot=&quot;{bot.public_id}&quot;" in paul.get(url("chatbot_install", bot.public_id)).content.decode()


@pytest.mark.parametrize("website", ["acme.example; script-src *", "'none'", "javascript:alert(1)", "https://*", "a" * 300, "intranet"])
def test_a_website_that_could_change_the_policy_is_refused(paul: Visitor, cast: Cast, website: str) -> None:
    page = paul.post(url("chatbot_new"), {"name": "A", "greeting": "Hi", "tone": "brief", "accent": "#000000", "allowed_websites": website})
    assert page.status_code == 200
    assert "Check what is marked" in page.content.decode()
    with enter(cast.acme):
        assert not Chatbot.objects.exists()


def test_the_agencys_cap_on_chatbots_counts_all_its_sub_accounts(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    northlight = cast.northlight
    northlight.max_chatbots_override = 2
    northlight.save()
    with enter(cast.koala) as koala:
        make_chatbot(koala, "koala-legal")

    refused = paul.post(url("chatbot_new"), {"name": "Third", "greeting": "Hi", "tone": "brief", "accent": "#000000"})

    assert refused.status_code == 409
    assert "upgrade its plan" in refused.content.decode()
    assert cast.acme.chatbots == 1


def test_removing_a_chatbot_frees_its_place_and_keeps_what_was_said(paul: Visitor, cast: Cast, bot: Chatbot, talk: Conversation) -> None:
    paul.post(url("chatbot_removal", bot.public_id))

    assert cast.acme.chatbots == 0
    assert paul.get(url("chatbot", bot.public_id)).status_code == 404
    assert paul.get(url("conversation_thread", talk.public_id)).status_code == 200


def test_faqs_are_added_changed_found_and_deleted(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    paul.post(url("faq_new", bot.public_id), {"question": "Do you sell  pipes?", "answer": "Yes & no <b>"})
    with enter(cast.acme):
        faq = Faq.objects.get(question="Do you sell pipes?")
    assert "Yes &amp; no &lt;b&gt;" in paul.get(url("faq_list", bot.public_id), {"q": "sell pipes"}).content.decode()

    paul.post(url("faq", bot.public_id, faq.public_id), {"question": "Do you sell pipes?", "answer": "No."})
    assert "already answers" in paul.post(url("faq_new", bot.public_id), {"question": "do you sell PIPES?", "answer": "x"}).content.decode()
    with enter(cast.acme):
        faq.refresh_from_db()
        assert faq.answer == "No."

    paul.post(url("faq_deletion", bot.public_id, faq.public_id))
    assert "Nothing found" in paul.get(url("faq_list", bot.public_id), {"q": "sell pipes"}).content.decode()


def upload(paul: Visitor, bot: Chatbot, content: bytes = CSV) -> str:
    made = paul.post(url("faq_import_new", bot.public_id), {"file": SimpleUploadedFile("faqs.csv", content, "text/csv")})
    assert made.status_code == 302, made.content.decode()
    return str(made.headers["Location"])


def test_an_import_shows_what_would_happen_and_writes_nothing_before_it_is_confirmed(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    page = paul.get(upload(paul, bot)).content.decode()

    assert "Import 2 rows" in page
    assert "The question is empty." in page
    assert "The same question stands in line 2." in page
    with enter(cast.acme):
        assert bot.faqs.count() == 28


def test_a_file_without_one_good_row_is_not_said_to_be_known(paul: Visitor, bot: Chatbot) -> None:
    page = paul.get(upload(paul, bot, b"question,answer\nNo answer?,\n")).content.decode()

    assert "no row of this file can be used" in page
    assert "knows every good row" not in page


def test_a_confirmed_import_is_written_by_the_outbox_and_says_so(
    paul: Visitor, cast: Cast, bot: Chatbot, django_capture_on_commit_callbacks: Callable
) -> None:
    address = upload(paul, bot)
    paul.post(address + "confirmation/")
    assert "Importing" in paul.get(address).content.decode()

    while outbox.deliver_due():
        pass

    assert "knows the new answers" in paul.get(address).content.decode()
    with enter(cast.acme):
        assert bot.faqs.count() == 29
        assert bot.faqs.get(question="What are your opening hours?").answer == "Always."
    assert b"The question is empty." in paul.get(address + "rejected.csv").content
    assert paul.post(address + "confirmation/").status_code == 409


def test_a_long_import_goes_on_in_steps_that_may_repeat(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    rows = "".join(f"Question number {n}?,Answer {n}\n" for n in range(120))
    address = upload(paul, bot, f"question,answer\n{rows}".encode())
    while outbox.deliver_due():  # the cast's own mails
        pass
    paul.post(address + "confirmation/")

    progress = []
    for _ in range(3):
        outbox.deliver_due(limit=1)
        with enter(cast.acme):
            progress.append(FaqImport.objects.get().done)

    assert progress == [50, 100, 120]
    with enter(cast.acme):
        assert bot.faqs.count() == 148


def test_f01_an_import_stands_still_while_the_client_is_suspended(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    address = upload(paul, bot)
    paul.post(address + "confirmation/")
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    while outbox.deliver_due():
        pass
    with enter(cast.acme):
        assert bot.faqs.count() == 28

    lifecycle.restore(sub_account=cast.acme, by=TESTS)
    with clock.at(clock.now() + imports.LOOK_AGAIN):
        while outbox.deliver_due():
            pass
    with enter(cast.acme):
        assert bot.faqs.count() == 29


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "must name the columns"),
        (b"question,answer\n", "no row below"),
        (b"question,answer\n\xff\xfe,x\n", "not UTF-8"),
        (b"question,answer\n" + b"q,a\n" * 2001, "More than 2000 rows"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(paul: Visitor, bot: Chatbot, content: bytes, says: str) -> None:
    page = paul.post(url("faq_import_new", bot.public_id), {"file": SimpleUploadedFile("x.csv", content)})
    assert says in page.content.decode()


def test_k08_a_header_of_two_million_columns_costs_no_more_than_reading_it(paul: Visitor, bot: Chatbot) -> None:
    started = time.process_time()

    page = paul.get(upload(paul, bot, b"question,answer" + b"," * 1_980_000 + b"\n" + b"a\n" * 1999)).content.decode()

    assert time.process_time() - started < 2.5
    assert "The answer is empty." in page


def test_a_semicolon_file_with_a_byte_order_mark_is_read(paul: Visitor, bot: Chatbot) -> None:
    assert (
        "Import 1 row" in paul.get(upload(paul, bot, b"\xef\xbb\xbfAnswer;Question\r\nOf course.;Do you do saunas?\r\n")).content.decode()
    )


def test_an_import_means_the_question_the_database_means(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    """Python's capitals of Straße are STRASSE, PostgreSQL's are not: the import must find the row its unique index finds."""
    with enter(cast.acme):
        Faq.objects.create(chatbot=bot, question="In welcher Straße?", answer="Mill Road")
    address = upload(paul, bot, "question,answer\nIn welcher Straße?,Mill Road 12\n".encode())
    paul.post(address + "confirmation/")

    while outbox.deliver_due():
        pass

    with enter(cast.acme):
        assert FaqImport.objects.get().state == FaqImport.DONE
        assert bot.faqs.get(question="In welcher Straße?").answer == "Mill Road 12"


def test_testing_shows_answer_and_matches_and_stores_nothing(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    page = paul.get(url("chatbot_test", bot.public_id), {"q": "when do you open?"}).content.decode()
    assert "Monday to Friday" in page
    assert "costs nothing" in page
    with enter(cast.acme):
        assert not Message.objects.exists()


def test_a_person_answers_takes_over_and_hands_back(paul: Visitor, cast: Cast, talk: Conversation) -> None:
    paul.post(url("conversation_answer", talk.public_id), {"text": "France did."})
    with enter(cast.acme):
        talk.refresh_from_db()
        assert (talk.status, talk.unknown_count) == (Conversation.PERSON, 0)
    assert "France did." in paul.get(url("conversation_thread", talk.public_id)).content.decode()

    paul.post(url("conversation_status", talk.public_id), {"status": "bot"})
    paul.post(url("conversation_status", talk.public_id), {"status": "closed"})
    assert paul.post(url("conversation_answer", talk.public_id), {"text": "Too late"}).status_code == 409


def test_the_inbox_is_searched_and_filtered(paul: Visitor, talk: Conversation) -> None:
    listed = url("conversation_thread", talk.public_id)
    for query, is_found in (
        ({"q": "world cup"}, True),
        ({"q": "zebra"}, False),
        ({"status": "waiting"}, True),
        ({"status": "closed"}, False),
    ):
        assert (listed in paul.get(url("conversation_list"), query).content.decode()) is is_found, query


def test_the_inbox_goes_on_page_by_page_without_repeating(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    with enter(cast.acme):
        contact = Contact.objects.create(name="Busy")
        Conversation.objects.bulk_create([Conversation(chatbot=bot, contact=contact, preview=f"row {n:03}") for n in range(70)])
    seen, address = [], url("conversation_list")
    for _ in range(3):
        page = paul.get(address).context["page"]
        seen += [row.preview for row in page.rows]
        address = f"{url('conversation_list')}?cursor={page.after.replace('+', '%2B')}"
    assert len(seen) == len(set(seen)) == 70


@pytest.mark.parametrize("name", ["q", "status", "chatbot", "cursor"])
@pytest.mark.parametrize("value", ["\x00", "9999-12-31T23:59:59-23:59~1", "0001-01-01T00:00:00+23:59~1", "%", "\\", "~"])
def test_k07_nonsense_in_the_address_is_a_page_all_the_same(paul: Visitor, bot: Chatbot, name: str, value: str) -> None:
    for path in (url("conversation_list"), url("lead_list"), url("lead_export"), url("faq_list", bot.public_id)):
        assert paul.get(path, {name: value}).status_code == 200


def test_k01_leads_are_exported_as_text_a_spreadsheet_does_not_run(paul: Visitor, talk: Conversation) -> None:
    exported = b"".join(paul.get(url("lead_export")).streaming_content).decode()
    assert "'=HYPERLINK(1)" in exported
    assert "v@example.org" in exported


def test_a_page_that_looks_for_news_after_signing_out_reloads_whole(cast: Cast) -> None:
    piece = Visitor(host_of(cast.acme)).get(url("conversation_list"), headers={"HX-Request": "true"})
    assert (piece.status_code, piece.headers["HX-Refresh"], piece.content) == (204, "true", b"")


def test_a_lead_is_ticked_off(paul: Visitor, cast: Cast, talk: Conversation) -> None:
    with enter(cast.acme):
        lead = Lead.objects.get()
    paul.post(url("lead_handling", lead.public_id))
    assert "Handled" in paul.get(url("lead_list")).content.decode()


def test_the_usage_page_counts_the_clients_own_replies_and_shows_no_balance(paul: Visitor, cast: Cast, talk: Conversation) -> None:
    page = paul.get(url("workspace_usage"))
    assert page.context["usage"].total == 2
    assert page.context["usage"].kinds == [("Replies by chatbots", 2)]
    assert page.context["usage"].chatbots == [("Acme assistant", 2)]
    assert paul.get(url("workspace_credits")).status_code == 404


def test_the_usage_page_takes_any_range_of_days(paul: Visitor, cast: Cast, talk: Conversation) -> None:
    today = clock.today_in(cast.northlight.time_zone)
    before = {"range": "custom", "first": today - timedelta(days=9), "last": today - timedelta(days=1)}
    assert paul.get(url("workspace_usage"), {"range": "month"}).context["usage"].total == 2
    page = paul.get(url("workspace_usage"), before)
    assert (page.context["usage"].total, page.context["usage"].chatbots) == (0, [])


def test_a_range_that_ends_before_it_begins_is_told_and_kept(paul: Visitor, cast: Cast) -> None:
    page = paul.get(url("workspace_usage"), {"range": "custom", "first": "2026-02-02", "last": "2026-02-01"}).content.decode()
    assert "The range ends before it begins." in page
    assert 'value="2026-02-02"' in page


def test_a_reselling_client_sees_its_balance(paul: Visitor, cast: Cast, talk: Conversation) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(credit_mode=SubAccount.RESELLING)
    page = paul.get(url("workspace_credits"))
    assert page.context["balances"][0].outlook.available == 98


def test_the_settings_are_kept_and_on_record(paul: Visitor, cast: Cast) -> None:
    paul.post(url("workspace_settings"), {"name": "Acme Plumbing & Sons", "unavailable_message": "Call 555-0142."})
    assert (cast.acme.name, cast.acme.unavailable_message) == ("Acme Plumbing & Sons", "Call 555-0142.")
    assert AuditRecord.objects.filter(action="workspace.settings_changed").exists()


def test_e05_a_workspaces_name_is_no_web_address(paul: Visitor, cast: Cast) -> None:
    paul.post("/settings/", {"name": "Locked: https://evil.example", "unavailable_message": "Sorry"})
    assert cast.acme.name == "Acme Plumbing"


def test_a_reader_sees_everything_and_changes_nothing(tess: Visitor, bot: Chatbot, talk: Conversation) -> None:
    for address in (
        url("workspace_home"), url("chatbot_list"), url("chatbot", bot.public_id), url("faq_list", bot.public_id),
        url("chatbot_test", bot.public_id), url("chatbot_install", bot.public_id), url("conversation_list"),
        url("conversation_thread", talk.public_id), url("lead_list"), url("workspace_usage"),
    ):  # fmt: skip
        page = tess.get(address)
        assert page.status_code == 200, address
        assert 'data-kind="primary"' not in page.content.decode() or "Ask" in page.content.decode(), address
    for address in (url("chatbot_new"), url("chatbot_edit", bot.public_id), url("faq_new", bot.public_id), url("workspace_settings")):
        assert tess.get(address).status_code == 403, address
    assert tess.post(url("conversation_answer", talk.public_id), {"text": "x"}).status_code == 403


def test_another_workspaces_objects_are_not_there(cast: Cast, bot: Chatbot, talk: Conversation) -> None:
    kira = Visitor(host_of(cast.koala), cast.kira)
    unknown = kira.get(url("chatbot", uuid4()))
    for address in (url("chatbot", bot.public_id), url("conversation_thread", talk.public_id)):
        page = kira.get(address)
        assert (page.status_code, len(page.content)) == (404, len(unknown.content))


def test_a_suspended_client_reads_and_changes_nothing(paul: Visitor, cast: Cast, bot: Chatbot) -> None:
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    assert paul.get(url("chatbot_list")).status_code == 200
    assert paul.post(url("chatbot_new"), {"name": "x"}).status_code == 403


@pytest.mark.parametrize("page", ["chatbot_list", "conversation_list", "lead_list", "workspace_home"])
def test_lists_cost_the_same_number_of_queries_however_long(
    paul: Visitor, cast: Cast, bot: Chatbot, talk: Conversation, page: str, django_assert_max_num_queries: Callable
) -> None:
    with enter(cast.acme) as acme:
        contact = Contact.objects.create(name="Busy")
        rows = [Conversation(chatbot=bot, contact=contact) for _ in range(40)]
        Conversation.objects.bulk_create(rows)
        Lead.objects.bulk_create([Lead(contact=contact, conversation=row, name="L", email="l@example.org") for row in rows])
        for n in range(3):
            make_chatbot(acme, name=f"Bot {n}")
    with django_assert_max_num_queries(25):
        paul.get(url(page))
