"""Who is told what, once."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agency import alerting
from agency.models import AuditRecord, Notice
from credits.models import Crossing, LowBalance
from kit import clock
from subaccounts import alerts, lifecycle
from subaccounts.models import SubAccount
from tests.alerts.conftest import alert_below, crossing, give, pool_limit, show_balances, spend, told
from tests.cast import TESTS, Cast


class TestLowBalance:
    """Z-05"""

    def test_a_low_pool_is_told_once_for_each_crossing(self, cast: Cast) -> None:
        agency = cast.northlight
        pool = agency.pool("credit")
        alert_below(pool, pool.balance - 10)
        spend(pool, 11)
        spend(agency.pool("credit"), 1)
        for _ in range(2):
            alerts.sweep()
        left = agency.pool("credit").balance + 1
        assert told(agency) == [f"Agency pool: {left:,} credits left"]

        give(agency.pool("credit"), 100)
        spend(agency.pool("credit"), 100)
        alerts.sweep()

        assert len(told(agency)) == 2
        assert told(agency, "client") == []

    def test_each_audience_hears_of_its_own_threshold(self, cast: Cast) -> None:
        acme = cast.acme
        show_balances(acme)
        alert_below(acme.wallet("credit"), 50)
        alert_below(acme.wallet("credit"), 20, "client")
        spend(acme.wallet("credit"), 60, sub_account=acme)
        alerts.sweep()
        assert (told(acme.agency), told(acme.agency, "client")) == (["Acme Plumbing: 40 credits left"], [])

        spend(acme.wallet("credit"), 25, sub_account=acme)
        alerts.sweep()

        assert told(acme.agency, "client") == ["Acme Plumbing: 15 credits left"]
        assert len(told(acme.agency)) == 1

    def test_a_client_whose_balances_are_hidden_hears_nothing_of_them(self, cast: Cast) -> None:
        """Decision 6"""
        acme = cast.acme
        alert_below(acme.wallet("credit"), 50, "client")
        spend(acme.wallet("credit"), 60, sub_account=acme)
        crossing(acme, Crossing.FALLBACK)

        alerts.sweep()

        assert told(acme.agency, "client") == []
        assert LowBalance.objects.filter(noticed_at=None).count() == 0

    def test_one_that_recovered_before_anybody_looked_is_told_as_over_and_not_mailed(self, cast: Cast) -> None:
        acme = cast.acme
        alert_below(acme.wallet("credit"), 50)
        spend(acme.wallet("credit"), 60, sub_account=acme)
        give(acme.wallet("credit"), 100)

        alerts.sweep()

        notice = Notice.objects.get(agency=acme.agency)
        assert "back above since" in notice.text
        assert notice.mail is None

    def test_a_threshold_that_was_taken_away_meanwhile_tells_nobody(self, cast: Cast) -> None:
        acme = cast.acme
        alert_below(acme.wallet("credit"), 500)
        alert_below(acme.wallet("credit"), None)

        alerts.sweep()

        assert told(acme.agency) == []
        assert LowBalance.objects.filter(noticed_at=None).count() == 0

    def test_minutes_are_told_in_minutes(self, cast: Cast) -> None:
        pool = cast.northlight.pool("basic_minute")
        give(pool, 90)
        alert_below(pool, 120)
        alerts.sweep()
        assert told(cast.northlight) == ["Agency pool: 1.5 basic minutes left"]


class TestCrossings:
    def test_p06_the_agency_hears_that_the_pool_began_to_pay(self, cast: Cast) -> None:
        crossing(cast.acme, Crossing.FALLBACK)
        alerts.sweep()
        assert told(cast.northlight) == ["Acme Plumbing: own credits used up"]
        assert told(cast.northlight, "client") == []

    def test_a_hard_limit_tells_the_client_without_a_number(self, cast: Cast) -> None:
        pool_limit(cast.acme, 500)
        crossing(cast.acme, Crossing.LIMIT, amount=500)

        alerts.sweep()

        assert told(cast.northlight) == ["Acme Plumbing: limit of 500 credits reached"]
        notice = Notice.objects.get(agency=cast.northlight, audience="client")
        assert notice.title == "Acme Plumbing: your service is limited"
        assert not any(character.isdigit() for character in notice.title + notice.text)

    def test_a_limit_that_only_alerts_is_none_of_the_clients_business(self, cast: Cast) -> None:
        pool_limit(cast.acme, 500, is_hard=False)
        crossing(cast.acme, Crossing.LIMIT, amount=500)
        alerts.sweep()
        assert len(told(cast.northlight)) == 1
        assert told(cast.northlight, "client") == []

    def test_a_suspended_client_gets_no_mail_and_a_removed_one_is_no_news(self, cast: Cast) -> None:
        pool_limit(cast.acme, 500)
        lifecycle.suspend(sub_account=cast.acme, by=TESTS)
        crossing(cast.acme, Crossing.LIMIT, amount=500)
        SubAccount.objects.filter(pk=cast.koala.pk).update(status=SubAccount.REMOVED)
        crossing(cast.koala, Crossing.FALLBACK)

        alerts.sweep()

        assert Notice.objects.get(agency=cast.northlight, audience="client").mail is None
        assert told(cast.northlight) == ["Acme Plumbing: limit of 500 credits reached"]


class TestSpikes:
    """P-14, Z-05"""

    def use(self, sub_account: SubAccount, amounts: dict[int, int]) -> None:
        """What was used so many days ago."""
        give(sub_account.wallet("credit"), sum(amounts.values()) + 1)
        for days, amount in amounts.items():
            with clock.at(clock.now() - timedelta(days=days)):
                spend(sub_account.wallet("credit"), amount, sub_account=sub_account)

    @pytest.mark.parametrize(
        ("usual", "today", "is_unusual"),
        [(20, 61, True), (20, 60, False), (0, 51, True), (0, 50, False), (40, 119, False), (40, 121, True)],
    )
    def test_more_than_three_times_the_median_and_more_than_fifty(self, cast: Cast, usual: int, today: int, is_unusual: bool) -> None:
        past = dict.fromkeys(range(1, 15), usual) if usual else {}
        self.use(cast.acme, past | {0: today})

        alerts.look_for_spikes()

        assert told(cast.northlight) == ([f"Acme Plumbing: {today} credits used today"] if is_unusual else [])
        assert told(cast.northlight, "client") == told(cast.northlight)

    def test_the_median_forgives_a_single_great_day(self, cast: Cast) -> None:
        self.use(cast.acme, dict.fromkeys(range(1, 15), 10) | {3: 5000, 0: 60})
        alerts.look_for_spikes()
        assert len(told(cast.northlight)) == 1

    def test_once_a_day_and_again_on_the_next(self, cast: Cast) -> None:
        self.use(cast.acme, {0: 60})
        for _ in range(3):
            alerts.look_for_spikes()
        assert len(told(cast.northlight)) == 1
        with time_machine.travel(clock.now() + timedelta(days=1), tick=False):
            self.use(cast.acme, {0: 70})
            for _ in range(2):
                alerts.look_for_spikes()
        assert len(told(cast.northlight)) == 2

    def test_an_agency_has_its_own_numbers(self, cast: Cast) -> None:
        alerting.choose_rules(agency=cast.northlight, spike_factor=2, spike_least=500, recipients=[], by=TESTS)
        self.use(cast.acme, {0: 400})
        self.use(cast.beacon, {0: 400})
        alerts.look_for_spikes()
        assert told(cast.northlight) == []
        assert told(cast.harbour) == ["Beacon Dental: 400 credits used today"]

    def test_two_clients_cost_what_one_does(self, cast: Cast) -> None:
        self.use(cast.acme, {0: 60})
        alerts.look_for_spikes()
        with CaptureQueriesContext(connection) as one:
            alerts.look_for_spikes()
        self.use(cast.koala, {0: 60})
        alerts.look_for_spikes()
        with CaptureQueriesContext(connection) as two:
            alerts.look_for_spikes()

        assert len(told(cast.northlight)) == 2
        assert len(one) == len(two)


class TestChannels:
    def test_what_nobody_wants_to_hear_of_is_not_told(self, cast: Cast) -> None:
        off = {"fallback_started": alerting.Channel(by_mail=False, in_app=False)}
        alerting.choose_channels(agency=cast.northlight, channels=off, by=TESTS, subject="the team")
        crossing(cast.acme, Crossing.FALLBACK)
        alerts.sweep()
        assert told(cast.northlight) == []
        assert Crossing.objects.get().noticed_at is not None

    def test_choosing_is_on_the_record(self, cast: Cast) -> None:
        off = {"spike": alerting.Channel(by_mail=False)}
        alerting.choose_channels(agency=cast.northlight, channels=off, by=TESTS, subject="the team")
        record = AuditRecord.objects.filter(action="alerts.changed").latest("at")
        assert record.after == {"spike": {"by_mail": False, "in_app": True}}


def test_a_row_of_an_owner_nobody_knows_is_put_aside(cast: Cast) -> None:
    row = crossing(cast.acme, "something new")
    crossing(cast.acme, Crossing.FALLBACK)
    alerts.sweep()
    assert told(cast.northlight) == ["Acme Plumbing: own credits used up"]
    row.refresh_from_db()
    assert row.noticed_at is None
