"""C-16, P-08: an agency tops a client up out of its pool and takes back what is unspent."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from agency.models import AuditRecord
from credits import checks, ledger
from credits.models import Entry, Unit
from subaccounts import activity, allocating
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    """The pool has 1,000 trial credits, 2,342 that were bought, and half an hour of premium minutes."""
    for unit, amount in (("credit", 2342), ("premium_minute", 30 * 60)):
        ledger.grant(to=cast.northlight.pool(unit), amount=amount, source="purchase", key=f"t:{uuid4()}", by=TESTS)
    return Visitor(PLATFORM, cast.nora)


def address(of: SubAccount) -> str:
    return f"/sub-accounts/{of.public_id}/allocation/"


def send(by: Visitor, to: SubAccount, act: str, amount: str, *, unit: str = "credit", key: UUID | None = None) -> Any:
    return by.post(address(to), {"act": act, "unit": unit, "amount": amount, "key": str(key or uuid4())}, follow=True)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def balances(cast: Cast, unit: str = "credit") -> tuple[int, int]:
    return cast.northlight.pool(unit).balance, cast.acme.wallet(unit).balance


def test_topping_up_moves_credits_says_so_and_is_on_record(cast: Cast, nora: Visitor) -> None:
    page = text(send(nora, cast.acme, "top_up", "100"))

    assert "Acme Plumbing is topped up with 100 credits. Pool 3,342 → 3,242, Acme Plumbing 100 → 200." in page
    assert balances(cast) == (3242, 200)
    record = AuditRecord.objects.get(action="credits.allocated")
    assert (record.sub_account_id, record.subject) == (cast.acme.public_id, "100 credits to Acme Plumbing")
    assert (record.before, record.after) == (
        {"unit": "credit", "pool": 3342, "own": 100},
        {"unit": "credit", "pool": 3242, "own": 200},
    )
    assert checks.audit() == []


def test_taking_back_moves_what_is_transferable_and_is_on_record(cast: Cast, nora: Visitor) -> None:
    send(nora, cast.acme, "top_up", "1500")

    too_much = text(send(nora, cast.acme, "take_back", "501"))
    page = text(send(nora, cast.acme, "take_back", "500"))

    assert "500 credits can be taken back. Nothing was moved." in too_much
    assert "500 credits taken back from Acme Plumbing. Pool 1,842 → 2,342, Acme Plumbing 1,600 → 1,100." in page
    assert balances(cast) == (2342, 1100)
    assert AuditRecord.objects.get(action="credits.reclaimed").subject == "500 credits from Acme Plumbing"


def test_minutes_are_given_and_shown_in_minutes(cast: Cast, nora: Visitor) -> None:
    page = text(send(nora, cast.acme, "top_up", "12", unit="premium_minute"))

    assert "topped up with 12 premium minutes. Pool 30 → 18, Acme Plumbing 0 → 12." in page
    assert balances(cast, "premium_minute") == (18 * 60, 12 * 60)


@pytest.mark.parametrize("act", ["top_up", "take_back"])
@pytest.mark.parametrize(
    "amount",
    ["", "0", "000", "-5", "+5", "1.5", "1,5", "1_000", "１００", "٣", "1e3", "NaN", "Infinity", "true", "0x10", "1 0", "1000000000",
     "9223372036854775808", "9" * 5000, "1\x00", "²"],
)  # fmt: skip
def test_g02_what_is_no_amount_changes_nothing(cast: Cast, nora: Visitor, act: str, amount: str) -> None:
    before = Entry.objects.count()

    answer = send(nora, cast.acme, act, amount)

    assert answer.status_code == 200
    assert answer.context["form"].errors["amount"]
    assert Entry.objects.count() == before
    assert balances(cast) == (3342, 100)
    assert not AuditRecord.objects.filter(action__startswith="credits.").exists()


def test_the_page_says_what_of_the_pool_would_not_come_back(cast: Cast, nora: Visitor) -> None:
    before = text(nora.get(address(cast.acme)))
    after = text(send(nora, cast.acme, "top_up", "1000"))

    assert "1,000 credits of your pool are presents" in before
    assert "presents, as trial credits are" not in after
    assert [balance.reclaimable for balance in allocating.balances_of(cast.acme)] == [0, 0]


def test_more_than_the_pool_has_changes_nothing(cast: Cast, nora: Visitor) -> None:
    page = text(send(nora, cast.acme, "top_up", "3343"))

    assert "The pool has 3,342 credits to give. Nothing was moved." in page
    assert balances(cast) == (3342, 100)


@pytest.mark.parametrize("fields", [{"unit": "gold"}, {"key": "x"}, {"key": ""}])
def test_a_form_that_was_tampered_with_changes_nothing(cast: Cast, nora: Visitor, fields: dict[str, str]) -> None:
    answer = nora.post(address(cast.acme), {"act": "top_up", "unit": "credit", "amount": "5", "key": str(uuid4()), **fields})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert balances(cast) == (3342, 100)


def test_a_button_that_is_not_there(cast: Cast, nora: Visitor) -> None:
    assert send(nora, cast.acme, "burn", "5").status_code == 400


def test_g04_the_same_form_sent_again_moves_once_and_answers_the_same(cast: Cast, nora: Visitor) -> None:
    key = uuid4()
    answers = [text(send(nora, cast.acme, "top_up", "3342", key=key)) for _ in range(3)]

    assert all("Pool 3,342 → 0, Acme Plumbing 100 → 3,442." in answer for answer in answers)
    assert balances(cast) == (0, 3442)
    assert AuditRecord.objects.filter(action="credits.allocated").count() == 1


@pytest.mark.parametrize(("act", "amount"), [("top_up", "6"), ("take_back", "5")])
def test_g04_the_same_form_with_something_else_in_it_is_refused(cast: Cast, nora: Visitor, act: str, amount: str) -> None:
    key = uuid4()
    send(nora, cast.acme, "top_up", "5", key=key)

    answer = send(nora, cast.acme, act, amount, key=key)

    assert answer.status_code == 409
    assert "This form was sent before" in text(answer)
    assert balances(cast) == (3337, 105)


def test_the_deed_itself_does_not_move_twice(cast: Cast, nora: Visitor) -> None:
    key, unit = uuid4(), Unit.objects.get(code="credit")
    moves = [allocating.move(act=allocating.TOP_UP, sub_account=cast.acme, unit=unit, amount=2000, key=key, by=TESTS) for _ in range(2)]

    assert moves[0] == moves[1] == allocating.Movement(unit, 2000, (3342, 1342), (100, 2100))
    assert balances(cast) == (1342, 2100)


def test_an_amount_in_the_address_is_a_preview_and_moves_nothing(cast: Cast, nora: Visitor) -> None:
    good = text(nora.get(address(cast.acme), {"act": "top_up", "unit": "credit", "amount": "100"}))
    bad = text(nora.get(address(cast.acme), {"act": "take_back", "unit": "credit", "amount": "1"}))

    assert "Pool 3,342 → 3,242, Acme Plumbing 100 → 200" in good
    assert "0 credits can be taken back" in bad
    assert balances(cast) == (3342, 100)


def test_it_is_for_owner_and_admin_and_ones_own_clients(cast: Cast, nora: Visitor) -> None:
    assert "is topped up" in text(send(Visitor(PLATFORM, cast.adam), cast.acme, "top_up", "1"))
    assert send(Visitor(PLATFORM, cast.mia), cast.acme, "top_up", "1").status_code == 403
    assert send(nora, cast.beacon, "top_up", "1").status_code == 404
    assert send(Visitor(PLATFORM, cast.rita), cast.acme, "take_back", "1").status_code == 404
    assert send(Visitor(host_of(cast.acme), cast.paul), cast.acme, "top_up", "1").status_code == 404
    assert balances(cast) == (3341, 101)


def test_the_pages_of_the_client_and_the_statement_tell_of_it_in_words(cast: Cast, nora: Visitor) -> None:
    send(nora, cast.acme, "top_up", "1500")
    send(nora, cast.acme, "take_back", "20")

    page = text(nora.get(f"/sub-accounts/{cast.acme.public_id}/"))
    edit = text(nora.get(f"/sub-accounts/{cast.acme.public_id}/edit/"))
    lines = text(nora.get("/credits/statement/"))

    assert address(cast.acme) in page
    assert address(cast.acme) in edit
    assert "1,580" in page
    assert "1,580" in edit
    assert [(line.what, line.signed) for line in activity.lines_of(cast.acme)][:2] == [
        ("Taken back to the pool", "−20 credits"),
        ("Top-up from the pool", "+500 credits"),
    ]
    assert "Top-up from the pool" in lines
    assert "agency pool" in lines
    told = [event.text for event in activity.recent(cast.northlight)]
    assert told[:2] == ["took back 20 credits from Acme Plumbing", "moved 1,500 credits to Acme Plumbing out of the pool"]
    assert not any(text.startswith(("allocation", "reclaim")) for text in told)


def test_p06_the_client_sees_no_balance(cast: Cast, nora: Visitor) -> None:
    send(nora, cast.acme, "top_up", "777")
    paul = Visitor(host_of(cast.acme), cast.paul)

    for page in ("/", "/usage/"):
        shown = paul.get(page)
        assert shown.status_code == 200
        assert "877" not in shown.content.decode()


def test_a_member_of_the_team_is_offered_nothing(cast: Cast) -> None:
    page = text(Visitor(PLATFORM, cast.mia).get(f"/sub-accounts/{cast.acme.public_id}/"))
    assert "allocation/" not in page
