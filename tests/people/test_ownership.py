"""Handing the agency over: offered, taken, declined, withdrawn, run out; one Owner all the while (E-02 … E-04)."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction

from agency import ownership
from agency.models import Agency, AuditRecord, Membership, OwnershipOffer, User
from kit import clock
from kit.refusal import Refusal
from subaccounts import opening, team
from tests.cast import PLATFORM, TESTS, Cast, Visitor
from tests.entrance import Mails


def offer_to(cast: Cast, who: str = "adam") -> Any:
    return Visitor(PLATFORM, cast.nora).post("/ownership/", {"to": str(getattr(cast, who).public_id)})


def owner_of(agency: Agency) -> str:
    return str(Membership.objects.get(agency=agency, role="owner").user.email)


def test_e03_offered_and_taken(cast: Cast, mails: Mails) -> None:
    assert offer_to(cast).status_code == 302
    adam = Visitor(PLATFORM, cast.adam)
    assert "You are offered the ownership" in adam.get("/home/").content.decode()
    assert "Nora Lind offers you" in adam.get("/ownership/offer/").content.decode()
    assert owner_of(cast.northlight) == "nora@northlight.example"

    assert adam.post("/ownership/taking/").status_code == 302

    assert owner_of(cast.northlight) == "adam@northlight.example"
    assert cast.nora.memberships.get().role == "admin"
    assert Visitor(PLATFORM, cast.nora).get("/ownership/").status_code == 403
    record = AuditRecord.objects.get(action="ownership.transferred")
    assert (record.before["owner"], record.after["owner"]) == ("nora@northlight.example", "adam@northlight.example")
    subjects = [(message.to[0].partition("@")[0], message.subject) for message in mails()]
    assert ("adam", "Nora Lind offers you the ownership of Northlight Digital") in subjects
    assert ("nora", "Northlight Digital has a new Owner") in subjects
    assert ("adam", "Northlight Digital has a new Owner") in subjects


@pytest.mark.parametrize("end", ["declined", "withdrawn", "expired"])
def test_an_offer_that_ends_changes_nothing_and_is_told(cast: Cast, mails: Mails, end: str) -> None:
    offer_to(cast)
    if end == "declined":
        assert Visitor(PLATFORM, cast.adam).post("/ownership/declining/").status_code == 302
    elif end == "withdrawn":
        assert Visitor(PLATFORM, cast.nora).post("/ownership/withdrawal/").status_code == 302
    else:
        with time_machine.travel(clock.now() + timedelta(days=7, seconds=1)):
            assert Visitor(PLATFORM, cast.adam).post("/ownership/taking/").status_code == 404
            assert ownership.sweep() == 1
            assert ownership.sweep() == 0

    assert owner_of(cast.northlight) == "nora@northlight.example"
    assert AuditRecord.objects.filter(action=f"ownership.{end}").count() == 1
    assert Visitor(PLATFORM, cast.adam).post("/ownership/taking/").status_code == 404
    assert "You are offered the ownership" not in Visitor(PLATFORM, cast.adam).get("/home/").content.decode()
    assert mails()[-1].to != []
    assert offer_to(cast, "mia").status_code == 302


def test_one_offer_at_a_time_and_to_colleagues_only(cast: Cast) -> None:
    for stranger in ("rita", "paul", "nora"):
        assert offer_to(cast, stranger).status_code == 200
    assert not OwnershipOffer.objects.exists()
    offer_to(cast)
    assert offer_to(cast, "mia").status_code == 409
    assert OwnershipOffer.objects.get(settled_at=None).offered_to == cast.adam


def test_only_whom_it_was_offered_to_takes_it(cast: Cast) -> None:
    offer_to(cast)
    for who in ("mia", "nora", "rita"):
        browser = Visitor(PLATFORM, getattr(cast, who))
        assert browser.get("/ownership/offer/").status_code == 404
        for what in ("taking", "declining"):
            assert browser.post(f"/ownership/{what}/").status_code == 404
    assert owner_of(cast.northlight) == "nora@northlight.example"
    assert OwnershipOffer.objects.get().settled_at is None


def test_both_have_shown_lately_that_it_is_them(cast: Cast) -> None:
    stale = Visitor(PLATFORM, cast.nora, recent=False)
    assert "/security/confirm/" in stale.post("/ownership/", {"to": str(cast.adam.public_id)})["Location"]
    assert not OwnershipOffer.objects.exists()
    offer_to(cast)
    assert "/security/confirm/" in Visitor(PLATFORM, cast.adam, recent=False).post("/ownership/taking/")["Location"]
    assert owner_of(cast.northlight) == "nora@northlight.example"


def test_whoever_is_removed_takes_nothing_over(cast: Cast) -> None:
    offer_to(cast)
    team.remove(user=cast.adam, agency=cast.northlight, by=TESTS)
    with pytest.raises(ownership.NoOffer):
        ownership.take(agency=cast.northlight, user=cast.adam, by=TESTS)
    assert OwnershipOffer.objects.get().settled_at is not None


# --- at once


@pytest.fixture
def agency(transactional_db: None) -> Agency:
    """An agency other connections see: an owner and two admins."""
    mark = uuid4().hex[:12]
    owner, *admins = (User.objects.create_user(email=f"{name}-{mark}@races.example") for name in ("o", "a", "b"))
    made = opening.open_agency(owner=owner, name="Races", slug=f"races-{mark}", by=TESTS)
    for admin in admins:
        Membership.objects.create(agency=made, user=admin, role="admin")
    return made


def person(agency: Agency, letter: str) -> User:
    return User.objects.get(memberships__agency=agency, email__startswith=f"{letter}-")


class Watcher(threading.Thread):
    """Counts the Owners again and again, on a connection of its own, until it is told to stop."""

    def __init__(self, agency: Agency) -> None:
        super().__init__()
        self.agency, self.counts, self.looks, self.done = agency, set[int](), 0, threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            self.counts.add(Membership.objects.filter(agency=self.agency, role="owner").count())
            self.looks += 1
        connection.close()


@contextmanager
def watched(agency: Agency) -> Iterator[None]:
    watcher = Watcher(agency)
    watcher.start()
    yield
    watcher.done.set()
    watcher.join()
    assert watcher.counts == {1}
    assert watcher.looks > 10


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each of them answers, or the refusal or the database's no."""
    gate = threading.Barrier(len(deeds))

    def run(deed: Callable[[], object]) -> object:
        try:
            gate.wait()
            return deed()
        except (Refusal, IntegrityError) as no:
            return no
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


