"""Decision 6: whether a client sees its balances, as its agency chooses it."""

import pytest

from agency.models import AuditRecord
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, Cast, Visitor

MATRIX = [
    ("manual", "by_mode", False),
    ("manual", "shown", True),
    ("manual", "hidden", False),
    ("reselling", "by_mode", True),
    ("reselling", "shown", True),
    ("reselling", "hidden", False),
]


def choose(visitor: Visitor, sub_account: SubAccount, choice: str) -> int:
    form = {"name": sub_account.name, "balance_visibility": choice}
    return visitor.post(f"/sub-accounts/{sub_account.public_id}/edit/", form).status_code


@pytest.mark.parametrize(("mode", "choice", "shown"), MATRIX)
def test_the_mode_decides_unless_the_agency_does(cast: Cast, mode: str, choice: str, shown: bool) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(credit_mode=mode, balance_visibility=choice)
    assert cast.acme.shows_balance is shown


def test_the_agency_chooses_and_it_is_on_record(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)

    assert choose(nora, cast.acme, "shown") == 302

    record = AuditRecord.objects.filter(action="sub_account.edited").latest("at")
    assert (record.before["balance_visibility"], record.after["balance_visibility"]) == ("by_mode", "shown")
    page = nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()
    assert "Its usage and its own balances (chosen for this client)" in page


def test_the_page_says_what_the_mode_means(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    assert "Its usage, no balance (because it is in manual mode)" in nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()
    assert "hidden, because it is manual" in nora.get(f"/sub-accounts/{cast.acme.public_id}/edit/").content.decode()


@pytest.mark.parametrize("choice", ["", "always", "\x00"])
def test_another_word_changes_nothing(cast: Cast, choice: str) -> None:
    assert choose(Visitor(PLATFORM, cast.nora), cast.acme, choice) == 200
    assert cast.acme.balance_visibility == "by_mode"


def test_a_member_of_the_team_and_another_agency_cannot_choose(cast: Cast) -> None:
    assert choose(Visitor(PLATFORM, cast.mia), cast.acme, "shown") == 403
    assert choose(Visitor(PLATFORM, cast.rita), cast.acme, "shown") == 404
    assert cast.acme.balance_visibility == "by_mode"
