from email.utils import getaddresses

import pytest
from django.conf import settings
from django.core import mail as django_mail
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives

from kit import mail, outbox
from kit.models import OutboxMessage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_outbox")]


@pytest.fixture(autouse=True)
def templates(settings, tmp_path):
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "note.txt").write_text("A note for\n{{ name }}\n\nDear {{ name }},\n\nhello.\n")
    (tmp_path / "mails" / "rich.txt").write_text("Rich\n\nHello {{ name }}\n")
    (tmp_path / "mails" / "rich.html").write_text("<p>Hello {{ name }}</p>\n")
    (tmp_path / "mails" / "broken.txt").write_text("Broken\n\nbody\n")
    (tmp_path / "mails" / "broken.html").write_text("{% include 'mails/missing.html' %}")
    engine = {**settings.TEMPLATES[0], "DIRS": [tmp_path, *settings.TEMPLATES[0]["DIRS"]]}
    settings.TEMPLATES = [engine]


def delivered() -> EmailMultiAlternatives:
    outbox.deliver_due()
    assert len(django_mail.outbox) == 1
    return django_mail.outbox[0]


def test_a_mail_is_rendered_when_it_is_put_and_sent_after():
    mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "Paul & Tess"})
    assert django_mail.outbox == []

    message = delivered()

    assert message.subject == "A note for Paul & Tess"
    assert message.body == "Dear Paul & Tess,\n\nhello.\n"
    assert message.to == ["paul@acme-plumbing.example"]


def test_the_html_version_is_escaped_the_text_version_is_not():
    mail.send(to="paul@acme-plumbing.example", template="mails/rich", context={"name": "<b>Paul</b>"})
    message = delivered()

    assert message.body == "Hello <b>Paul</b>\n"
    assert message.alternatives[0].content == "<p>Hello &lt;b&gt;Paul&lt;/b&gt;</p>\n"


def test_a_mistake_inside_an_html_version_is_not_taken_for_a_missing_one():
    with pytest.raises(Exception, match="missing"):
        mail.send(to="paul@acme-plumbing.example", template="mails/broken", context={})


def test_a_mail_with_a_key_leaves_once():
    for _ in range(3):
        mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "x"}, key="welcome-paul")
    delivered()


def test_a_mail_is_not_readable_while_it_waits_nor_after():
    mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "canopy-demo-2026"})
    assert "canopy-demo-2026" not in str(OutboxMessage.objects.get().payload)
    delivered()
    assert OutboxMessage.objects.get().payload == {}


@pytest.mark.parametrize(
    "name",
    [
        'Bank" <ceo@bank.example>, "x',
        "ceo@bank.example",
        "Name\r\nBcc: victim@example.com",
        "Name\nX-Header: 1",
        "\u202emoc.knab@oec",
        "A" * 500,
        "<script>alert(1)</script>",
        "Grüße & Söhne, Ltd.; x",
        "",
    ],
)
def test_no_sender_name_adds_an_address_or_a_header(name):
    """I17."""
    mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "x"}, sender_name=name)
    message = delivered().message()

    addresses = getaddresses(message.get_all("From"))
    assert [address for _, address in addresses] == [settings.DEFAULT_FROM_EMAIL]
    assert message["Bcc"] is None
    assert message["X-Header"] is None
    assert "\u202e" not in str(message["From"])


@pytest.mark.parametrize("subject", ["Hello\nBcc: victim@example.com", "Hello\r\n\tthere", "Hello\u2028there"])
def test_no_subject_adds_a_header(subject):
    """I17."""
    mail.send_message(EmailMultiAlternatives(subject, "body", None, ["paul@acme-plumbing.example"]))
    message = delivered().message()

    assert message["Bcc"] is None
    assert "\n" not in str(message["Subject"])


@pytest.mark.parametrize("address", ["paul@acme.example\nBcc: x@example.com", "paul", "a@b.example, c@d.example", ""])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValidationError):
        mail.send(to=address, template="mails/note", context={"name": "x"})
    with pytest.raises(ValidationError):
        mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "x"}, reply_to=address or "nobody")


def test_a_message_composed_elsewhere_keeps_its_html_version():
    composed = EmailMultiAlternatives("Confirm", "text", None, ["paul@acme-plumbing.example"], reply_to=["nora@northlight.example"])
    composed.attach_alternative("<p>html</p>", "text/html")
    mail.send_message(composed)
    message = delivered()

    assert message.alternatives[0].content == "<p>html</p>"
    assert message.reply_to == ["nora@northlight.example"]


def test_a_mail_server_that_is_down_gets_the_mail_later(monkeypatch):
    """R19."""

    def refuse(self) -> int:
        raise ConnectionRefusedError

    mail.send(to="paul@acme-plumbing.example", template="mails/note", context={"name": "x"})
    with monkeypatch.context() as away:
        away.setattr(EmailMultiAlternatives, "send", refuse)
        assert outbox.deliver_due() == 0
    OutboxMessage.objects.update(due_at="2020-01-01T00:00Z")

    delivered()
