"""At most one mail a day to each side about each client, to whom it concerns, with nothing they may not read."""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agency import alerting, notices
from agency.models import Agency, Category, Membership, Notice, NoticeMail
from agency.notices import Word
from subaccounts import alert_mails, lifecycle
from subaccounts.models import SubAccount
from tests.alerts.conftest import mails, show_balances
from tests.cast import TESTS, Cast

_keys = count()


def tell(
    agency: Agency, sub_account: SubAccount | None = None, audience: str = "agency", category: str = "spike", title: str = ""
) -> Notice:
    told = notices.tell(
        agency=agency, sub_account_id=sub_account.public_id if sub_account else None, audience=audience, category=category,
        key=f"test:{next(_keys)}", word=Word(title or f"Alert {next(_keys)}", "What happened.", "/credits/"),
    )  # fmt: skip
    assert told is not None
    return told


def at(text: str) -> time_machine.travel:
    """A moment in the agency's own time zone."""
    return time_machine.travel(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Stockholm")), tick=False)


def test_the_first_alert_goes_at_once_and_the_rest_of_the_day_the_next_morning(cast: Cast) -> None:
    agency, acme = cast.northlight, cast.acme
    with at("2026-11-20 10:00"):
        tell(agency, acme, title="Acme Plumbing: first")
        alert_mails.send_due()
        assert {mail["subject"] for mail in mails()} == {"Acme Plumbing: first"}
        assert sorted(mail["to"][0] for mail in mails()) == ["adam@northlight.example", "nora@northlight.example"]
    with at("2026-11-20 15:00"):
        tell(agency, acme, title="Acme Plumbing: second")
        tell(agency, acme, title="Acme Plumbing: third")
        alert_mails.send_due()
        assert len(mails()) == 2
    with at("2026-11-21 07:59"):
        tell(agency, acme, title="Acme Plumbing: early")
        alert_mails.send_due()
        assert len(mails()) == 2
    with at("2026-11-21 08:00"):
        alert_mails.send_due()
    digest = mails()[2]
    assert digest["subject"] == "Acme Plumbing: second (and 2 more)"
    assert all(word in digest["text"] for word in ("second", "third", "early"))
    with at("2026-11-21 09:00"):
        tell(agency, acme)
        alert_mails.send_due()
    assert len(mails()) == 4


def test_each_client_and_each_side_has_its_own_mail(cast: Cast) -> None:
    for sub_account in (cast.acme, cast.koala, None):
        tell(cast.northlight, sub_account)
    tell(cast.northlight, cast.acme, "client")
    alert_mails.send_due()
    assert len(mails()) == 2 * 3 + 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    begin=st.sampled_from([date(2026, 3, 27), date(2026, 10, 23), date(2026, 11, 20)]),
    zone=st.sampled_from(["Europe/Stockholm", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]),
    alerts=st.lists(st.tuples(st.integers(0, 5 * 24 * 60), st.booleans(), st.booleans()), max_size=25),
    outage=st.tuples(st.integers(0, 4 * 24 * 60), st.integers(0, 1500)),
)
def test_whatever_happens_no_side_has_two_mails_a_day_and_nothing_is_left_out(
    cast: Cast, begin: date, zone: str, alerts: list[tuple[int, bool, bool]], outage: tuple[int, int]
) -> None:
    """Alerts in random minutes, a sweep every half an hour that is down for a while, clocks that change in the middle."""
    agency, acme = cast.northlight, cast.acme
    Notice.objects.all().delete()
    NoticeMail.objects.all().delete()
    Agency.objects.filter(pk=agency.pk).update(time_zone=zone)
    agency.refresh_from_db()
    start = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    down = range(outage[0], outage[0] + outage[1])
    events = [(minute, 0, who) for minute, *who in alerts] + [(minute, 1, []) for minute in range(0, 8 * 24 * 60, 30) if minute not in down]
    for minute, is_sweep, who in sorted(events, key=lambda event: event[:2]):
        with time_machine.travel(start + timedelta(minutes=minute), tick=False):
            if is_sweep:
                alert_mails.send_due()
            else:
                tell(agency, acme if who[0] else None, "client" if all(who) else "agency")

    sent = NoticeMail.objects.filter(agency=agency)
    assert not sent.filter(sent_at=None).exists()
    assert not Notice.objects.filter(agency=agency, mail__sent_at=None).exists()
    days = [(mail.sub_account_id, mail.audience, mail.sent_at and mail.sent_at.astimezone(ZoneInfo(zone)).date()) for mail in sent]
    assert len(days) == len(set(days))
    for notice in Notice.objects.select_related("mail"):
        assert notice.mail is not None
        assert notice.mail.sent_at is not None
        assert notice.mail.sent_at - notice.at <= timedelta(hours=34, minutes=outage[1])


