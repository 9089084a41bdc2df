"""docs/doors.md says which doors leave no record and why, as the doors themselves do."""

from pathlib import Path

from agency.models import AuditRecord
from kit.management.commands.doors import listing
from subaccounts.tenancy import enter
from tests.cast import Cast, Visitor, host_of
from tests.workspace.conftest import make_chatbot
from workspace.models import Contact, Conversation


def test_the_page_is_what_the_doors_say() -> None:
    page = Path(__file__).parents[2] / "docs" / "doors.md"
    assert page.read_text() == listing(), "run: python manage.py doors > docs/doors.md"


def test_every_reason_is_a_sentence_and_not_an_excuse() -> None:
    reasons = {line.split(" | ")[-1].strip(" |") for line in listing().splitlines() if line.startswith("| ") and "`" in line}
    assert len(reasons) > 10
    assert [reason for reason in reasons if len(reason.split()) < 3] == []


def test_an_answer_without_words_stands_on_the_page_with_its_error(cast: Cast) -> None:
    with enter(cast.acme) as acme:
        chatbot = make_chatbot(acme)
        conversation = Conversation.objects.create(chatbot=chatbot, contact=Contact.objects.create(name="Pat"))
    before = AuditRecord.objects.count()
    page = Visitor(host_of(acme), cast.paul).post(f"/inbox/{conversation.public_id}/answer/", {"text": "  "})
    assert page.status_code == 200
    assert "This field is required" in page.content.decode()
    assert AuditRecord.objects.count() == before
