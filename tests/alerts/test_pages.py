"""The inbox, the bell, and the pages where alerts are chosen."""

from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from agency import alerting, notices
from agency.models import AlertRules, Category, Notice
from agency.notices import Word
from credits.models import LowBalance, Threshold
from subaccounts.models import SubAccount
from tests.alerts.conftest import alert_below, show_balances
from tests.cast import PLATFORM, Cast, Visitor, host_of

_keys = count()


def tell(about: SubAccount, title: str = "", audience: str = "agency", category: str = Category.STOPPED, key: str = "") -> Notice:
    number = next(_keys)
    told = notices.tell(
        agency=about.agency, sub_account_id=about.public_id, audience=audience, category=category, key=key or f"page:{number}",
        word=Word(title or f"{about.name}: news {number}", "What happened.", "/"),
    )  # fmt: skip
    assert told is not None
    return told


def titles(browser: Visitor, address: str = "/notices/") -> list[str]:
    page = browser.get(address)
    assert page.status_code == 200
    return [line["notice"].title for line in page.context["lines"]]


def bell(browser: Visitor) -> int:
    return browser.get("/notices/").context["frame"].unread


class TestInbox:
    def test_the_latest_first_and_the_bell_counts_what_is_unread(self, cast: Cast) -> None:
        first, second = tell(cast.acme), tell(cast.koala)
        nora = Visitor(PLATFORM, cast.nora)
        assert titles(nora) == [second.title, first.title]
        assert bell(nora) == 2

        answer = nora.post(f"/notices/{first.public_id}/read/?show=unread&client=")

        assert answer.headers["Location"] == "/notices/?show=unread&client="
        assert bell(nora) == 1
        assert titles(nora, "/notices/?show=unread") == [second.title]
        assert bell(Visitor(PLATFORM, cast.adam)) == 2

    def test_all_read_reads_what_is_there_and_nothing_to_come(self, cast: Cast) -> None:
        tell(cast.acme)
        nora = Visitor(PLATFORM, cast.nora)
        nora.post("/notices/read/")
        assert bell(nora) == 0
        tell(cast.acme)
        assert bell(nora) == 1

    def test_by_client_and_by_category(self, cast: Cast) -> None:
        acme, koala = tell(cast.acme), tell(cast.koala, category=Category.SPIKE)
        nora = Visitor(PLATFORM, cast.nora)
        assert titles(nora, f"/notices/?client={cast.acme.public_id}") == [acme.title]
        assert titles(nora, "/notices/?category=spike") == [koala.title]
        assert titles(nora, "/notices/?category=nonsense%00&client=x&cursor=%00") == [koala.title, acme.title]
        assert "No notice matches" in nora.get("/notices/?category=low_balance").content.decode()

    def test_an_empty_inbox_says_what_will_be_there(self, cast: Cast) -> None:
        assert "appear here at once" in Visitor(PLATFORM, cast.nora).get("/notices/").content.decode()

    def test_seventy_notices_are_three_pages_of_the_same_cost(self, cast: Cast, django_assert_max_num_queries: Any) -> None:
        for _ in range(70):
            tell(cast.acme)
        nora = Visitor(PLATFORM, cast.nora)
        seen, address = [], "/notices/"
        for _ in range(3):
            with django_assert_max_num_queries(24):
                page = nora.get(address)
            seen += [line["notice"].pk for line in page.context["lines"]]
            address = f"/notices/?cursor={page.context['page'].after}".replace("+", "%2B")
        assert len(seen) == len(set(seen)) == 70

    def test_the_bell_is_one_query_however_many_there_are(self, cast: Cast, django_assert_num_queries: Any) -> None:
        for _ in range(120):
            tell(cast.acme)
        reader = notices.Reader(cast.nora, cast.northlight)
        rows = Notice.objects.in_app().for_team(cast.northlight)
        with django_assert_num_queries(1):
            assert notices.count_unread(rows, reader) == notices.COUNTED
        assert "99+" in Visitor(PLATFORM, cast.nora).get("/home/").content.decode()

    def test_what_is_not_wanted_in_the_app_is_not_in_it(self, cast: Cast) -> None:
        off = {Category.STOPPED: alerting.Channel(in_app=False)}
        alerting.choose_channels(agency=cast.northlight, channels=off, by=cast.nora.as_actor(), subject="the team")
        tell(cast.acme)
        assert titles(Visitor(PLATFORM, cast.nora)) == []

    def test_markup_in_a_name_is_text(self, cast: Cast) -> None:
        tell(cast.acme, "<img src=x onerror=alert(1)>: 3 credits left")
        assert "<img" not in Visitor(PLATFORM, cast.nora).get("/notices/").content.decode()


