"""Why somebody enters, how an assist ends, and that both sides read of it."""

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from agency.models import AuditRecord
from kit import clock
from subaccounts import assist
from subaccounts.models import Assist, SubAccount
from tests.attacks.test_c_assist import Browser
from tests.cast import PLATFORM, Cast, Visitor, host_of
from tests.entrance import Mails

REASON = "Opening hours over Christmas, as agreed by phone"


def text_of(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def want_reasons(cast: Cast) -> None:
    agency = cast.northlight
    agency.assists_need_reason = True
    agency.save()


def test_the_agency_chooses_that_a_reason_is_needed(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    wish = {"name": "Northlight Digital", "time_zone": "Europe/Stockholm", "assists_need_reason": "on"}

    nora.post("/settings/", wish)

    assert cast.northlight.assists_need_reason
    record = AuditRecord.objects.get(action="agency.changed")
    assert (record.before["assists_need_reason"], record.after["assists_need_reason"]) == (False, True)


def test_a_reason_travels_with_the_hop_and_both_sides_read_it(cast: Cast) -> None:
    browser = Browser(cast.nora)

    browser.enter(cast.acme, reason=f"  {REASON}\n")
    browser.on(host_of(cast.acme)).post("/assist/return/")

    begun = Assist.objects.get()
    assert (begun.reason, begun.end_in_words) == (REASON, "Returned")
    assert AuditRecord.objects.get(action="assist.begun").after["reason"] == REASON
    for page in (
        Visitor(PLATFORM, cast.nora).get("/assists/"),
        Visitor(PLATFORM, cast.adam).get(f"/assists/{begun.public_id}/"),
        Visitor(PLATFORM, cast.adam).get(f"/sub-accounts/{cast.acme.public_id}/"),
        Visitor(host_of(cast.acme), cast.paul).get("/settings/assists/"),
        Visitor(host_of(cast.acme), cast.paul).get(f"/settings/assists/{begun.public_id}/"),
    ):
        assert REASON in text_of(page)
        assert "Nora Lind" in text_of(page)


def test_both_sides_get_from_an_assist_to_its_part_of_the_audit_log(cast: Cast) -> None:
    begun = assist.begin(user=cast.nora, sub_account=cast.acme)
    for browser, page, log in (
        (Visitor(PLATFORM, cast.adam), f"/assists/{begun.public_id}/", f"/audit/?assist={begun.public_id}"),
        (Visitor(host_of(cast.acme), cast.paul), f"/settings/assists/{begun.public_id}/", f"/audit/?assist={begun.public_id}"),
    ):
        assert f'href="{log}"' in browser.get(page).content.decode()
        assert "One assist of Nora Lind" in text_of(browser.get(log))


def test_one_click_is_enough_until_the_agency_wants_a_reason(cast: Cast) -> None:
    nora, enter = Visitor(PLATFORM, cast.nora), f"/sub-accounts/{cast.acme.public_id}/enter/"
    assert "Entering Acme Plumbing" in text_of(nora.post(enter))
    want_reasons(cast)

    asked = text_of(nora.post(enter))
    insisted = text_of(nora.post(enter, {"reason": " "}))

    assert "Enter Acme Plumbing as Nora Lind" in asked
    assert "Say why you enter" not in asked
    assert "Say why you enter" in insisted
    assert "Entering Acme Plumbing" in text_of(nora.post(enter, {"reason": REASON}))


def test_a_reason_has_two_hundred_characters_at_most(cast: Cast) -> None:
    nora, enter = Visitor(PLATFORM, cast.nora), f"/sub-accounts/{cast.acme.public_id}/enter/"

    assert "Entering" not in text_of(nora.post(enter, {"reason": "x" * 201}))
    assert "Entering" not in text_of(nora.post(enter, {"reason": "x\x00"}))
    assert "Entering" in text_of(nora.post(enter, {"reason": "x" * 200}))


def test_a_reason_wanted_since_the_click_stops_the_arrival(cast: Cast) -> None:
    browser = Browser(cast.nora)
    token = browser.token_for(cast.acme)
    want_reasons(cast)

    assert browser.on(host_of(cast.acme)).post("/hop/", {"token": token}).status_code == 404
    assert AuditRecord.objects.get(action="assist.refused").after == {"cause": "no reason given"}


def test_a_new_assist_is_the_whole_way_again_and_prolongs_nothing(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        browser = Browser(cast.nora)
        browser.enter(cast.acme)
        first = Assist.objects.get()
        until = first.expires_at
        moved.shift(timedelta(minutes=20))

        browser.enter(cast.acme)

        first.refresh_from_db()
        second = Assist.objects.exclude(pk=first.pk).get()
        assert (first.expires_at, first.end_in_words) == (until, "Began a new one")
        assert second.expires_at == clock.now() + timedelta(minutes=30)
        moved.shift(timedelta(minutes=29))
        assert browser.on(host_of(cast.acme)).get("/").status_code == 200


def test_an_older_session_does_not_end_the_newer_assist(cast: Cast) -> None:
    older, newer = Browser(cast.nora), Browser(cast.nora)
    older.enter(cast.acme)
    newer.enter(cast.acme)

    told = older.on(host_of(cast.acme)).get("/")

    assert (told.status_code, "Began a new one" in text_of(told)) == (403, True)
    assert newer.on(host_of(cast.acme)).get("/").status_code == 200


def test_whoever_comes_too_late_reads_that_it_is_over_and_how_to_begin_anew(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        browser = Browser(cast.nora)
        browser.enter(cast.acme)
        inside = browser.on(host_of(cast.acme))
        moved.shift(timedelta(minutes=30))

        page, sent = inside.get("/chatbots/"), inside.post("/chatbots/new/", {"name": "Pip"})

        assert (page.status_code, sent.status_code) == (403, 403)
        assert "Your assist has ended" in text_of(page)
        assert "Time was over" in text_of(page)
        assert f"http://{PLATFORM}/sub-accounts/{cast.acme.public_id}/enter/" in page.content.decode()
        assert "was not saved" in text_of(sent)
        assert "was not saved" not in text_of(page)
        assert inside.get("/chatbots/", headers={"hx-request": "true"}).headers["HX-Refresh"] == "true"
        assert "/sign-in/" in Visitor(host_of(cast.acme)).get("/chatbots/")["Location"]
        moved.shift(timedelta(minutes=31))


def test_a_cookie_that_names_no_assist_of_this_workspace_says_nothing(cast: Cast) -> None:
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    for value in (str(Assist.objects.get().public_id), "nonsense", ""):
        stranger = Visitor(host_of(cast.koala))
        stranger.cookies["__Host-assist"] = value
        assert "/sign-in/" in stranger.get("/")["Location"]


def test_the_clock_writes_down_the_end_once(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        begun = assist.begin(user=cast.nora, sub_account=cast.acme)
        assert assist.sweep() == 0
        moved.shift(timedelta(minutes=34))

        assert (assist.sweep(), assist.sweep()) == (1, 0)

    begun.refresh_from_db()
    assert (begun.ended_at, begun.end_in_words) == (begun.expires_at, "Time was over")
    assert AuditRecord.objects.filter(action="assist.ended").count() == 1


def test_an_owner_or_admin_ends_an_assist_with_the_next_request(cast: Cast) -> None:
    browser = Browser(cast.mia)
    browser.enter(cast.acme)
    begun = Assist.objects.get()
    end = f"/assists/{begun.public_id}/end/"
    assert Visitor(PLATFORM, cast.mia).post(end).status_code == 403
    assert Visitor(PLATFORM, cast.rita).post(end).status_code == 404
    assert browser.on(host_of(cast.acme)).get("/").status_code == 200
    adam = Visitor(PLATFORM, cast.adam)
    assert "End assist" in text_of(adam.get("/assists/?state=open"))

    assert adam.post(end).status_code == 302

    assert "Ended by Adam Okoye" in text_of(browser.on(host_of(cast.acme)).get("/"))
    record = AuditRecord.objects.get(action="assist.stopped")
    assert (record.actor_id, record.sub_account_id) == (str(cast.adam.public_id), cast.acme.public_id)
    assert adam.post(end).status_code == 302
    assert AuditRecord.objects.filter(action__in=["assist.stopped", "assist.ended"]).count() == 1
    assert "Nobody is assisting now" in text_of(adam.get("/assists/?state=open"))


def test_each_side_finds_its_own_assists_only(cast: Cast) -> None:
    of_acme = assist.begin(user=cast.nora, sub_account=cast.acme, reason="for Acme")
    of_koala = assist.begin(user=cast.adam, sub_account=cast.koala, reason="for Koala")
    nora, paul, rita = Visitor(PLATFORM, cast.nora), Visitor(host_of(cast.acme), cast.paul), Visitor(PLATFORM, cast.rita)

    of_client = text_of(nora.get(f"/assists/?client={cast.koala.public_id}"))
    assert ("for Koala" in of_client, "for Acme" in of_client) == (True, False)
    assert rita.get(f"/assists/{of_acme.public_id}/").status_code == 404
    assert paul.get(f"/settings/assists/{of_koala.public_id}/").status_code == 404
    assert "for Koala" not in text_of(paul.get("/settings/assists/"))
    assert Visitor(PLATFORM, cast.mia).get("/assists/").status_code == 403
    assert Visitor(host_of(cast.acme), cast.tess).get("/settings/assists/").status_code == 403


def test_the_list_asks_the_same_number_of_questions_for_one_and_for_thirty(cast: Cast, django_assert_max_num_queries: Any) -> None:
    for number in range(31):
        with clock.at(clock.now() - timedelta(hours=number + 1)):
            assist.begin(user=cast.nora, sub_account=cast.acme, reason=f"visit {number}")
    nora = Visitor(PLATFORM, cast.nora)

    with django_assert_max_num_queries(20):
        page = nora.get("/assists/")

    assert len(page.context["page"].rows) == 30
    rest = nora.get("/assists/", {"cursor": page.context["page"].after})
    assert len(rest.context["page"].rows) == 1


def test_the_client_is_mailed_when_an_assist_begins_and_ends_once_each(cast: Cast, mails: Mails) -> None:
    paul = Visitor(host_of(cast.acme), cast.paul)
    paul.post("/settings/assists/mails/", {"notify_of_assists": "on"})
    browser = Browser(cast.nora)

    browser.enter(cast.acme, reason=REASON)
    browser.on(host_of(cast.acme)).post("/assist/return/")
    browser.on(host_of(cast.acme)).post("/assist/return/")

    begun, ended = mails()
    assert [mail.to for mail in (begun, ended)] == [["paul@acme-plumbing.example"]] * 2
    assert begun.subject == "Nora Lind of Northlight Digital is working in Acme Plumbing"
    assert ended.subject == "Nora Lind of Northlight Digital has left Acme Plumbing"
    began = Assist.objects.get().started_at.astimezone(ZoneInfo("Europe/Stockholm"))
    for mail in (begun, ended):
        assert REASON in mail.body
        assert f", {began:%H:%M (%Z)}" in mail.body
        assert f"/settings/assists/{Assist.objects.get().public_id}/" in mail.body
    assert AuditRecord.objects.get(action="assist_mails.changed").after == {"notify_of_assists": True}
    paul.post("/settings/assists/mails/")
    browser.enter(cast.acme)
    assert len(mails()) == 2


def test_nobody_who_assists_switches_those_mails_off(cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(notify_of_assists=True)
    browser = Browser(cast.nora)
    browser.enter(cast.acme)
    inside = browser.on(host_of(cast.acme))

    assert inside.post("/settings/assists/mails/").status_code == 403
    assert 'name="notify_of_assists"' not in inside.get("/settings/assists/").content.decode()
    assert cast.acme.notify_of_assists


@pytest.mark.parametrize("gone", ["removed", "deleted"])
def test_no_assist_begins_where_nothing_is_left(cast: Cast, gone: str) -> None:
    if gone == "removed":
        SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    else:
        agency = cast.northlight
        agency.deleted_at = clock.now()
        agency.save()

    with pytest.raises(assist.MayNotEnter):
        assist.begin(user=cast.nora, sub_account=cast.acme)
    assert not Assist.objects.exists()
