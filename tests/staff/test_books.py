"""The books on the staff's host: units and prices, rates and deals, wallets and what became of them, adjusting."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agency.models import AuditRecord, User
from credits import checks, ledger, rates
from credits.models import BasePrice, Deal, Entry, Hold, Key, LowBalance, PlatformRate, Rate, Unit, Wallet
from kit import clock, units
from kit.ids import uuid7
from tests.cast import PLATFORM, TESTS, Cast, Visitor
from tests.credits.conftest import give, use

NO_PRICES = {"base_prices-TOTAL_FORMS": 0, "base_prices-INITIAL_FORMS": 0}


def prices(*rows: tuple[str, str]) -> dict[str, Any]:
    form: dict[str, Any] = {"base_prices-TOTAL_FORMS": len(rows), "base_prices-INITIAL_FORMS": 0}
    for place, (currency, price) in enumerate(rows):
        form |= {f"base_prices-{place}-currency": currency, f"base_prices-{place}-price": price}
    return form


def text(response: Any) -> str:
    return str(response.content.decode())


def last_record(action: str) -> AuditRecord:
    return AuditRecord.objects.filter(action=action).latest("at")


# --- Units and base prices -----------------------------------------------------------------------------------------------


def add_unit(desk: Visitor, code: str = "sms", **more: Any) -> Any:
    form = {"code": code, "name": "Text message", "plural": "Text messages", "steps": 1, "position": 9}
    return desk.post("/credits/unit/add/", {**form, **prices(("usd", "0.0125")), **more})


def test_a_unit_is_added_with_its_prices_and_a_wallet_for_everybody(cast: Cast, desk: Visitor, sara: User) -> None:
    assert add_unit(desk).status_code == 302
    assert BasePrice.objects.get(unit_id="sms").price == Decimal("0.0125")
    assert BasePrice.objects.get(unit_id="sms").currency == "USD"
    assert cast.northlight.pool("sms").balance == 0
    assert cast.beacon.wallet("sms").agency_id == cast.harbour.public_id
    assert Wallet.objects.filter(unit_id="sms", owner_kind="book").count() == 6
    owners = Wallet.objects.filter(unit_id="credit").exclude(owner_kind="book").count()
    assert Wallet.objects.filter(unit_id="sms").exclude(owner_kind="book").count() == owners
    record = last_record("unit.added")
    assert (record.agency, record.actor_kind, record.actor_id) == (None, "staff", str(sara.public_id))
    assert record.after["code"] == "sms"
    assert checks.audit() == []


def test_wallets_are_opened_in_one_statement_however_many_there_are(cast: Cast) -> None:
    Unit.objects.create(code="sms", name="Text message", plural="Text messages")
    with CaptureQueriesContext(connection) as queries:
        assert ledger.open_missing_wallets() > 0
    assert len(queries) == 1
    assert ledger.open_missing_wallets() == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"code": "SMS"}, "Use small letters"),
        ({"code": "credit"}, "already exists"),
        ({"steps": 0}, "steps make one"),
        ({"steps": 10**12}, "steps make one"),
        ({"steps": -1}, "Enter a number"),
        (prices(("XYZ", "1")), "three letters of a currency"),
        (prices(("XXX", "1")), "three letters of a currency"),
        (prices(("USD", "0")), "more than nothing"),
        (prices(("USD", "-1")), "Enter a number"),
        (prices(("USD", "1e999999")), "Enter a number"),
        (prices(("USD", "0.1234567")), "no more than 6 decimal places"),
        (prices(("USD", "1"), ("usd", "2")), "duplicate"),
    ],
)
def test_what_is_no_unit_is_refused_in_words(cast: Cast, desk: Visitor, wrong: dict[str, Any], words: str) -> None:
    before = Unit.objects.count(), BasePrice.objects.count()
    answer = add_unit(desk, **wrong)
    assert (answer.status_code, words in text(answer)) == (200, True), re.findall(r"errorlist[^<]*<[^>]*>([^<]*)", text(answer))
    assert (Unit.objects.count(), BasePrice.objects.count()) == before


def test_what_a_stored_amount_means_cannot_be_changed(cast: Cast, desk: Visitor) -> None:
    form = {"code": "other", "name": "AI credit", "plural": "AI credits", "steps": 1000, "position": 3, **NO_PRICES}
    assert desk.post("/credits/unit/credit/change/", form).status_code == 302
    unit = Unit.objects.get(code="credit")
    assert (unit.name, unit.plural, unit.steps, unit.position) == ("AI credit", "AI credits", 1, 3)
    assert not Unit.objects.filter(code="other").exists()
    record = last_record("unit.changed")
    assert (record.before["name"], record.after["name"]) == ("credit", "AI credit")


def test_a_price_is_changed_and_on_record_with_what_it_was(cast: Cast, desk: Visitor) -> None:
    rows = list(BasePrice.objects.filter(unit_id="credit").order_by("currency"))
    form: dict[str, Any] = {"name": "Credit", "plural": "Credits", "position": 0}
    form |= {"base_prices-TOTAL_FORMS": len(rows), "base_prices-INITIAL_FORMS": len(rows)}
    for place, row in enumerate(rows):
        form |= {f"base_prices-{place}-id": row.pk, f"base_prices-{place}-unit": "credit", f"base_prices-{place}-currency": row.currency}
        form |= {f"base_prices-{place}-price": "0.07" if row.currency == "USD" else row.price}
    answer = desk.post("/credits/unit/credit/change/", form)
    assert answer.status_code == 302, text(answer)
    assert BasePrice.objects.get(unit_id="credit", currency="USD").price == Decimal("0.07")
    record = last_record("unit.changed")
    assert ("0.050000" in str(record.before), "0.07" in str(record.after)) == (True, True)


def test_a_unit_nobody_used_is_deleted_and_one_in_use_is_not(cast: Cast, desk: Visitor) -> None:
    add_unit(desk)
    add_unit(desk, code="fax", name="Fax")
    give(cast.northlight.pool("fax"), 5)
    assert desk.get("/credits/unit/sms/delete/").status_code == 200
    assert desk.post("/credits/unit/sms/delete/").status_code == 302
    assert not Wallet.objects.filter(unit_id="sms").exists()
    assert last_record("unit.deleted").before == {"code": "sms"}
    for code, words in (("fax", "is in use"), ("credit", "cannot be deleted")):
        answer = desk.post(f"/credits/unit/{code}/delete/")
        assert (answer.status_code, words in text(answer)) == (200, True)
        assert Unit.objects.filter(code=code).exists()
    assert checks.audit() == []


def test_a_new_name_is_read_by_every_process_within_a_minute(cast: Cast, desk: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert units.in_words(2, "credit") == "2 credits"
    Unit.objects.filter(code="credit").update(plural="Points")
    now = units.time.monotonic()
    monkeypatch.setattr(units.time, "monotonic", lambda: now + 61)
    assert units.in_words(2, "credit") == "2 points"
    units._of_code.cache_clear()


# --- Rates and deals -----------------------------------------------------------------------------------------------------


def test_a_platform_rate_is_changed_within_its_range(cast: Cast, desk: Visitor) -> None:
    rate = PlatformRate.objects.get(owner_kind="platform", kind="ai_reply")
    address = f"/credits/platformrate/{rate.pk}/change/"
    assert desk.post(address, {"amount": 2}).status_code == 302
    assert rates.cost("ai_reply", agency_id=cast.northlight.public_id, sub_account_id=None).amount == 2
    record = last_record("rate.changed")
    assert (record.before, record.after) == ({"amount": 1}, {"amount": 2})
    for wrong in ("0", "-1", "1.5", "1000001", "1e9", "", "many"):
        assert desk.post(address, {"amount": wrong}).status_code == 200, wrong
    own_key = PlatformRate.objects.get(owner_kind="platform", kind="own_key")
    assert desk.post(f"/credits/platformrate/{own_key.pk}/change/", {"amount": 0}).status_code == 302
    assert desk.get("/credits/platformrate/add/").status_code == 404
    assert desk.get(f"/credits/platformrate/{rate.pk}/delete/").status_code == 404


@pytest.mark.parametrize(
    "amount", ["1_000", "１０", "٣", "+5", "1.0", "1e3", "NaN", "Infinity", "true", "0x10", "²", "1\x00", "1,000", "9" * 5000]
)
def test_g02_what_python_would_read_as_a_number_is_none(cast: Cast, desk: Visitor, amount: str) -> None:
    rate = PlatformRate.objects.get(owner_kind="platform", kind="ai_reply")
    unit = {**NO_PRICES, "code": "fax", "name": "Fax", "plural": "faxes", "position": 9, "steps": amount}

    answers = [
        desk.post(f"/credits/platformrate/{rate.pk}/change/", {"amount": amount}),
        desk.post("/credits/deal/add/", {"agency": "northlight", "kind": "ai_reply", "amount": amount}),
        desk.post("/credits/unit/add/", unit),
    ]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert set(Rate.objects.filter(kind="ai_reply").values_list("owner_kind", "amount")) == {("platform", 1)}
    assert not Unit.objects.filter(code="fax").exists()


@pytest.mark.parametrize("typed", ["Northlight Digital", "northlight", "NORTHLIGHT digital", "id"])
def test_a_deal_is_made_with_an_agency_by_name(cast: Cast, desk: Visitor, typed: str) -> None:
    typed = str(cast.northlight.public_id) if typed == "id" else typed
    form = {"agency": typed, "kind": "ai_reply", "amount": 3}
    answer = desk.post("/credits/deal/add/", form)
    assert answer.status_code == 302, text(answer)
    deal = Deal.objects.get(owner_kind=Rate.DEAL)
    assert (deal.owner_id, deal.kind, deal.amount) == (cast.northlight.public_id, "ai_reply", 3)
    assert last_record("deal.added").agency == cast.northlight
    assert "Northlight Digital" in text(desk.get("/credits/deal/"))
    again = desk.post("/credits/deal/add/", form)
    assert (again.status_code, "There is a deal with Northlight Digital" in text(again)) == (200, True)
    assert desk.post(f"/credits/deal/{deal.pk}/change/", {"amount": 4}).status_code == 302
    assert rates.cost("ai_reply", agency_id=cast.northlight.public_id, sub_account_id=None).amount == 4
    assert rates.cost("ai_reply", agency_id=cast.harbour.public_id, sub_account_id=None).amount == 1
    assert desk.post(f"/credits/deal/{deal.pk}/delete/", {"post": "yes"}).status_code == 302
    assert last_record("deal.deleted").agency == cast.northlight


@pytest.mark.parametrize("wrong", [{"agency": "Nobody"}, {"agency": ""}, {"kind": "coffee"}, {"amount": 0}, {"amount": 10**7}])
def test_what_is_no_deal_is_refused(cast: Cast, desk: Visitor, wrong: dict[str, Any]) -> None:
    form = {"agency": "northlight", "kind": "ai_reply", "amount": 3, **wrong}
    assert desk.post("/credits/deal/add/", form).status_code == 200
    assert not Deal.objects.filter(owner_kind=Rate.DEAL).exists()


# --- Looking ---------------------------------------------------------------------------------------------------------------


def test_wallets_are_found_by_whose_they_are(cast: Cast, desk: Visitor) -> None:
    page = text(desk.get("/credits/wallet/", {"owner": "acme"}))
    assert "Northlight Digital: Acme Plumbing" in page
    assert "Beacon" not in page
    page = text(desk.get("/credits/wallet/", {"owner": "harbour", "kind": "agency", "unit": "credit"}))
    assert "Harbour &amp; Co: pool" in page
    assert "Acme" not in page
    assert "Nothing here for this search" in text(desk.get("/credits/wallet/", {"owner": "nobody at all"}))


def test_a_wallet_shows_balance_grants_holds_and_entries(cast: Cast, desk: Visitor) -> None:
    acme = cast.acme
    wallet = acme.wallet("credit")
    give(wallet, 500)
    use([wallet, cast.northlight.pool("credit")], 7, memo="Seven replies", sub_account_id=acme.public_id)
    ledger.hold(sources=[wallet], amount=3, key="a call", kind="call", by=TESTS, expires_at=clock.now() + timedelta(minutes=5))
    page = text(desk.get(f"/credits/wallet/{wallet.pk}/change/"))
    for shown in ("Northlight Digital: Acme Plumbing", "593", "590", "Starter credits", "Purchase", "Seven replies", "−7", "call"):
        assert shown in page, shown
    assert text(desk.get(f"/credits/wallet/{wallet.pk}/change/?before=2")).count("/credits/entry/") == 1
    assert desk.get(f"/credits/wallet/{wallet.pk}/change/?before=x").status_code == 200
    assert desk.get(f"/credits/wallet/{uuid7()}/change/").status_code == 404
    assert desk.get("/credits/wallet/x/change/").status_code == 404
    book = Wallet.objects.get(owner_kind="book", pk=Entry.objects.filter(kind="grant").latest("pk").from_wallet_id)
    assert "A boundary account" in text(desk.get(f"/credits/wallet/{book.pk}/change/"))


def test_entries_are_paged_by_key_and_never_counted(cast: Cast, desk: Visitor) -> None:
    wallet, pool = cast.acme.wallet("credit"), cast.northlight.pool("credit")
    give(wallet, 1000)
    for number in range(120):
        use([wallet, pool], 1, key=f"use {number}", sub_account_id=cast.acme.public_id)
    seen: list[str] = []
    address = "/credits/entry/?kind=ai_reply&agency=northlight"
    with CaptureQueriesContext(connection) as queries:
        while address:
            page = text(desk.get(address))
            seen += re.findall(r"/credits/entry/([0-9a-f-]{36})/change/", page)
            older = re.search(r'href="(\?[^"]*before=[^"]*)" rel="next"', page)
            address = f"/credits/entry/{older[1].replace('&amp;', '&')}" if older else ""
    wanted = Entry.objects.filter(agency_id=cast.northlight.public_id, kind="ai_reply").order_by("-pk").values_list("pk", flat=True)
    assert seen == [str(pk) for pk in wanted]
    entries = [query["sql"] for query in queries if '"credits_entry"' in query["sql"]]
    assert entries
    assert not any("COUNT(" in sql or "OFFSET" in sql for sql in entries)


def test_entries_are_narrowed_down(cast: Cast, desk: Visitor) -> None:
    wallet = cast.acme.wallet("credit")
    give(wallet, 10)
    use([wallet], 2, key="the one", sub_account_id=cast.acme.public_id)

    def found(**wish: Any) -> int:
        return len(set(re.findall(r"/credits/entry/([0-9a-f-]{36})/change/", text(desk.get("/credits/entry/", wish)))))

    today = clock.now().date()
    assert found(key="the one") == found(wallet=wallet.pk, kind="ai_reply") == found(client="acme-plumbing", kind="ai_reply") == 1
    assert found(key="nothing") == found(wallet=uuid7()) == found(until=today - timedelta(days=1), wallet=wallet.pk) == 0
    assert found(since=today, until=today, wallet=wallet.pk) == 3
    for wrong in ({"wallet": "x"}, {"agency": "nobody"}, {"since": "yesterday"}, {"kind": "x"}, {"before": "x"}, {"nonsense": "1"}):
        answer = desk.get("/credits/entry/", wrong)
        assert answer.status_code in (200, 302), wrong
    assert "There is no agency of this name" in text(desk.get("/credits/entry/", {"agency": "nobody"}))


@pytest.mark.parametrize("model", ["entry", "grant", "hold", "key", "lowbalance", "crossing", "wallet", "auditrun"])
def test_what_was_posted_is_read_only(cast: Cast, desk: Visitor, model: str) -> None:
    wallet = cast.acme.wallet("credit")
    ledger.set_threshold(wallet=wallet, low_at=1000, by=TESTS)
    ledger.hold(sources=[wallet], amount=1, key="held/one", kind="call", by=TESTS, expires_at=clock.now() + timedelta(minutes=5))
    assert LowBalance.objects.exists() and Hold.objects.exists() and Key.objects.exists()
    page = desk.get(f"/credits/{model}/")
    assert page.status_code == 200
    assert desk.get(f"/credits/{model}/add/").status_code == 404
    rows = re.findall(rf'/credits/{model}/([^/"]+)/change/', text(page))
    assert rows or model in ("crossing", "auditrun")
    for row in rows[:2]:
        one = desk.get(f"/credits/{model}/{row}/change/")
        assert one.status_code == 200
        assert 'name="_save"' not in text(one)
        assert desk.get(f"/credits/{model}/{row}/delete/").status_code == 404
        assert desk.post(f"/credits/{model}/{row}/change/", {"amount": 1}).status_code in (200, 403)
    assert checks.audit() == []


def test_lists_cost_the_same_number_of_queries_however_long(cast: Cast, desk: Visitor) -> None:
    wallet = cast.acme.wallet("credit")
    give(wallet, 1000)
    counts = []
    desk.get("/credits/grant/")
    for many in (1, 40):
        for number in range(many):
            use([wallet], 1, key=f"{many} {number}")
        with CaptureQueriesContext(connection) as queries:
            desk.get("/credits/entry/")
            desk.get("/credits/grant/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Adjusting -------------------------------------------------------------------------------------------------------------


def adjust(desk: Visitor, wallet: Wallet, **typed: Any) -> Any:
    form = {"direction": "add", "amount": "25", "reason": "Wrongly charged twice", "key": str(uuid7()), "confirmed": "1", **typed}
    return desk.post(f"/credits/wallet/{wallet.pk}/adjust/", {name: value for name, value in form.items() if value is not None})


def test_a_balance_is_adjusted_after_a_look(cast: Cast, desk: Visitor, sara: User) -> None:
    wallet = cast.acme.wallet("credit")
    ask = desk.get(f"/credits/wallet/{wallet.pk}/adjust/")
    key = re.search(r'name="key" value="([^"]+)"', text(ask))
    assert key
    preview = adjust(desk, wallet, key=key[1], confirmed=None)
    assert (preview.status_code, "Is this right?" in text(preview), "<dd>125</dd>" in text(preview)) == (200, True, True)
    assert cast.acme.wallet("credit").balance == 100
    done = adjust(desk, wallet, key=key[1])
    assert done.headers["Location"] == f"/credits/wallet/{wallet.pk}/change/"
    assert cast.acme.wallet("credit").balance == 125
    record = last_record("credits.adjusted")
    assert (record.agency, record.sub_account_id, record.actor_kind) == (cast.northlight, cast.acme.public_id, "staff")
    assert (record.before, record.after["balance"], record.after["reason"]) == ({"balance": 100}, 125, "Wrongly charged twice")
    assert sara.email not in record.actor_label
    assert checks.audit() == []


def test_the_agency_reads_why(cast: Cast, desk: Visitor, sara: User) -> None:
    adjust(desk, cast.northlight.pool("credit"), direction="take", amount="40")
    assert cast.northlight.pool("credit").balance == 960
    page = text(Visitor(PLATFORM, cast.nora).get("/credits/statement/"))
    assert "Wrongly charged twice" in page
    assert "Adjustment" in page
    assert sara.email not in page
    home = text(Visitor(PLATFORM, cast.nora).get("/home/"))
    assert "adjusted the" in home


def test_a_double_submit_adjusts_once(cast: Cast, desk: Visitor) -> None:
    key = str(uuid7())
    for _ in range(3):
        assert adjust(desk, cast.acme.wallet("credit"), direction="take", amount="100", key=key).status_code == 302
    assert cast.acme.wallet("credit").balance == 0
    assert AuditRecord.objects.filter(action="credits.adjusted").count() == 1
    other = adjust(desk, cast.acme.wallet("credit"), amount="7", key=key)
    assert (other.status_code, "idempotency key" in text(other)) == (200, True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amount": "0"}, "more than nothing"),
        ({"amount": "-5"}, "Enter a number"),
        ({"amount": "1.5"}, "smallest part"),
        ({"amount": "1e30"}, "Enter a number"),
        ({"amount": "999999999999999"}, "more than a wallet can hold"),
        ({"amount": "9" * 40}, "Enter a number"),
        ({"amount": ""}, "required"),
        ({"amount": "101", "direction": "take"}, "Only 100 are there"),
        ({"direction": "sideways"}, "Select a valid choice"),
        ({"reason": ""}, "required"),
        ({"reason": "  x  "}, "at least 5"),
        ({"reason": "x" * 201}, "at most 200"),
        ({"key": "x"}, "Please correct"),
    ],
)
@pytest.mark.parametrize("confirmed", ["1", None])
def test_what_is_no_adjustment_is_refused_in_words(cast: Cast, desk: Visitor, wrong: dict[str, Any], words: str, confirmed: Any) -> None:
    before = Entry.objects.count()
    answer = adjust(desk, cast.acme.wallet("credit"), **{"confirmed": confirmed, **wrong})
    assert (answer.status_code, words in text(answer)) == (200, True)
    assert (cast.acme.wallet("credit").balance, Entry.objects.count()) == (100, before)


def test_what_is_held_cannot_be_taken(cast: Cast, desk: Visitor) -> None:
    wallet = cast.acme.wallet("credit")
    ledger.hold(sources=[wallet], amount=30, key="held", kind="call", by=TESTS, expires_at=clock.now() + timedelta(minutes=5))
    assert "Only 70 are there and not held" in text(adjust(desk, wallet, direction="take", amount="71"))
    assert adjust(desk, wallet, direction="take", amount="70").status_code == 302


def test_minutes_are_adjusted_by_the_second(cast: Cast, desk: Visitor) -> None:
    wallet = cast.acme.wallet("basic_minute")
    assert adjust(desk, wallet, amount="1.5").status_code == 302
    assert cast.acme.wallet("basic_minute").balance == 90
    assert "1 + 30/60" in text(desk.get(f"/credits/wallet/{wallet.pk}/change/"))


def test_a_boundary_account_is_not_adjusted(cast: Cast, desk: Visitor) -> None:
    book = Wallet.objects.filter(owner_kind="book").first()
    assert book is not None
    assert adjust(desk, book).status_code == 404


# --- Who may -----------------------------------------------------------------------------------------------------------------

LOOKING = ["wallet", "entry", "grant", "hold", "key", "lowbalance", "crossing", "auditrun"]
PRICING = ["unit", "platformrate", "deal"]


@pytest.mark.parametrize(
    ("groups", "sees", "adjusts", "prices_things"),
    [
        ([], [], False, False),
        (["Books"], [*LOOKING, *PRICING], False, False),
        (["Pricing"], PRICING, False, True),
        (["Adjustments"], [*LOOKING, *PRICING], True, False),
        (["Pricing", "Adjustments"], [*LOOKING, *PRICING], True, True),
    ],
)
def test_groups_say_what_staff_may_do(
    cast: Cast, of_group: Callable[..., Visitor], groups: list[str], sees: list[str], adjusts: bool, prices_things: bool
) -> None:
    browser = of_group(*groups)
    assert browser.get("/").status_code == 200
    for model in [*LOOKING, *PRICING]:
        assert browser.get(f"/credits/{model}/").status_code == (200 if model in sees else 403), model
    wallet = cast.acme.wallet("credit")
    assert browser.get(f"/credits/wallet/{wallet.pk}/adjust/").status_code == (200 if adjusts else 403)
    assert adjust(browser, wallet).status_code == (302 if adjusts else 403)
    assert cast.acme.wallet("credit").balance == (125 if adjusts else 100)
    assert add_unit(browser).status_code == (302 if prices_things else 403)
    rate = PlatformRate.objects.get(owner_kind="platform", kind="ai_reply")
    assert browser.post(f"/credits/platformrate/{rate.pk}/change/", {"amount": 2}).status_code == (302 if prices_things else 403)
    assert browser.post("/credits/deal/add/", {"agency": "northlight", "kind": "ai_reply", "amount": 2}).status_code == (
        302 if prices_things else 403
    )
    assert browser.get("/credits/unit/credit/delete/").status_code == (200 if prices_things else 403)


# --- Addresses nobody would click ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["unit", "platformrate", "deal", "wallet", "entry", "grant", "hold", "key", "lowbalance", "crossing", "auditrun"]
)
def test_what_no_address_asks_for_is_refused_without_a_word_of_the_database(desk: Visitor, model: str) -> None:
    assert desk.get(f"/credits/{model}/x/change/?_to_field=").status_code == 404
    assert desk.get(f"/credits/{model}/x/change/?_to_field=nothing").status_code in (400, 404)
    assert desk.get(f"/credits/{model}/_00/change/").status_code == 404
    for query in ("before=a%00b", "contact=%00", "key=%00", "q=%00"):
        assert desk.get(f"/credits/{model}/?{query}").status_code == 400, query
