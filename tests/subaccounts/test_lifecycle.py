"""Suspending and restoring, through the deed and the pages (U-01 … U-13, decision 1)."""

import pytest
from django.db import transaction

from agency.models import AuditRecord
from subaccounts import invariants, lifecycle
from subaccounts.models import SubAccount, Suspension
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of


def test_a_suspended_client_cannot_act_whatever_the_object_in_hand_remembers(cast: Cast) -> None:
    acme = cast.acme
    assert acme.suspension is None
    lifecycle.may_act(acme)

    lifecycle.suspend(sub_account=cast.acme, by=TESTS)

    with pytest.raises(lifecycle.Suspended):
        lifecycle.may_act(acme)


def test_a_removed_client_cannot_act(cast: Cast) -> None:
    acme = cast.acme
    SubAccount.objects.filter(pk=acme.pk).update(status=SubAccount.REMOVED)

    with pytest.raises(lifecycle.Suspended):
        lifecycle.may_act(acme)


def test_restored_it_acts_again_and_others_never_stopped(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    lifecycle.may_act(cast.koala)

    lifecycle.restore(sub_account=cast.acme, by=TESTS)

    lifecycle.may_act(cast.acme)
    assert Suspension.objects.get(sub_account=cast.acme).lifted_at is not None


def test_h09_the_primary_cannot_be_suspended(cast: Cast) -> None:
    primary = SubAccount.objects.get(agency=cast.northlight, is_primary=True)

    with pytest.raises(lifecycle.PrimaryStays):
        lifecycle.suspend(sub_account=primary, by=TESTS)


def test_twice_is_refused_and_changes_nothing(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.acme, note="first", by=TESTS)

    with pytest.raises(lifecycle.AlreadySuspended):
        lifecycle.suspend(sub_account=cast.acme, note="second", by=TESTS)
    assert Suspension.objects.get(sub_account=cast.acme).note == "first"
    lifecycle.restore(sub_account=cast.acme, by=TESTS)
    with pytest.raises(lifecycle.NotSuspended):
        lifecycle.restore(sub_account=cast.acme, by=TESTS)


def test_u12_the_page_suspends_and_restores_on_the_record(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    page = f"/sub-accounts/{cast.acme.public_id}/suspension/"
    assert "Suspend Acme Plumbing" in nora.get(page).content.decode()

    nora.post(page, {"policy": "read_only", "reason": "overdue_payment", "note": "Please call us."})
    shown = nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()
    nora.post(f"/sub-accounts/{cast.acme.public_id}/restoration/")

    assert "Please call us." in shown
    assert "Overdue payment" in shown
    record = AuditRecord.objects.get(action="sub_account.suspended")
    assert (record.actor_id, record.after["reason"]) == (str(cast.nora.public_id), "overdue_payment")
    assert AuditRecord.objects.filter(action="sub_account.restored").count() == 1
    assert cast.acme.suspension is None


def test_f05_a_note_has_at_most_150_characters_and_is_shown_literally(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    page = f"/sub-accounts/{cast.acme.public_id}/suspension/"

    assert nora.post(page, {"policy": "read_only", "reason": "other", "note": "x" * 151}).status_code == 200
    assert cast.acme.suspension is None
    nora.post(page, {"policy": "lockout", "reason": "other", "note": "<script>alert(1)</script>"})

    locked = Visitor(host_of(cast.acme), cast.paul).get("/").content.decode()
    assert "&lt;script&gt;alert(1)" in locked
    assert "<script>alert" not in locked


def test_u02_a_member_cannot_suspend(cast: Cast) -> None:
    mia = Visitor(PLATFORM, cast.mia)

    assert mia.post(f"/sub-accounts/{cast.acme.public_id}/suspension/", {"policy": "lockout", "reason": "other"}).status_code == 403
    assert cast.acme.suspension is None


def test_a02_another_agencys_client_cannot_be_suspended_or_restored(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    beacon = cast.beacon.public_id

    assert nora.post(f"/sub-accounts/{beacon}/suspension/", {"policy": "lockout", "reason": "other"}).status_code == 404
    lifecycle.suspend(sub_account=cast.beacon, by=TESTS)
    assert nora.post(f"/sub-accounts/{beacon}/restoration/").status_code == 404
    assert cast.beacon.suspension is not None


def test_u09_read_only_lets_the_client_look_and_says_why_nothing_changes(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.acme, policy="read_only", note="Invoice 12 is open.", by=TESTS)
    paul = Visitor(host_of(cast.acme), cast.paul)

    looked = paul.get("/")
    changed = paul.post("/chatbots/new/", {"name": "New"})

    assert looked.status_code == 200
    assert "Invoice 12 is open." in looked.content.decode()
    assert changed.status_code == 403
    assert "Invoice 12 is open." in changed.content.decode()


def test_u08_lockout_shows_the_client_the_note_and_nothing_else(cast: Cast) -> None:
    lifecycle.suspend(sub_account=cast.acme, policy="lockout", note="Invoice 12 is open.", by=TESTS)

    page = Visitor(host_of(cast.acme), cast.paul).get("/")

    assert page.status_code == 403
    assert "Invoice 12 is open." in page.content.decode()


def test_an_agency_without_an_owner_is_noticed(cast: Cast) -> None:
    assert list(invariants.agencies()) == []

    with transaction.atomic():
        cast.nora.memberships.all().delete()
        assert list(invariants.agencies()) == ["northlight has 0 owners and 1 primary sub-accounts"]
        transaction.set_rollback(True)  # the database would not let it be committed
