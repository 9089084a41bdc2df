"""The schedule, the invariants and the development mailbox."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.management import CommandError, call_command
from django.test import Client

from config import mailbox
from config.celery import SCHEDULE, app
from kit import health, invariants, outbox
from kit.models import OutboxMessage, Tick

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


def test_everything_on_the_schedule_is_a_task():
    app.loader.import_default_modules()
    assert {task for task, _ in SCHEDULE.values()} <= set(app.tasks)


def test_a_worker_knows_who_delivers_every_topic():
    """What a worker imports by itself, in a process of its own: no test has imported anything there."""
    code = "import django; django.setup(); from config.celery import app; app.loader.import_default_modules();"
    code += "from kit import outbox; print(*sorted(outbox._handlers))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    topics = {line.split('"')[1] for file in ROOT.glob("*/*.py") for line in file.read_text().splitlines() if line.startswith("TOPIC = ")}
    assert topics == set(found)
    assert "mail" in topics


@pytest.mark.parametrize("task", sorted({task for task, _ in SCHEDULE.values()}))
def test_every_task_on_the_schedule_runs_twice_without_harm(task):
    app.loader.import_default_modules()
    for _ in range(2):
        app.tasks[task].apply(throw=True)


def test_a_tick_is_one_row():
    health.tick("worker")
    health.tick("worker")
    assert Tick.objects.count() == 1
    assert not health.is_late("worker")


def test_everything_holds_with_the_cast(cast):
    outbox.deliver_due()  # the cast's own mails have waited since the tests began
    output = StringIO()
    call_command("check_invariants", stdout=output)
    assert "BROKEN" not in output.getvalue()
    assert output.getvalue().count("ok ") == len(invariants._checks)


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setattr(invariants, "_checks", dict(invariants._checks))


def test_what_does_not_hold_is_named_with_its_rows(broken):
    OutboxMessage.objects.create(topic="mail", payload={}, due_at="2020-01-01T00:00Z", last_error="no route to host")
    output = StringIO()

    with pytest.raises(CommandError) as failed:
        call_command("check_invariants", stdout=output)

    assert failed.value.returncode == 1
    assert "BROKEN  no message waits in the outbox" in output.getvalue()
    assert "no route to host" in output.getvalue()


def test_a_workspace_whose_schema_is_not_what_it_says_is_found(cast):
    acme = cast.acme
    acme.fingerprint = "0" * 64
    acme.save(update_fields=["fingerprint"])
    koala = cast.koala
    koala.schema_name = "t_0000000000000000"
    koala.save(update_fields=["schema_name"])

    rows = invariants.check_all()["a workspace is ready exactly when its schema is complete"]

    assert set(rows) == {f"{acme.schema_name} is not what its fingerprint 000000000000 says", "t_0000000000000000 does not exist"}


def test_a_sub_account_without_a_host_name_is_found(cast):
    cast.acme.domains.all().delete()
    rows = invariants.check_all()["every sub-account has its wallets and one primary host name"]
    assert rows == ["acme-plumbing: wallets True, primary host name False"]


@pytest.fixture
def sent(settings, tmp_path):
    """Two mails as the file e-mail backend of a laptop writes them."""
    settings.MAILBOX_DIR = tmp_path
    connection = get_connection("django.core.mail.backends.filebased.EmailBackend", file_path=str(tmp_path))
    first = EmailMultiAlternatives(
        "Grüße <b>", "Set it: http://localhost:8000/x/?a=1\n\nNøra", "a@b.example", ["paul@acme-plumbing.example"]
    )
    second = EmailMultiAlternatives("Second", "plain", "a@b.example", ["tess@acme-plumbing.example"], connection=connection)
    second.attach_alternative("<p>rich<script>alert(1)</script></p>", "text/html")
    first.connection = connection
    with connection:
        first.send()
        second.send()


@pytest.fixture
def client_of_a_laptop() -> Client:
    return Client(HTTP_HOST=settings.BASE_DOMAIN)


def test_the_mailbox_shows_the_newest_first(sent, client_of_a_laptop):
    page = client_of_a_laptop.get("/dev/mail/").content.decode()
    assert page.index("Second") < page.index("Grüße &lt;b&gt;")


def test_a_mail_shows_its_text_with_links_to_click(sent, client_of_a_laptop):
    plain = next(mail for mail in mailbox.mails() if mail.subject.startswith("Gr"))
    page = client_of_a_laptop.get(f"/dev/mail/{plain.name}/").content.decode()

    assert 'href="http://localhost:8000/x/?a=1"' in page
    assert "Nøra" in page


def test_the_html_version_runs_no_scripts(sent, client_of_a_laptop):
    rich = next(mail for mail in mailbox.mails() if mail.html)
    response = client_of_a_laptop.get(f"/dev/mail/{rich.name}/html/")

    assert response.content.decode().startswith("<p>rich")
    assert response["Content-Security-Policy"] == mailbox.HTML_POLICY
    assert "script-src" not in mailbox.HTML_POLICY
    assert "default-src 'none'" in mailbox.HTML_POLICY


def test_an_unknown_mail_is_404(sent, client_of_a_laptop):
    assert client_of_a_laptop.get("/dev/mail/none-such/").status_code == 404
    plain = next(mail for mail in mailbox.mails() if not mail.html)
    assert client_of_a_laptop.get(f"/dev/mail/{plain.name}/html/").status_code == 404


def test_an_empty_mailbox_says_so(settings, tmp_path, client_of_a_laptop):
    settings.MAILBOX_DIR = tmp_path / "not there yet"
    assert "No mail yet" in client_of_a_laptop.get("/dev/mail/").content.decode()
