"""Decision 4: when nothing can pay, agency and client are alerted."""

from datetime import timedelta

import time_machine

from agency.models import Notice
from kit import clock
from subaccounts.models import SubAccount
from tests.alerts.conftest import told
from tests.workspace.conftest import acme, bot  # noqa: F401  (fixtures)
from tests.workspace.test_replies import ask, empty, visitor  # noqa: F401  (fixtures)
from workspace.models import Chatbot, Contact


def test_both_sides_hear_once_a_day_that_nothing_can_pay(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:  # noqa: F811
    empty(acme)

    for _ in range(3):
        ask(acme, bot, visitor)

    assert told(acme.agency) == ["Acme Plumbing: assistant stopped answering"]
    assert told(acme.agency, "client") == ["Acme Plumbing: your assistant stopped answering"]
    with time_machine.travel(clock.now() + timedelta(days=1), tick=False):
        ask(acme, bot, visitor)
    assert len(told(acme.agency)) == 2


def test_the_client_reads_no_number_in_it(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:  # noqa: F811
    empty(acme)
    ask(acme, bot, visitor)
    notice = Notice.objects.get(agency=acme.agency, audience="client")
    assert not any(character.isdigit() for character in notice.title + notice.text)


def test_a_reply_that_is_paid_for_alerts_nobody(acme: SubAccount, bot: Chatbot, visitor: Contact) -> None:  # noqa: F811
    ask(acme, bot, visitor)
    assert told(acme.agency) == []
