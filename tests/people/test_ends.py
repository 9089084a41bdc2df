"""Sessions end with a person's rights, and no agency is ever without its Owner."""

import pytest
from allauth.usersessions.models import UserSession
from django.db import IntegrityError, connection, transaction

from agency import sessions
from agency.models import Agency, Membership
from tests.cast import Cast, host_of
from tests.entrance import is_signed_in, sign_in


def settle_constraints() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def test_every_session_of_a_person_ends_listed_or_not(cast: Cast) -> None:
    listed, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    unlisted, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    other, _ = sign_in("tess@acme-plumbing.example", host_of(cast.acme))
    assert is_signed_in(listed)
    assert is_signed_in(unlisted)
    UserSession.objects.filter(session_key=unlisted.session.session_key).delete()

    sessions.end_all(cast.paul)

    assert not is_signed_in(listed)
    assert not is_signed_in(unlisted)
    assert is_signed_in(other)
    assert not UserSession.objects.filter(user=cast.paul).exists()


def test_whoever_was_ended_signs_in_again_and_can_be_ended_again(cast: Cast) -> None:
    sessions.end_all(cast.paul)
    again, _ = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    assert is_signed_in(again)

    sessions.end_all(cast.paul)

    assert not is_signed_in(again)


@pytest.mark.parametrize("how", ["removed", "demoted", "opened without"])
def test_d06_no_transaction_commits_an_agency_without_an_owner(cast: Cast, how: str) -> None:
    owner = Membership.objects.filter(agency=cast.northlight, role="owner")
    with pytest.raises(IntegrityError, match="without an Owner"), transaction.atomic():
        if how == "removed":
            owner.delete()
        elif how == "demoted":
            owner.update(role="admin")
        else:
            Agency.objects.create(name="Nobody's", slug="nobodys", plan=cast.northlight.plan)
        settle_constraints()


def test_the_role_may_pass_on_inside_a_transaction(cast: Cast) -> None:
    Membership.objects.filter(user=cast.nora).update(role="admin")
    Membership.objects.filter(user=cast.adam).update(role="owner")
    settle_constraints()
