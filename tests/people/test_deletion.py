"""Deleting an agency: closed at once, restored exactly, and after thirty days nothing is left but its books."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.forms.models import model_to_dict

from agency.models import Agency, ApiKey, AuditRecord, Membership, User
from credits.models import Entry
from kit import clock, invariants, outbox
from subaccounts import addresses, assist, deletion, lifecycle, opening
from subaccounts.models import Access, Assist, Domain, SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.entrance import Mails, is_signed_in, sign_in
from tests.people.test_ownership import agency, person

__all__ = ["agency"]
PASSED = timedelta(days=30, seconds=1)


def delete(cast: Cast, name: str = "Northlight Digital", who: str = "nora") -> Any:
    return Visitor(PLATFORM, getattr(cast, who)).post("/agency/deletion/", {"name": name})


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%'")
        return {name for (name,) in cursor.fetchall()}


def state(agency: Agency) -> dict[str, Any]:
    """What deleting must not touch."""
    return {
        "agency": model_to_dict(agency),
        "sub-accounts": list(SubAccount.objects.filter(agency=agency).order_by("pk").values()),
        "domains": list(Domain.objects.order_by("pk").values()),
        "team": list(Membership.objects.order_by("pk").values()),
        "clients": list(Access.objects.order_by("pk").values()),
        "people": list(User.objects.order_by("pk").values("email", "password", "is_active", "realm")),
        "keys": list(ApiKey.objects.order_by("pk").values()),
    }


def test_the_owner_reads_what_stops_and_types_the_name(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get("/agency/deletion/").content.decode()
    assert "5 other people" in page
    assert "2 clients" in page

    for typed in ("", "northlight digital", "Harbour & Co"):
        assert delete(cast, typed).status_code == 200
    assert cast.northlight.deleted_at is None

    assert delete(cast).status_code == 302
    assert cast.northlight.deleted_at is not None


@pytest.mark.parametrize("who", ["adam", "mia"])
def test_d03_nobody_but_the_owner_deletes(cast: Cast, who: str) -> None:
    assert delete(cast, who=who).status_code == 403
    with pytest.raises(deletion.OnlyTheOwner):
        deletion.delete(agency=cast.northlight, owner=getattr(cast, who), by=TESTS)
    assert cast.northlight.deleted_at is None


def test_deleting_wants_a_recent_proof(cast: Cast) -> None:
    answer = Visitor(PLATFORM, cast.nora, recent=False).post("/agency/deletion/", {"name": "Northlight Digital"})

    assert "/security/confirm/" in answer["Location"]
    assert cast.northlight.deleted_at is None


def test_at_once_nobody_gets_further_than_one_page(cast: Cast, mails: Mails) -> None:
    adam, _ = sign_in("adam@northlight.example")
    paul, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    begun = assist.begin(user=cast.mia, sub_account=cast.acme)

    delete(cast)

    assert not is_signed_in(adam)
    assert paul.get("/").status_code == 404
    assert Assist.objects.get(pk=begun.pk).ended_at is not None
    again = Visitor(PLATFORM, cast.adam)
    for path in ("/home/", "/users/", "/sub-accounts/", "/settings/", "/credits/"):
        assert again.get(path)["Location"] == "/agency/deleted/"
    assert again.post("/settings/", {"name": "Mine", "time_zone": "UTC"}).status_code == 403
    page = again.get("/agency/deleted/").content.decode()
    assert "Its Owner can restore it until" in page
    assert "Restore Northlight" not in page
    assert "Restore Northlight" in Visitor(PLATFORM, cast.nora).get("/agency/deleted/").content.decode()
    assert {message.to[0] for message in mails() if "is deleted" in message.subject} == {
        "nora@northlight.example",
        "adam@northlight.example",
    }


def test_workspaces_answer_one_page_without_a_name_and_nothing_is_spent(cast: Cast) -> None:
    delete(cast)

    for user in (None, cast.paul, cast.tess, cast.nora):
        answers = [
            Visitor(host_of(cast.acme), user).get(path) for path in ("/", "/sign-in/", "/widget.js", "/chatbots/", "/api/v1/sub-accounts")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
        assert "Acme" not in answers[0].content.decode()
    with pytest.raises(lifecycle.Suspended):
        lifecycle.may_act(cast.acme)
    lifecycle.may_act(cast.beacon)
    with pytest.raises(opening.AgencyDeleted):
        opening.open_sub_account(agency=cast.northlight, first_name="A", last_name="B", slug="after-all", has_login=False, by=TESTS)


def test_nobody_is_mailed_the_way_to_a_closed_workspace(cast: Cast, mails: Mails) -> None:
    delete(cast)
    Visitor(PLATFORM).post("/find-workspace/", {"email": cast.paul.email})
    assert cast.paul.email not in {address for message in mails() for address in message.to}


def test_restored_it_is_exactly_as_it_was(cast: Cast) -> None:
    before = state(cast.northlight)
    delete(cast)
    nora = Visitor(PLATFORM, cast.nora)
    for who in ("adam", "rita"):
        assert Visitor(PLATFORM, getattr(cast, who)).post(f"/agency/{cast.northlight.public_id}/restoration/").status_code == 404

    with time_machine.travel(clock.now() + timedelta(days=29, hours=23)):
        assert deletion.purge_due() == 0
        deletion.restore(agency=cast.northlight, owner=cast.nora, by=TESTS)

    assert state(cast.northlight) == before
    assert nora.get("/home/").status_code == 200
    assert is_signed_in(sign_in("paul@acme-plumbing.example", host_of(cast.acme))[0])
    lifecycle.may_act(cast.acme)
    assert [AuditRecord.objects.filter(action=f"agency.{what}").count() for what in ("deleted", "restored")] == [1, 1]


def test_the_button_restores_and_only_what_is_deleted(cast: Cast) -> None:
    nora, path = Visitor(PLATFORM, cast.nora), f"/agency/{cast.northlight.public_id}/restoration/"
    assert nora.post(path).status_code == 409
    delete(cast)
    assert nora.post(path).status_code == 302
    assert cast.northlight.deleted_at is None
    delete(cast)
    with time_machine.travel(clock.now() + PASSED):
        assert Visitor(PLATFORM, cast.nora).post(path).status_code == 409


def test_f08_after_thirty_days_only_the_books_are_left(cast: Cast) -> None:
    northlight, harbour = cast.northlight, state(cast.harbour)["agency"]
    entries, records = Entry.objects.count(), AuditRecord.objects.count()
    ids = [cast.nora.pk, cast.adam.pk, cast.mia.pk, cast.paul.pk, cast.tess.pk, cast.kira.pk]
    theirs = set(SubAccount.objects.filter(agency=northlight).values_list("schema_name", flat=True))
    Membership.objects.create(agency=cast.harbour, user=cast.adam, role="member")
    delete(cast)
    outbox.deliver_due()  # what happened so far would be long overdue a month on

    with time_machine.travel(clock.now() + PASSED):
        # As far as a purge that was killed came, then from there to the end, and once more for nothing.
        first = SubAccount.objects.filter(agency=northlight).order_by("pk").first()
        assert first is not None
        deletion._purge_sub_account(first.pk)
        deletion._purge_sub_account(first.pk)
        assert deletion.purge_due() == 1
        after = list(SubAccount.objects.filter(agency=northlight).order_by("pk").values())
        deletion.purge(northlight)
        assert deletion.purge_due() == 0

        assert list(SubAccount.objects.filter(agency=northlight).order_by("pk").values()) == after
        assert not theirs & schemas()
        assert {row["name"] for row in after} == {"Former client"}
        assert addresses.is_taken("acme-plumbing")
        assert addresses.is_taken("northlight")
        assert Visitor("acme-plumbing.localhost:8000").get("/").status_code == 404
    with time_machine.travel(clock.now() + PASSED + timedelta(days=91)):
        assert not addresses.is_taken("acme-plumbing")

    blank = User.objects.filter(pk__in=ids).exclude(email="adam@northlight.example")
    assert {(user.first_name, user.last_name, user.is_active) for user in blank} == {("", "", False)}
    assert {user.email.partition("@")[2] for user in blank} == {"gone.invalid"}
    assert blank.count() == 5
    assert Membership.objects.get(user=cast.adam).agency == cast.harbour
    assert Entry.objects.count() == entries
    assert AuditRecord.objects.count() > records
    assert model_to_dict(cast.harbour) == harbour
    assert {name: lines for name, lines in invariants.check_all().items() if lines} == {}


@pytest.mark.django_db(transaction=True)
def test_deleting_waits_for_whoever_is_spending(agency: Agency) -> None:
    ours, spent, deleted = SubAccount.objects.get(agency=agency), threading.Event(), threading.Event()
    order: list[str] = []

    def run() -> None:
        deletion.delete(agency=agency, owner=person(agency, "o"), by=TESTS)
        order.append("deleted")
        deleted.set()
        connection.close()

    with transaction.atomic():
        lifecycle.may_act(ours)
        thread = threading.Thread(target=run)
        thread.start()
        spent.wait(0.3)
        order.append("spent")
    assert deleted.wait(10)
    thread.join()

    assert order == ["spent", "deleted"]
    with pytest.raises(lifecycle.Suspended):
        lifecycle.may_act(ours)