class TestWhoSeesWhat:
    def test_d05_a_member_sees_granted_clients_and_no_credits(self, cast: Cast) -> None:
        mine = tell(cast.acme)
        for hidden in (tell(cast.koala), tell(cast.acme, category=Category.LOW_BALANCE)):
            assert Visitor(PLATFORM, cast.mia).post(f"/notices/{hidden.public_id}/read/").status_code == 404
        mia = Visitor(PLATFORM, cast.mia)
        assert titles(mia) == [mine.title]
        assert bell(mia) == 1

    def test_a02_another_agencys_or_clients_notice_is_not_found(self, cast: Cast) -> None:
        theirs, koalas = tell(cast.beacon), tell(cast.koala, audience="client")
        for browser in (Visitor(PLATFORM, cast.nora), Visitor(host_of(cast.acme), cast.paul)):
            assert titles(browser) == []
            for notice in (theirs, koalas):
                assert browser.post(f"/notices/{notice.public_id}/read/").status_code == 404
            assert browser.post(f"/notices/{uuid4()}/read/").status_code == 404
        assert titles(Visitor(PLATFORM, cast.nora), f"/notices/?client={cast.beacon.public_id}") == []

    def test_a_client_sees_its_own_side_only(self, cast: Cast) -> None:
        tell(cast.acme)
        mine = tell(cast.acme, audience="client")
        for person in (cast.paul, cast.tess):
            browser = Visitor(host_of(cast.acme), person)
            assert titles(browser) == [mine.title]
            assert bell(browser) == 1
            browser.post(f"/notices/{mine.public_id}/read/")
            assert bell(browser) == 0
        assert titles(Visitor(PLATFORM, cast.nora)) != [mine.title]

    def test_a_notice_that_told_a_balance_is_gone_once_balances_are_hidden(self, cast: Cast) -> None:
        """Decision 6"""
        show_balances(cast.acme)
        told = tell(cast.acme, "Acme Plumbing: 12 credits left", "client", Category.LOW_BALANCE)
        paul = Visitor(host_of(cast.acme), cast.paul)
        assert titles(paul) == [told.title]
        show_balances(cast.acme, SubAccount.HIDDEN)
        assert (titles(paul), bell(paul)) == ([], 0)
        assert paul.post(f"/notices/{told.public_id}/read/").status_code == 404


SETTINGS = {"spike_factor": "2.5", "spike_least": "80", "mail_low_balance": "on", "app_low_balance": "on"}


