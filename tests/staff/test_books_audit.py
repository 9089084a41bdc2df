"""Audits on record: what was tampered with is found by night, by command and by the button, and read on the staff's page."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import psycopg.conninfo
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import Sum
from django.utils.html import escape
from structlog.testing import capture_logs

from agency.models import AuditRecord, User
from credits import audits, checks, ledger, tasks
from credits.books import USED, book
from credits.models import AuditRun, Entry, Grant, Wallet
from kit import clock
from tests.cast import TESTS, Visitor
from tests.credits.conftest import Books, Client, books, fresh_key, reserve
from tests.credits.test_laws import busy, execute, tamper
from tests.entrance import Mails
from tests.staff.conftest import HOST

__all__ = ["books", "busy"]

Spoil = Callable[[Client], Any]


def change_a_balance(client: Client) -> None:
    execute("UPDATE credits_wallet SET balance = balance + 1 WHERE id = %s", client.books.pool.pk)


def lose_an_entry(client: Client) -> None:
    tamper("DELETE FROM credits_entry WHERE id = %s", Entry.objects.filter(from_wallet=client.books.pool).earliest("from_sequence").pk)


def overspend_a_grant(client: Client) -> None:
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("ALTER TABLE credits_grant DROP CONSTRAINT grant_never_overspent")
    execute("UPDATE credits_grant SET remaining = -5 WHERE id = %s", Grant.objects.get(wallet=client.wallet, source="starter").pk)


def tear_a_gap(client: Client) -> None:
    tamper("UPDATE credits_entry SET from_sequence = from_sequence + 100 WHERE from_wallet_id = %s", client.books.pool.pk)


def forget_a_hold(client: Client) -> None:
    hold = reserve(client.sources, 3)
    execute("UPDATE credits_hold SET expires_at = now() - interval '2 hours' WHERE id = %s", hold.pk)


SPOILS: dict[str, tuple[Spoil, int]] = {
    "a changed balance": (change_a_balance, 3),
    "a missing entry": (lose_an_entry, 4),
    "an overspent grant": (overspend_a_grant, 7),
    "a gap": (tear_a_gap, 4),
    "a stale hold": (forget_a_hold, 6),
}


@pytest.mark.parametrize("what", SPOILS)
def test_what_was_tampered_with_is_found_everywhere(busy: Client, desk: Visitor, mails: Mails, what: str) -> None:
    spoil, law = SPOILS[what]
    spoil(busy)

    with capture_logs() as logs:
        tasks.audit()
    by_night = AuditRun.objects.latest("started_at")
    assert law in {line["law"] for line in by_night.report}
    assert (by_night.by_label, audits.state(by_night)) == ("nightly audit", audits.State.WRONG)
    assert any(line["log_level"] == "error" and line["event"] == "the books are wrong" for line in logs)
    assert [mail.to for mail in mails()] == [["sara@canopy.example"]]
    assert f"{HOST}/credits/auditrun/{by_night.pk}/change/" in mails()[0].body

    out = StringIO()
    with pytest.raises(CommandError, match="findings"):
        call_command("audit_ledger", stdout=out)
    assert f"law {law} " in out.getvalue()
    assert AuditRun.objects.count() == 2

    page = desk.get(f"/credits/auditrun/{by_night.pk}/change/").content.decode()
    assert escape(checks.LAWS[law]) in page
    assert "The books are wrong" in page
    assert "The books are wrong" in desk.get("/credits/auditrun/").content.decode()


def test_a_finding_about_a_wallet_leads_to_it(busy: Client, desk: Visitor) -> None:
    change_a_balance(busy)
    run = audits.run(by=TESTS)
    pool = busy.books.pool
    assert (
        f'<a href="/credits/wallet/{pool.pk}/change/">unknown agency: pool</a>'
        in desk.get(f"/credits/auditrun/{run.pk}/change/").content.decode()
    )
    assert desk.get(f"/credits/wallet/{pool.pk}/change/").status_code == 200


def test_right_books_are_on_record_and_mail_nobody(busy: Client, sara: User, mails: Mails) -> None:
    run = audits.run(by=TESTS)
    assert (run.findings, run.report, run.error, audits.state(run)) == (0, [], "", audits.State.CLEAN)
    assert run.finished_at is not None
    assert mails() == []


def test_an_audit_keeps_what_every_account_held(busy: Client, desk: Visitor) -> None:
    run = audits.run(by=TESTS)
    ledger.adjust(wallet=busy.books.pool, amount=1_000_000, reason="Only later", key=fresh_key(), by=TESTS)

    of_credits = run.sheet["credit"]
    balances = Wallet.objects.filter(unit="credit").exclude(owner_kind=Wallet.BOOK)
    assert of_credits["pools"] + of_credits["wallets"] == sum(balances.values_list("balance", flat=True)) - 1_000_000
    used = Entry.objects.filter(to_wallet=book(USED, "credit")).aggregate(total=Sum("amount"))["total"]
    assert of_credits["used"] == used > 0
    assert all(sum(accounts.values()) == 0 for accounts in run.sheet.values())
    page = desk.get(f"/credits/auditrun/{run.pk}/change/").content.decode()
    assert "The books then" in page
    assert f'<td class="number">{used:,}</td>' in page


def test_the_mail_goes_to_the_address_of_the_settings(busy: Client, sara: User, mails: Mails, settings: Any) -> None:
    settings.STAFF_EMAIL = "books@canopy.example"
    change_a_balance(busy)
    audits.run(by=TESTS)
    assert [mail.to for mail in mails()] == [["books@canopy.example"]]


def test_a_report_keeps_its_first_thousand_lines(books: Books, monkeypatch: pytest.MonkeyPatch, desk: Visitor) -> None:
    monkeypatch.setattr(checks, "audit", lambda: [checks.Finding(5, f"key {number}", "posted 2 times") for number in range(1234)])
    run = audits.run(by=TESTS)
    assert (run.findings, len(run.report)) == (1234, 1000)
    assert "234 more were found and not kept" in desk.get(f"/credits/auditrun/{run.pk}/change/").content.decode()


# --- Audit now -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the queue was given; nobody works on it."""
    given: list[Any] = []
    monkeypatch.setattr(audits.current_app, "send_task", lambda name, args, **kwargs: given.append((name, args)))
    monkeypatch.setattr("django.db.transaction.on_commit", lambda deed, *args, **kwargs: deed())
    return given


