"""The audit log as the agency reads it, and as a client does: pages, filters, files."""

import csv
import html
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agency import audit, audit_trail, deeds
from agency.access import CAPABILITIES, Can, Role
from agency.audit_trail import Trail, Wish
from agency.models import AuditRecord
from kit import clock
from kit.actor import Actor
from kit.ids import uuid7
from subaccounts import assist, editing, lifecycle, pool_policy, pricing, thresholds
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of

LOG = "/audit/"
FILE = "/audit.csv"
FORMULAS = ('=cmd|" /C calc"!A0', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1")


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(html.unescape(response.content.decode()).split())


def rows_of(visitor: Visitor, url: str, query: dict[str, str] | None = None) -> list[dict[str, str]]:
    body = b"".join(visitor.get(url, query or {})).decode("utf-8-sig")  # type: ignore[call-overload]  # a stream is iterable
    return list(csv.DictReader(io.StringIO(body)))


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


@pytest.fixture
def paul(cast: Cast) -> Visitor:
    return Visitor(host_of(cast.acme), cast.paul)


def said(cast: Cast, action: str = "chatbot.changed", *, by: Actor = TESTS, client: SubAccount | None = None, **fields: Any) -> AuditRecord:
    return audit.record(action, by=by, agency=cast.northlight, sub_account_id=client.public_id if client else None, **fields)


class TestPage:
    def test_a_line_says_who_did_what_from_where(self, cast: Cast, nora: Visitor) -> None:
        lifecycle.suspend(
            sub_account=cast.acme,
            reason="overdue_payment",
            note="Please pay.",
            policy="lockout",
            by=cast.nora.as_actor(address="203.0.113.9"),
        )
        page = text(nora.get(LOG))
        assert "<strong>Nora Lind</strong> suspended Acme Plumbing" in page
        assert "203.0.113.9" in page
        assert "Overdue payment" in page
        assert cast.acme.get_absolute_url() in page
        assert "(Europe/Stockholm)" in page

    def test_times_are_of_the_agencys_time_zone(self, cast: Cast, nora: Visitor) -> None:
        with time_machine.travel(datetime(2026, 3, 2, 23, 30, tzinfo=UTC)):
            said(cast)
            assert "3 Mar 2026, 00:30" in text(nora.get(LOG))

    def test_it_opens_to_before_and_after_in_words(self, cast: Cast, nora: Visitor) -> None:
        pool_policy.choose(sub_account=cast.acme, fallback="capped", is_hard=True, amounts={"credit": 1500}, by=cast.nora.as_actor())
        pricing.save(
            agency=cast.northlight, sub_account=cast.acme, markups={"credit": Decimal(25)}, steps={"ai_reply": 2}, by=cast.nora.as_actor()
        )
        said(
            cast,
            before={"until": "2026-03-02T23:30:00+00:00", "is_active": True},
            after={"until": None, "is_active": False, "role": "admin"},
        )
        page = text(nora.get(LOG))
        for part in ("Use of the pool", "Up to a limit", "1,500 credits", "Stops at the limit", "Markup on credits", "25 %"):
            assert part in page, part
        for part in ("Rate of AI reply", "2 credits", "3 Mar 2026, 00:30", "Switched on", "Agency Admin"):
            assert part in page, part

    def test_a_deed_nobody_put_into_words_is_shown_all_the_same(self, cast: Cast, nora: Visitor) -> None:
        said(cast, "moon_base.painted", subject="<b>Tycho</b>", after={"number_of_coats": 3})
        page = nora.get(LOG, {"kind": "other"})
        assert "moon base painted: &lt;b&gt;Tycho" in page.content.decode()
        assert "Number of coats" in text(page)

    def test_the_newest_first_page_by_page_and_back(self, cast: Cast, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(120):
            said(cast, subject=f"No {number:03}")
        page = nora.get(LOG, {"kind": "workspace"})
        first, seen = page, []
        while True:
            seen += [line.record.subject for line in page.context["lines"]]
            if not page.context["next_url"]:
                break
            page = nora.get(page.context["next_url"])
        assert [subject for subject in seen if subject.startswith("No")] == [f"No {n:03}" for n in reversed(range(120))]
        back = nora.get(nora.get(first.context["next_url"]).context["previous_url"])
        assert [line.record.pk for line in back.context["lines"]] == [line.record.pk for line in first.context["lines"]]

    def test_an_empty_log_of_a_filter_offers_to_clear_it(self, nora: Visitor) -> None:
        page = text(nora.get(LOG, {"address": "198.51.100.1"}))
        assert "No record matches these filters." in page
        assert "From 198.51.100.1" in page

    @pytest.mark.parametrize(
        "query",
        [
            {"kind": "x"}, {"first": "x"}, {"last": "9999-12-31"}, {"first": "2026-03-02", "last": "2026-03-01"}, {"address": "\x00"},
            {"person": "x" * 41}, {"client": "\x00"}, {"assisting": "maybe"},
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_said_and_finds_nothing(self, nora: Visitor, paul: Visitor, query: dict[str, str]) -> None:
        for visitor in (nora, paul):
            page = visitor.get(LOG, query)
            assert "error-summary" in text(page)
            assert page.context["lines"] == []
            assert visitor.get(FILE, query).status_code == 302

    @pytest.mark.parametrize(
        "query",
        [{"person": "x"}, {"client": "x"}, {"assist": "x"}, {"cursor": "x"}, {"newer": "\x00"}, {"person": str(uuid7())}, {"range": "x"}],
    )
    def test_nonsense_is_nobody(self, nora: Visitor, paul: Visitor, query: dict[str, str]) -> None:
        for visitor in (nora, paul):
            text(visitor.get(LOG, query))

    def test_queries_do_not_grow_with_lines(self, cast: Cast, nora: Visitor) -> None:
        counts = []
        for _ in range(2):
            with CaptureQueriesContext(connection) as captured:
                text(nora.get(LOG))
            counts.append(len(captured))
            for client in (cast.acme, cast.koala) * 10:
                said(cast, client=client)
        assert counts[1] <= counts[0] + 1


class TestFilters:
    def test_each_alone_and_all_together_find_what_a_look_at_every_record_finds(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        random = Random(5)
        people = [cast.nora.as_actor(address="203.0.113.1"), cast.mia.as_actor(address="203.0.113.2", on_behalf_of="Acme Plumbing"), TESTS]
        actions = ["chatbot.changed", "prices.changed", "credits.moved", "moon.painted", "assist.begun"]
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        for _ in range(150):
            moment += timedelta(hours=random.randrange(9))
            with clock.at(moment):
                said(cast, random.choice(actions), by=random.choice(people), client=random.choice([None, cast.acme, cast.koala]))
        everything = list(AuditRecord.objects.filter(agency=cast.northlight).order_by("-id"))
        monkeypatch.setattr(audit_trail, "REACH", 20)

        def maybe(*values: Any, nothing: Any = "") -> Any:
            return random.choice(values) if random.random() < 0.4 else nothing

        for _ in range(150):
            wish = Wish(
                kind=maybe("workspace", "money", "other"),
                person=maybe(people[0].id, people[1].id, "system", str(uuid7())),
                client=maybe(cast.acme.public_id, uuid7(), nothing=None),
                assisting=maybe(True, False, nothing=None),
                address=maybe("203.0.113.1", "203.0.113.2"),
                since=maybe(datetime(2026, 3, 10, tzinfo=UTC), nothing=None),
                until=maybe(datetime(2026, 3, 20, tzinfo=UTC), nothing=None),
            )
            wanted = [record.pk for record in everything if matches(record, wish)]
            trail = Trail(cast.northlight)
            told, cursor = [], None
            while True:
                page = audit_trail.page(trail, wish, before=cursor, size=7)
                told += [record.pk for record in page.records]
                if page.older is None:
                    break
                cursor = page.older
            assert told == wanted, wish
            assert [record.pk for chunk in audit_trail.every(trail, wish, chunk=11) for record in chunk] == wanted

    def test_of_one_assist(self, cast: Cast, nora: Visitor) -> None:
        by = cast.mia.as_actor(on_behalf_of="Acme Plumbing")
        begun = assist.begin(user=cast.mia, sub_account=cast.acme)
        said(cast, by=by, client=cast.acme, subject="in the assist")
        assist.end(assist=begun, by=by)
        said(cast, by=cast.mia.as_actor(), client=cast.koala, subject="elsewhere")
        page = nora.get(LOG, {"assist": str(begun.public_id)})
        assert "One assist of Mia Torres" in text(page)
        assert [line.record.action for line in page.context["lines"]] == ["assist.ended", "chatbot.changed", "assist.begun"]
        rival = Visitor(PLATFORM, cast.rita).get(LOG, {"assist": str(begun.public_id)})
        assert rival.context["lines"] == []
        assert "Mia" not in text(rival)

    def test_people_are_chosen_by_name(self, cast: Cast, nora: Visitor) -> None:
        said(cast, by=cast.paul.as_actor(), client=cast.acme, subject="Paul was here")
        page = nora.get(LOG, {"person": str(cast.paul.public_id)})
        assert [line.record.subject for line in page.context["lines"]] == ["Paul was here"]
        assert "Paul Acme" in {name for _, name in page.context["asked"].people}
        assert {"Nora Lind", "Adam Okoye", "Mia Torres", "The product itself"} <= {name for _, name in page.context["asked"].people}
        rival = nora.get(LOG, {"person": str(cast.rita.public_id)})
        assert "Rita" not in text(rival)

    def test_clients_are_found_by_a_part_of_their_name(self, cast: Cast, nora: Visitor) -> None:
        answer = nora.get(LOG, {"search": "acme"})
        assert f"client={cast.acme.public_id}" in answer.headers["Location"]
        assert {line.record.sub_account_id for line in nora.get(answer.headers["Location"]).context["lines"]} == {cast.acme.public_id}
        assert nora.get(LOG, {"client": str(cast.beacon.public_id)}).context["lines"] == []

    def test_where_staff_were_is_not_told_and_cannot_be_asked(self, cast: Cast, nora: Visitor) -> None:
        said(cast, "credits.adjusted", by=Actor("staff", "7", "Sol, staff", address="192.0.2.77"))
        assert "192.0.2.77" not in text(nora.get(LOG))
        assert nora.get(LOG, {"address": "192.0.2.77"}).context["lines"] == []
        assert "192.0.2.77" not in str(rows_of(nora, FILE))


def matches(record: AuditRecord, wish: Wish) -> bool:
    person = record.actor_kind if wish.person in audit_trail.NOT_PEOPLE else record.actor_id
    return (
        wish.kind in ("", deeds.kind_of(record.action))
        and wish.person in ("", person)
        and wish.client in (None, record.sub_account_id)
        and wish.assisting in (None, bool(record.on_behalf_of))
        and wish.address in ("", record.address)
        and (wish.since is None or record.at >= wish.since)
        and (wish.until is None or record.at < wish.until)
    )


class TestFile:
    def test_it_is_what_the_pages_are_and_says_that_it_was_taken(self, cast: Cast, nora: Visitor) -> None:
        for number in range(70):
            said(cast, subject=str(number), client=cast.acme)
        shown: list[str] = []
        page = nora.get(LOG, {"client": str(cast.acme.public_id)})
        while True:
            shown += [str(line.record.pk) for line in page.context["lines"]]
            if not page.context["next_url"]:
                break
            page = nora.get(page.context["next_url"])
        assert [row["Record"] for row in rows_of(nora, FILE, {"client": str(cast.acme.public_id)})] == shown
        taken = AuditRecord.objects.get(action="audit.exported")
        assert taken.subject == "Acme Plumbing"
        assert taken.actor_id == str(cast.nora.public_id)

    def test_k01_no_cell_is_a_formula(self, cast: Cast, nora: Visitor, paul: Visitor) -> None:
        for formula in FORMULAS:
            by = Actor("user", str(uuid7()), formula, on_behalf_of=formula, address=formula)
            said(cast, by=by, client=cast.acme, subject=formula, before={formula: formula}, after={"name": formula})
        for visitor in (nora, paul):
            cells = [cell for row in rows_of(visitor, FILE) for cell in row.values()]
            assert len(cells) > 50
            assert [cell for cell in cells if cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "＝"))] == []

    def test_it_is_read_in_chunks(self, cast: Cast) -> None:
        for _ in range(25):
            said(cast)
        trail = Trail(cast.northlight)
        with CaptureQueriesContext(connection) as captured:
            chunks = audit_trail.every(trail, Wish(), chunk=10)
            assert len(next(chunks)) == 10
        assert len(captured) == 1


# What is the agency's own matter, planted so that each stands in a record of Acme.
CANARIES = (
    "canary-description",
    "canary-reason",
    "Balance shown",
    "canary-pool",
    "77701",
    "77,701",
    "canary-team",
    "canary-unknown",
    "198.51.100.7",
    "northlight.example",
)


def plant(cast: Cast) -> None:
    by = cast.nora.as_actor(address="198.51.100.7")
    acme = cast.acme
    editing.edit(sub_account=acme, by=by, description="canary-description", balance_visibility="hidden")
    editing.edit(sub_account=acme, by=by, description="canary-description again", city="Malmö")
    pool_policy.choose(sub_account=acme, fallback="capped", is_hard=True, amounts={"credit": 77701}, by=by)
    thresholds.choose(sub_account=acme, audience="agency", wishes={"credit": 77701}, by=by)
    lifecycle.suspend(sub_account=acme, reason="abuse", note="Please call us.", policy="read_only", by=by)
    lifecycle.restore(sub_account=acme, by=by)
    for action, deed in deeds.DEEDS.items():
        if deed.told is None:
            said(cast, action, by=by, client=acme, subject="canary-reason", before={"pool": 77701}, after={"note": "canary-pool"})
    said(cast, "access.granted", by=by, client=acme, subject="canary-team", after={"role": "member"})
    said(cast, "moon.painted", by=by, client=acme, subject="canary-unknown")
    said(cast, "chatbot.changed", by=by, client=cast.koala, subject="canary-reason")
    said(cast, "chatbot.changed", by=by, client=None, subject="canary-reason")


class TestClient:
    def test_b_it_reads_nothing_of_its_agencys_own_matters(self, cast: Cast, paul: Visitor) -> None:
        plant(cast)
        page, file = text(paul.get(LOG)), str(rows_of(paul, FILE))
        for shown in (page, file):
            assert [canary for canary in CANARIES if canary in shown] == []
            assert "Nora Lind" in shown
            assert "Malmö" in shown
            assert "Please call us." in shown
        for query in ({"address": "198.51.100.7"}, {"kind": "other"}, {"kind": "money"}, {"client": str(cast.koala.public_id)}):
            asked = paul.get(LOG, query)
            assert [canary for canary in CANARIES[:-2] if canary in text(asked)] == []
        assert paul.get(LOG, {"address": "198.51.100.7"}).context["lines"] == []

    def test_it_reads_what_it_and_assisting_people_did_there(self, cast: Cast, paul: Visitor) -> None:
        said(cast, by=cast.paul.as_actor(address="203.0.113.5"), client=cast.acme, subject="Front desk")
        by = cast.mia.as_actor(on_behalf_of="Acme Plumbing", address="198.51.100.8")
        said(cast, "faq.added", by=by, client=cast.acme, subject="Opening hours?")
        page = paul.get(LOG)
        assert "<strong>Paul Acme</strong> changed the chatbot Front desk" in text(page)
        assert "203.0.113.5" in text(page)
        assert "<strong>Mia Torres</strong> added the FAQ “Opening hours?”" in text(page)
        assert "198.51.100.8" not in text(page)
        assert [line.record.action for line in paul.get(LOG, {"assisting": "yes"}).context["lines"]] == ["faq.added"]

    def test_taking_its_file_stands_in_both_logs(self, cast: Cast, nora: Visitor, paul: Visitor) -> None:
        rows_of(paul, FILE, {"kind": "assists"})
        for visitor in (nora, paul):
            assert "Paul Acme</strong> exported the audit log of Acme Plumbing" in text(visitor.get(LOG))

    def test_another_client_and_a_rival_read_none_of_it(self, cast: Cast) -> None:
        said(cast, client=cast.acme, subject="canary-acme")
        for visitor in (Visitor(host_of(cast.koala), cast.kira), Visitor(host_of(cast.beacon), cast.ben), Visitor(PLATFORM, cast.rita)):
            assert "canary-acme" not in text(visitor.get(LOG))
            assert "canary-acme" not in str(rows_of(visitor, FILE))


def test_d08_only_who_may_read_the_log(cast: Cast) -> None:
    assert {role for role in Role if Can.SEE_AUDIT in CAPABILITIES[role]} == {Role.OWNER, Role.ADMIN}
    for url in (LOG, FILE):
        assert Visitor(PLATFORM, cast.mia).get(url).status_code == 403
        assert Visitor(host_of(cast.acme), cast.tess).get(url).status_code == 403
        assert Visitor(PLATFORM).get(url).status_code == 302
    for visitor, there in ((Visitor(PLATFORM, cast.mia), False), (Visitor(PLATFORM, cast.adam), True)):
        assert ("Audit log" in text(visitor.get("/home/"))) is there
    assert "Audit log" not in text(Visitor(host_of(cast.acme), cast.tess).get("/"))


class TestKeeping:
    URL = "/settings/audit/"

    def test_how_long_is_chosen_and_recorded(self, cast: Cast, nora: Visitor) -> None:
        assert "For ever" in text(nora.get(self.URL))
        assert nora.post(self.URL, {"days": "730"}).status_code == 302
        assert cast.northlight.audit_kept_days == 730
        record = AuditRecord.objects.get(action="audit.kept_changed")
        assert (record.before, record.after) == ({"audit_kept_days": "for ever"}, {"audit_kept_days": 730})
        assert "730 days" in text(nora.get(LOG))
        nora.post(self.URL, {"days": "ever"})
        assert cast.northlight.audit_kept_days is None

    @pytest.mark.parametrize("days", ["", "364", "0", "-1", "x", "730.5", "99999999999"])
    def test_nothing_shorter_or_odd(self, cast: Cast, nora: Visitor, days: str) -> None:
        assert nora.post(self.URL, {"days": days}).status_code == 200
        assert cast.northlight.audit_kept_days is None

    def test_it_asks_who_it_is_again(self, cast: Cast) -> None:
        answer = Visitor(PLATFORM, cast.nora, recent=False).post(self.URL, {"days": "365"})
        assert reverse("account_reauthenticate") in answer.headers["Location"]
        assert cast.northlight.audit_kept_days is None