def test_an_agency_that_moves_westwards_has_no_second_mail_on_its_longer_day(cast: Cast) -> None:
    agency = cast.northlight
    with at("2026-11-20 10:00"):
        tell(agency, cast.acme)
        alert_mails.send_due()
        tell(agency, cast.acme)
    Agency.objects.filter(pk=agency.pk).update(time_zone="Pacific/Honolulu")
    with at("2026-11-21 08:00"):
        alert_mails.send_due()
    waiting = NoticeMail.objects.get(sent_at=None)
    assert waiting.due_at == datetime(2026, 11, 21, 8, tzinfo=ZoneInfo("Pacific/Honolulu"))
    with at("2026-11-21 19:00"):
        alert_mails.send_due()
    assert len(mails()) == 4


def test_a_digest_leaves_out_what_its_reader_may_no_longer_read(cast: Cast) -> None:
    """Decision 6: hidden means hidden in mails too, and from the moment it is."""
    show_balances(cast.acme)
    tell(cast.northlight, cast.acme, "client", Category.LOW_BALANCE, "Acme Plumbing: 12 credits left")
    tell(cast.northlight, cast.acme, "client", Category.STOPPED, "Acme Plumbing: your assistant stopped answering")
    show_balances(cast.acme, SubAccount.HIDDEN)

    alert_mails.send_due()

    (mail,) = mails()
    assert mail["to"] == ["paul@acme-plumbing.example"]
    assert "12 credits" not in mail["subject"] + mail["text"]
    assert "Northlight Digital" in mail["from"]


def test_a_client_suspended_since_gets_none_and_the_day_is_not_used_up(cast: Cast) -> None:
    tell(cast.northlight, cast.acme, "client")
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    alert_mails.send_due()
    assert mails() == []
    assert not NoticeMail.objects.exists()


def test_a_category_switched_off_meanwhile_is_not_mailed(cast: Cast) -> None:
    tell(cast.northlight, cast.acme)
    alerting.choose_channels(agency=cast.northlight, channels={"spike": alerting.Channel(by_mail=False)}, by=TESTS, subject="the team")
    alert_mails.send_due()
    assert mails() == []


def test_the_chosen_are_mailed_and_a_member_hears_only_of_granted_clients_and_no_credits(cast: Cast) -> None:
    """E-06"""
    chosen = Membership.objects.filter(user__in=[cast.nora, cast.mia])
    alerting.choose_rules(agency=cast.northlight, spike_factor=3, spike_least=50, recipients=chosen, by=TESTS)
    tell(cast.northlight, cast.acme, category=Category.LOW_BALANCE, title="Acme Plumbing: 12 credits left")
    tell(cast.northlight, cast.acme, category=Category.STOPPED, title="Acme Plumbing: assistant stopped answering")
    tell(cast.northlight, cast.koala, category=Category.STOPPED)
    tell(cast.northlight, category=Category.LOW_BALANCE)

    alert_mails.send_due()

    to_mia = [mail for mail in mails() if mail["to"] == ["mia@northlight.example"]]
    assert [mail["subject"] for mail in to_mia] == ["Acme Plumbing: assistant stopped answering"]
    assert "12 credits" not in to_mia[0]["text"]
    assert len(mails()) == 3 + 1


def test_when_all_who_were_chosen_have_left_it_goes_to_owner_and_admins(cast: Cast) -> None:
    chosen = Membership.objects.filter(user=cast.mia)
    alerting.choose_rules(agency=cast.northlight, spike_factor=3, spike_least=50, recipients=chosen, by=TESTS)
    chosen.delete()
    assert [member.user for member in alerting.recipients_of(cast.northlight)] == [cast.nora, cast.adam]


@pytest.mark.parametrize("name", ["Acme\r\nBcc: everybody@evil.example", "Acme\n\n<b>Plumbing</b>", "<script>alert(1)</script>", "A" * 500])
def test_i17_no_name_breaks_a_mail(cast: Cast, name: str) -> None:
    tell(cast.northlight, cast.acme, title=f"{name}: 12 credits left")
    alert_mails.send_due()
    for mail in mails():
        assert "\n" not in mail["subject"]
        assert len(mail["subject"]) <= 200
        assert mail["text"].startswith("Hello ")
        assert mail["html"] == ""


def test_an_address_that_is_none_keeps_nobody_from_their_mail(cast: Cast) -> None:
    nora = cast.nora
    nora.email = "no address"
    nora.save(update_fields=["email"])
    tell(cast.northlight, cast.acme)
    alert_mails.send_due()
    assert [mail["to"] for mail in mails()] == [["adam@northlight.example"]]
