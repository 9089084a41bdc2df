"""What must be true of people, asked of the data."""

from agency.models import Membership, User
from kit import invariants
from subaccounts.models import Access
from tests.cast import Cast

OURS = ("teams and staff belong to no realm", "clients enter sub-accounts of their own realm, team members those of their own agency")


def broken() -> set[str]:
    results = invariants.check_all()
    return {line for name in OURS for line in results[name]}


def test_the_cast_breaks_nothing(cast: Cast) -> None:
    assert broken() == set()


def test_a_client_in_a_team_is_noticed(cast: Cast) -> None:
    Membership.objects.create(agency=cast.northlight, user=cast.paul, role="member")
    User.objects.filter(pk=cast.ben.pk).update(is_staff=True)
    assert len(broken()) == 2


def test_somebody_let_in_from_elsewhere_is_noticed(cast: Cast) -> None:
    Access.objects.create(sub_account=cast.acme, user=cast.ben, role="sub_account_member")
    Access.objects.create(sub_account=cast.acme, user=cast.rita, role=Access.GRANTED)
    assert broken() == {
        "ben@beacon-dental.example as sub_account_member in acme-plumbing",
        "rita@harbour.example as member in acme-plumbing",
    }


def test_a_grant_outlives_no_membership(cast: Cast) -> None:
    Membership.objects.filter(user=cast.mia).delete()
    assert broken() == {"mia@northlight.example as member in acme-plumbing"}
