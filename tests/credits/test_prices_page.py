"""X-01: an agency sets its markups and rates, for all clients and for one."""

import re
from decimal import Decimal
from typing import Any

import pytest

from agency.models import AuditRecord
from credits import prices, rates
from credits.models import Markup, Rate
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of

PRICES = "/credits/prices/"


@pytest.fixture
def nora(cast: Cast) -> Visitor:
    return Visitor(PLATFORM, cast.nora)


def address(of: SubAccount) -> str:
    return f"/sub-accounts/{of.public_id}/prices/"


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def price(of: SubAccount, unit: str = "credit") -> Decimal | None:
    return prices.price(unit, "USD", agency_id=of.agency.public_id, sub_account_id=of.public_id)


def cost(of: SubAccount, kind: str = "ai_reply") -> int:
    return rates.cost(kind, agency_id=of.agency.public_id, sub_account_id=of.public_id).amount


def test_a_markup_and_a_rate_hold_for_all_clients_and_are_on_record(cast: Cast, nora: Visitor) -> None:
    page = text(nora.post(PRICES, {"markup_credit": "20", "rate_ai_reply": "2", "rate_call_basic": "1.5"}, follow=True))

    assert "The prices of all clients are saved." in page
    assert "$0.06" in page
    assert (price(cast.acme), cost(cast.acme), cost(cast.koala, "call_basic")) == (Decimal("0.06"), 2, 2)
    assert (cost(cast.beacon), price(cast.beacon)) == (1, Decimal("0.05"))
    record = AuditRecord.objects.get(action="prices.changed")
    assert (record.subject, record.before, record.after) == (
        "all clients",
        {"markup credit": None, "rate ai_reply": None, "rate call_basic": None},
        {"markup credit": "20", "rate ai_reply": 2, "rate call_basic": 90},
    )


def test_a_clients_own_prices_come_first_and_an_empty_field_takes_over_what_is_above(cast: Cast, nora: Visitor) -> None:
    nora.post(PRICES, {"markup_credit": "20", "rate_ai_reply": "2"})
    page = text(nora.post(address(cast.acme), {"markup_credit": "50", "rate_ai_reply": "3"}, follow=True))

    assert "The prices of Acme Plumbing are saved." in page
    assert (price(cast.acme), price(cast.koala), cost(cast.acme), cost(cast.koala)) == (Decimal("0.075"), Decimal("0.06"), 3, 2)
    nora.post(address(cast.acme), {})
    assert (price(cast.acme), cost(cast.acme)) == (Decimal("0.06"), 2)
    assert not Markup.objects.filter(owner_id=cast.acme.public_id).exists()
    assert not Rate.objects.filter(owner_id=cast.acme.public_id).exists()


def test_below_the_floor_is_refused_in_words(cast: Cast, nora: Visitor) -> None:
    rates.set_rate(owner_kind="platform", owner_id=None, kind="ai_reply", amount=5, by=TESTS)

    for where in (PRICES, address(cast.acme)):
        answer = nora.post(where, {"rate_ai_reply": "4", "markup_credit": "10"})
        assert answer.status_code == 400
        assert "The platform asks 5 credits: give that or more. Nothing was changed." in text(answer)
    assert cost(cast.acme) == 5
    assert not Markup.objects.exists()
    assert not AuditRecord.objects.filter(action="prices.changed").exists()


@pytest.mark.parametrize("where", ["agency", "client"])
@pytest.mark.parametrize(
    "typed",
    ["-5", "+5", "1,5", "1_000", "１００", "٣", "1e3", "1e999999", "NaN", "Infinity", "true", "0x10", "1 0", "1.005", "100000000",
     "9223372036854775808", "9" * 5000, "1\x00", "²", "1.5.5"],
)  # fmt: skip
def test_g02_what_is_no_number_changes_nothing(cast: Cast, nora: Visitor, where: str, typed: str) -> None:
    rows = Rate.objects.count()
    for field in ("markup_credit", "rate_ai_reply", "rate_call_basic"):
        answer = nora.post(PRICES if where == "agency" else address(cast.acme), {field: typed})
        assert answer.status_code == 400
        assert answer.context["form"].errors[field]
    assert not Markup.objects.exists()
    assert Rate.objects.count() == rows
    assert not AuditRecord.objects.filter(action="prices.changed").exists()


def test_a_markup_below_zero_is_told_what_a_markup_is(cast: Cast, nora: Visitor) -> None:
    page = nora.post(PRICES, {"markup_credit": "-5"}).content.decode()
    assert "Enter a percentage from 0 to 10,000" in page
    assert 'value="-5"' in page


def test_part_of_a_credit_is_no_rate(cast: Cast, nora: Visitor) -> None:
    answer = nora.post(PRICES, {"rate_ai_reply": "1.5"})
    assert "There are no such parts of a credit" in text(answer)


def test_only_who_moves_credits_changes_prices_and_only_of_its_own_clients(cast: Cast, nora: Visitor) -> None:
    assert Visitor(PLATFORM, cast.adam).post(PRICES, {"markup_credit": "1"}).status_code == 302
    assert Visitor(PLATFORM, cast.mia).post(PRICES, {"markup_credit": "2"}).status_code == 403
    assert Visitor(PLATFORM, cast.rita).post(address(cast.acme), {"markup_credit": "3"}).status_code == 404
    assert Visitor(host_of(cast.acme), cast.paul).get(PRICES).status_code == 404
    assert price(cast.acme) == Decimal("0.0505")


def test_the_pages_of_a_client_lead_there(cast: Cast, nora: Visitor) -> None:
    assert address(cast.acme) in nora.get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()