def test_audit_now_is_done_by_a_worker_once(busy: Client, desk: Visitor, handed_over: list[Any]) -> None:
    for _ in range(2):
        assert desk.post("/credits/auditrun/run/").headers["Location"] == "/credits/auditrun/"
    run = AuditRun.objects.get()
    assert handed_over == [("credits.tasks.carry_out_audit", [str(run.pk)])]
    assert AuditRecord.objects.filter(action="books.audit_asked", actor_kind="staff").count() == 1
    page = desk.get("/credits/auditrun/")
    assert "no second one was begun" in page.content.decode()
    assert "Waiting for a worker" in page.content.decode()
    assert page.headers["Refresh"] == "3"

    tasks.carry_out_audit(str(run.pk))
    tasks.carry_out_audit(str(run.pk))
    run.refresh_from_db()
    assert (audits.state(run), run.findings) == (audits.State.CLEAN, 0)
    assert "Refresh" not in desk.get("/credits/auditrun/").headers
    desk.post("/credits/auditrun/run/")
    assert AuditRun.objects.count() == 2


def test_without_a_queue_the_audit_says_so(db: None, desk: Visitor, monkeypatch: pytest.MonkeyPatch, handed_over: list[Any]) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(audits.current_app, "send_task", away)
    desk.post("/credits/auditrun/run/")
    run = AuditRun.objects.get()
    assert audits.state(run) == audits.State.FAILED
    assert "the queue does not answer" in desk.get(f"/credits/auditrun/{run.pk}/change/").content.decode()


def test_the_button_is_posted(desk: Visitor) -> None:
    assert desk.get("/credits/auditrun/run/").status_code == 405


def test_only_who_may_asks(db: None, of_group: Callable[..., Visitor]) -> None:
    browser = of_group("Pricing")
    assert browser.post("/credits/auditrun/run/").status_code == 403
    assert browser.get("/credits/auditrun/").status_code == 403


def test_running_and_died_are_told_apart_by_the_lock(db: None) -> None:
    run = AuditRun.objects.create(by_label="somebody", began_at=clock.now())
    with psycopg.connect(_dsn(), autocommit=True) as worker:
        worker.execute("SELECT pg_advisory_lock(%s, %s)", [audits.LOCK, audits._number(run.pk)])
        assert audits.state(run) == audits.State.RUNNING
        assert audits.ask(by=TESTS) == (run, False)
        assert audits.carry_out(run.pk).finished_at is None, "somebody else is at it"
    assert died(run)


def died(run: AuditRun) -> bool:
    """The server needs a moment to see that a process is gone."""
    for _ in range(100):
        if audits.state(run) == audits.State.DIED:
            return True
        execute("SELECT pg_sleep(0.05)")
    return False


def _dsn() -> str:
    return psycopg.conninfo.make_conninfo(
        **{key: value for key, value in connection.get_connection_params().items() if key in ("dbname", "user", "password", "host", "port")}
    )


def test_an_audit_nobody_takes_up_has_died_after_ten_minutes(db: None) -> None:
    run, _ = audits.ask(by=TESTS)
    with time_machine.travel(clock.now() + timedelta(minutes=11), tick=False):
        assert audits.state(run) == audits.State.DIED
        assert audits.ask(by=TESTS)[1], "a new one may be asked for"


@pytest.mark.django_db(transaction=True)
def test_a_killed_audit_is_shown_as_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own begins an audit, waits in the middle of it, and is killed."""
    script = (
        "import django, sys, time; django.setup()\n"
        "from credits import audits, checks\n"
        "from kit.actor import system\n"
        "checks.audit = lambda: (print('in it', flush=True), time.sleep(60))\n"
        "audits.run(by=system('killed'))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=_environment())
    try:
        assert worker.stdout is not None
        while "in it" not in (line := worker.stdout.readline()):
            assert line, "the process ended too early"
        run = AuditRun.objects.get(by_label="killed")
        assert audits.state(run) == audits.State.RUNNING
    finally:
        worker.kill()
        worker.wait()
    run = AuditRun.objects.get(by_label="killed")
    assert died(run)
    assert run.finished_at is None
    AuditRun.objects.all().delete()


def _environment() -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": _dsn(), "DJANGO_SETTINGS_MODULE": "config.settings"}


def test_what_kept_an_audit_from_ending_is_on_its_row(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long() -> Any:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(checks, "audit", too_long)
    with pytest.raises(OperationalError):
        audits.run(by=TESTS)
    run = AuditRun.objects.get()
    assert audits.state(run) == audits.State.FAILED
    assert "statement timeout" in run.error