class TestSettings:
    def test_an_agency_chooses_ways_numbers_and_recipients(self, cast: Cast) -> None:
        adam = cast.northlight.memberships.get(user=cast.adam)
        nora = Visitor(PLATFORM, cast.nora)

        answer = nora.post("/settings/alerts/", SETTINGS | {"recipients": [adam.pk]})

        assert answer.status_code == 302
        channels = alerting.channels_of(cast.northlight)
        assert channels["low_balance"] == alerting.Channel()
        assert channels["spike"] == alerting.Channel(by_mail=False, in_app=False)
        assert [member.user for member in alerting.recipients_of(cast.northlight)] == [cast.adam]
        rules = AlertRules.objects.get(agency=cast.northlight)
        assert (float(rules.spike_factor), rules.spike_least) == (2.5, 80)
        assert 'value="2.5"' in nora.get("/settings/alerts/").content.decode()

    @pytest.mark.parametrize(
        "wrong",
        [{"spike_factor": value} for value in ("1", "0", "-3", "1e99", "NaN", "101", "", "2.555")]
        + [{"spike_least": value} for value in ("0", "-1", "1.5", "9999999999", "many", "", "٣")]
        + [{"recipients": ["0"]}, {"recipients": ["x"]}],
    )
    def test_nonsense_is_refused_in_words_and_changes_nothing(self, cast: Cast, wrong: dict[str, Any]) -> None:
        page = Visitor(PLATFORM, cast.nora).post("/settings/alerts/", SETTINGS | wrong)
        assert page.status_code == 200
        assert page.context["form"].errors
        assert not AlertRules.objects.exists()

    def test_a_stranger_to_the_team_cannot_be_chosen(self, cast: Cast) -> None:
        rita = cast.harbour.memberships.get(user=cast.rita)
        page = Visitor(PLATFORM, cast.nora).post("/settings/alerts/", SETTINGS | {"recipients": [rita.pk]})
        assert "recipients" in page.context["form"].errors

    def test_a_client_switches_off_what_it_may_hear_of(self, cast: Cast) -> None:
        paul = Visitor(host_of(cast.acme), cast.paul)
        page = paul.get("/settings/alerts/").content.decode()
        assert "Low balance" not in page
        assert paul.post("/settings/alerts/", {"app_stopped": "on"}).status_code == 302
        channels = alerting.channels_of(cast.northlight, cast.acme.public_id)
        assert channels["stopped"] == alerting.Channel(by_mail=False)
        assert channels["low_balance"] == alerting.Channel()
        assert alerting.channels_of(cast.northlight)["stopped"] == alerting.Channel()

    def test_a_subaccount_member_changes_nothing(self, cast: Cast) -> None:
        tess = Visitor(host_of(cast.acme), cast.tess)
        assert tess.get("/settings/alerts/").status_code == 403
        assert tess.post("/settings/alerts/", {}).status_code == 403


class TestThresholds:
    def address(self, sub_account: SubAccount) -> str:
        return f"/sub-accounts/{sub_account.public_id}/alerts/"

    def test_the_agencys_alerts_for_a_client_of_all_units_in_one_form(self, cast: Cast) -> None:
        nora = Visitor(PLATFORM, cast.nora)
        alert_below(cast.acme.wallet("credit"), 7, "client")

        assert nora.post(self.address(cast.acme), {"credit": "250", "basic_minute": "1.5"}).status_code == 302

        mine = Threshold.objects.filter(audience="agency", wallet__owner_id=cast.acme.public_id)
        assert dict(mine.values_list("wallet__unit_id", "at")) == {"credit": 250, "basic_minute": 90}
        assert Threshold.objects.get(audience="client").at == 7
        assert LowBalance.objects.filter(audience="agency", wallet=cast.acme.wallet("credit"), rearmed_at=None).count() == 1
        page = nora.get(self.address(cast.acme)).content.decode()
        assert 'value="250"' in page
        assert 'value="1.5"' in page
        assert "Acme Plumbing" in nora.get("/settings/alerts/").content.decode()

        nora.post(self.address(cast.acme), {"credit": ""})
        assert not mine.exists()

    @pytest.mark.parametrize("wrong", ["0", "-5", "1.5", "1e5", "9999999999999999", "1000000000000000", "NaN", "abc", "5\x00", "٣"])
    def test_nonsense_is_refused_in_words(self, cast: Cast, wrong: str) -> None:
        page = Visitor(PLATFORM, cast.nora).post(self.address(cast.acme), {"credit": wrong, "basic_minute": "5"})
        assert page.status_code == 200
        assert page.context["form"].errors["credit"]
        assert not Threshold.objects.filter(wallet__owner_id=cast.acme.public_id).exists()

    def test_more_minutes_than_a_wallet_holds(self, cast: Cast) -> None:
        page = Visitor(PLATFORM, cast.nora).post(self.address(cast.acme), {"basic_minute": "999999999999999"})
        assert "more than a wallet can hold" in page.content.decode()

    def test_another_agencys_client_is_not_found(self, cast: Cast) -> None:
        assert Visitor(PLATFORM, cast.nora).post(self.address(cast.beacon), {"credit": "5"}).status_code == 404
        assert Visitor(PLATFORM, cast.mia).get(self.address(cast.acme)).status_code == 403