def test_d03_one_offer_taken_many_times_at_once_is_taken_once(agency: Agency) -> None:
    owner, colleague = person(agency, "o"), person(agency, "a")
    ownership.offer(agency=agency, to=colleague, owner=owner, by=TESTS)

    with watched(agency):
        answers = at_once(*[partial(ownership.take, agency=agency, user=colleague, by=TESTS)] * 4)

    assert answers.count(None) == 1
    assert owner_of(agency) == colleague.email


def test_d03_two_transfers_at_once_leave_one_owner(agency: Agency) -> None:
    """Even past the offers, of which there is one: two transactions that each pass the role on."""

    @transaction.atomic
    def pass_on(to: User) -> None:
        Membership.objects.filter(agency=agency, role="owner").update(role="admin")
        Membership.objects.filter(agency=agency, user=to).update(role="owner")

    with watched(agency):
        for _ in range(5):
            at_once(partial(pass_on, person(agency, "a")), partial(pass_on, person(agency, "b")))

    assert Membership.objects.filter(agency=agency).count() == 3


def test_d06_a_transfer_against_the_removal_of_its_taker(agency: Agency) -> None:
    owner, colleague = person(agency, "o"), person(agency, "a")
    with watched(agency):
        for _ in range(4):
            Membership.objects.update_or_create(agency=agency, user=colleague, defaults={"role": "admin"})
            ownership.offer(agency=agency, to=colleague, owner=owner, by=TESTS)
            taken, removed = at_once(
                partial(ownership.take, agency=agency, user=colleague, by=TESTS),
                partial(team.remove, user=colleague, agency=agency, by=TESTS),
            )
            assert {type(taken), type(removed)} in ({type(None), team.OwnerStays}, {ownership.NoOffer, type(None)})
            if taken is None:
                ownership.offer(agency=agency, to=owner, owner=colleague, by=TESTS)
                ownership.take(agency=agency, user=owner, by=TESTS)
