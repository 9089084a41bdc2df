"""Wallets, grants, uses, holds, transfers, the statement and usage, as programs see them."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from agency.models import AuditRecord
from credits import checks, ledger, prices, rates
from credits.models import Entry, Hold, Threshold
from kit import clock
from subaccounts import editing, lifecycle, pool_policy, thresholds
from subaccounts.models import Access, SubAccount
from tests import audit_watch
from tests.api.program import Program, of_agency, of_client
from tests.api.test_frame import assert_problem
from tests.cast import TESTS, Cast
from tests.credits.conftest import fresh_key, give, use

CREDIT = "credit"
MINUTE = "premium_minute"


@pytest.fixture
def northlight(cast: Cast) -> Program:
    """An agency with 1,000 credits and an hour in its pool, whose client Acme has 400 of its own, all transferable."""
    acme = cast.acme
    use([acme.wallet(CREDIT)], acme.wallet(CREDIT).balance)
    give(acme.wallet(CREDIT), 400)
    give(cast.northlight.pool(MINUTE), 3600)
    return of_agency(cast.northlight)


def post(program: Program, path: str, body: Any = None, *, once: str | None = None) -> Any:
    return program.call("POST", path, body, once=fresh_key() if once is None else once)


def ok(answer: Any, status: int = 201) -> Any:
    assert answer.status_code == status, answer.content
    return answer.json()


def show(sub_account: SubAccount, visibility: str = SubAccount.SHOWN) -> None:
    editing.edit(sub_account=sub_account, balance_visibility=visibility, by=TESTS)


# --- wallets ------------------------------------------------------------------------------------------------------------------


def test_an_agency_reads_its_pools_and_the_wallets_of_its_clients(cast: Cast, northlight: Program) -> None:
    acme, pool = cast.acme, cast.northlight.pool(MINUTE)
    pool_policy.choose(sub_account=acme, fallback="capped", is_hard=True, amounts={CREDIT: 50}, by=TESTS)
    thresholds.choose(sub_account=acme, audience=Threshold.AGENCY, wishes={CREDIT: 25}, by=TESTS)

    wallets = ok(northlight.get("/api/v1/wallets", {"limit": "100"}), 200)["items"]
    (of_acme,) = ok(northlight.get("/api/v1/wallets", {"sub_account": str(acme.public_id), "unit": CREDIT}), 200)["items"]
    of_pool = ok(northlight.call("GET", f"/wallets/{pool.pk}"), 200)

    assert {wallet["owner_id"] for wallet in wallets} >= {str(acme.public_id), str(cast.koala.public_id), str(cast.northlight.public_id)}
    assert str(cast.beacon.public_id) not in {wallet["owner_id"] for wallet in wallets}
    assert of_acme["balance"] == {"steps": 400, "units": "400"}
    assert (of_acme["alert_below"]["steps"], of_acme["pool_limit"]["limit"]["steps"]) == (25, 50)
    assert (of_pool["owner"], of_pool["unit"], of_pool["balance"]) == ("agency", MINUTE, {"steps": 3600, "units": "60"})
    (grant,) = ok(northlight.call("GET", f"/wallets/{of_acme['id']}/grants"), 200)["items"]
    assert (grant["source"], grant["remaining"]["steps"], grant["is_transferable"]) == ("purchase", 400, True)
    assert_problem(northlight.call("GET", f"/wallets/{cast.beacon.wallet(CREDIT).pk}"), 404, "not_found")


def test_a_grant_list_goes_on_page_by_page(cast: Cast, northlight: Program) -> None:
    wallet = cast.acme.wallet(CREDIT)
    give(wallet, 7)
    first = ok(northlight.get(f"/api/v1/wallets/{wallet.pk}/grants", {"limit": "1"}), 200)
    second = ok(northlight.get(f"/api/v1/wallets/{wallet.pk}/grants", {"limit": "1", "cursor": first["next_cursor"]}), 200)

    assert [page["items"][0]["remaining"]["steps"] for page in (first, second)] == [400, 7]
    assert second["next_cursor"] is None
    other = northlight.get(f"/api/v1/wallets/{cast.koala.wallet(CREDIT).pk}/grants", {"cursor": first["next_cursor"]})
    assert_problem(other, 400, "invalid_request")


def test_a_client_reads_its_own_balance_where_it_may_see_it(cast: Cast, northlight: Program) -> None:
    acme, client = cast.acme, of_client(cast.acme, "credits:read")
    wallet = acme.wallet(CREDIT)
    paths = ["/wallets", f"/wallets/{wallet.pk}", f"/wallets/{wallet.pk}/grants"]
    assert [client.call("GET", path).status_code for path in paths] == [404, 404, 404]

    show(acme)

    wallets = ok(client.call("GET", "/wallets"), 200)["items"]
    assert {shown["owner_id"] for shown in wallets} == {str(acme.public_id)}
    assert ok(client.call("GET", paths[1]), 200)["pool_limit"] is None
    assert_problem(client.call("GET", f"/wallets/{cast.northlight.pool(CREDIT).pk}"), 404, "not_found")
    assert_problem(client.call("GET", f"/wallets/{cast.koala.wallet(CREDIT).pk}"), 404, "not_found")


# --- grants and reclaims --------------------------------------------------------------------------------------------------------


def test_a_grant_moves_out_of_the_pool_and_is_on_the_record(cast: Cast, northlight: Program) -> None:
    wish = {"sub_account": str(cast.acme.public_id), "unit": MINUTE, "amount": 90, "description": "November"}
    said = ok(post(northlight, "/grants", wish))

    assert said == {
        "sub_account": str(cast.acme.public_id), "unit": MINUTE, "amount": {"steps": 90, "units": "1.5"},
        "pool_balance": {"steps": 3510, "units": "58.5"}, "balance": {"steps": 90, "units": "1.5"},
    }  # fmt: skip
    record = AuditRecord.objects.filter(action="credits.allocated").latest("at")
    assert (record.actor_kind, record.after["description"]) == ("api_key", "November")
    back = ok(post(northlight, "/reclaims", {**wish, "amount": 30}))
    assert (back["balance"]["steps"], back["pool_balance"]["steps"]) == (60, 3540)
    assert checks.audit() == []


def test_more_than_the_pool_has_is_refused(cast: Cast, northlight: Program) -> None:
    for path, amount in (("/grants", 3601), ("/reclaims", 1)):
        wish = {"sub_account": str(cast.acme.public_id), "unit": MINUTE, "amount": amount}
        assert_problem(post(northlight, path, wish), 402, "insufficient_credits")


def test_what_moves_units_asks_for_a_key(cast: Cast, northlight: Program) -> None:
    acme, hold = str(cast.acme.public_id), uuid4()
    bodies = {
        "/grants": {"sub_account": acme, "amount": 1},
        "/reclaims": {"sub_account": acme, "amount": 1},
        "/transfers": {"quote": "x"},
        "/spends": {"sub_account": acme, "kind": "ai_reply"},
        "/spends/batch": {"sub_account": acme, "kind": "ai_reply", "uses": [{}]},
        "/holds": {"sub_account": acme, "kind": "ai_reply"},
        f"/holds/{hold}/commit": {},
        "/calls": {"sub_account": acme, "tier": "basic", "expected_seconds": 1},
        f"/calls/{hold}/extend": {"seconds": 1},
    }
    before = Entry.objects.count()
    for path, body in bodies.items():
        assert_problem(northlight.call("POST", path, body), 400, "idempotency_key_required")
    assert Entry.objects.count() == before


# --- uses -----------------------------------------------------------------------------------------------------------------------


def test_a_use_costs_what_its_rate_says(cast: Cast, northlight: Program) -> None:
    rates.set_rate(
        owner_kind="sub_account", owner_id=cast.acme.public_id, kind="ai_reply", amount=3, by=TESTS, agency_id=cast.northlight.public_id
    )
    wish = {"sub_account": str(cast.acme.public_id), "kind": "ai_reply", "quantity": 2, "contact": "Pat Jones", "reference": "job-7"}

    said = ok(post(northlight, "/spends", wish))

    assert (said["kind"], said["unit"], said["amount"]) == ("ai_reply", CREDIT, {"steps": 6, "units": "6"})
    entry = Entry.objects.get(pk=UUID(said["id"]))
    assert (entry.amount, entry.contact, entry.reference, entry.by_kind) == (6, "Pat Jones", "job-7", "api_key")
    assert cast.acme.wallet(CREDIT).balance == 394


def test_a_use_with_an_own_key_is_recorded_and_free(cast: Cast, northlight: Program) -> None:
    wish = {"sub_account": str(cast.acme.public_id), "kind": "ai_reply", "own_key": True}
    said = ok(post(northlight, "/spends", wish))
    held = ok(post(northlight, "/holds", wish))

    assert (said["amount"]["steps"], said["own_key"]) == (0, True)
    assert Entry.objects.get(pk=UUID(said["id"])).own_key
    assert ok(post(northlight, f"/holds/{held['id']}/commit"), 200)["used"]["steps"] == 0
    assert cast.acme.wallet(CREDIT).balance == 400


def test_a_use_may_say_units_itself_and_falls_back_on_the_pool(cast: Cast, northlight: Program) -> None:
    pool = cast.northlight.pool(CREDIT).balance
    wish = {"sub_account": str(cast.acme.public_id), "unit": CREDIT, "amount": 410, "campaign": "Spring", "description": "Import"}

    said = ok(post(northlight, "/spends", wish))

    assert (said["kind"], said["amount"]["steps"]) == ("metered", 410)
    assert (cast.acme.wallet(CREDIT).balance, cast.northlight.pool(CREDIT).balance) == (0, pool - 10)


@pytest.mark.parametrize(
    "wish",
    [{}, {"kind": "ai_reply", "unit": CREDIT}, {"unit": CREDIT}, {"amount": 4}, {"kind": "ai_reply", "amount": 4}, {"unit": CREDIT, "amount": 1, "quantity": 1},
     {"kind": "dance"}, {"unit": "gold", "amount": 1}, {"kind": "knowledge", "own_key": True}, {"unit": CREDIT, "amount": 1, "own_key": True},
     {"unit": CREDIT, "amount": 1, "price": 0}, {"kind": "ai_reply", "contact": "x" * 161}],
)  # fmt: skip
def test_what_says_too_little_or_too_much_is_refused(cast: Cast, northlight: Program, wish: dict[str, Any]) -> None:
    for path in ("/spends", "/holds"):
        assert_problem(post(northlight, path, {"sub_account": str(cast.acme.public_id), **wish}), 400, "invalid_request")


def test_a_batch_posts_what_can_be_paid_and_says_what_cannot(cast: Cast, northlight: Program) -> None:
    acme = cast.acme
    pool_policy.choose(sub_account=acme, fallback="off", is_hard=True, amounts={}, by=TESTS)
    uses = [{"amount": 300, "contact": "A"}, {"amount": 200, "contact": "B"}, {"amount": 100, "contact": "C", "reference": "r"}]
    wish = {"sub_account": str(acme.public_id), "unit": CREDIT, "campaign": "Spring", "uses": uses}
    once = fresh_key()

    said = ok(post(northlight, "/spends/batch", wish, once=once))

    assert (said["posted"], said["refused"]) == (2, 1)
    assert [(use["status"], use["code"]) for use in said["uses"]] == [
        ("posted", None),
        ("refused", "insufficient_credits"),
        ("posted", None),
    ]
    assert post(northlight, "/spends/batch", wish, once=once).json() == said
    assert acme.wallet(CREDIT).balance == 0
    assert_problem(post(northlight, "/spends/batch", {**wish, "uses": []}), 400, "invalid_request")
    assert_problem(post(northlight, "/spends/batch", {**wish, "uses": [{"amount": 1}] * 501}), 400, "invalid_request")
    wrong = assert_problem(
        post(northlight, "/spends/batch", {**wish, "uses": [{"amount": 1}, {"amount": 999_999_999}]}), 400, "invalid_request"
    )
    assert [error["field"] for error in wrong["errors"]] == ["uses.1.amount"]


def test_nobody_can_pay(cast: Cast, northlight: Program) -> None:
    acme = cast.acme
    wish = {"sub_account": str(acme.public_id), "unit": CREDIT, "amount": 500_000}
    assert_problem(post(northlight, "/spends", wish), 402, "insufficient_credits")
    pool_policy.choose(sub_account=acme, fallback="capped", is_hard=True, amounts={CREDIT: 10}, by=TESTS)
    for path in ("/spends", "/holds"):
        assert_problem(post(northlight, path, {**wish, "amount": 411}), 402, "pool_limit_reached")
        assert_problem(post(of_client(acme), path, {**wish, "amount": 411}), 402, "insufficient_credits")
    assert (acme.wallet(CREDIT).balance, acme.wallet(CREDIT).held) == (400, 0)


def test_a_suspended_client_uses_nothing(cast: Cast, northlight: Program) -> None:
    acme = cast.acme
    wish = {"sub_account": str(acme.public_id), "kind": "ai_reply"}
    held = ok(post(northlight, "/holds", wish))
    lifecycle.suspend(sub_account=acme, by=TESTS)

    for path, body in (("/spends", wish), ("/spends/batch", {**wish, "uses": [{}]}), ("/holds", wish), (f"/holds/{held['id']}/commit", {})):
        assert_problem(post(northlight, path, body), 403, "account_suspended")
    assert_problem(post(of_client(acme), "/spends", wish), 403, "account_suspended")
    assert ok(post(northlight, f"/holds/{held['id']}/release"), 200)["state"] == "released"
    assert acme.wallet(CREDIT).balance == 400


# --- holds ------------------------------------------------------------------------------------------------------------------------


def test_a_hold_is_used_in_part_and_the_rest_let_go(cast: Cast, northlight: Program) -> None:
    wish = {"sub_account": str(cast.acme.public_id), "unit": CREDIT, "amount": 50, "contact": "Pat", "expires_in": 60}
    held = ok(post(northlight, "/holds", wish))
    assert (held["state"], cast.acme.wallet(CREDIT).held) == ("open", 50)

    done = ok(post(northlight, f"/holds/{held['id']}/commit", {"amount": 20}), 200)

    assert (done["state"], done["used"]["steps"]) == ("committed", 20)
    assert ok(northlight.call("GET", f"/holds/{held['id']}"), 200) == done
    assert ok(post(northlight, f"/holds/{held['id']}/commit", {"amount": 20}), 200) == done
    assert_problem(post(northlight, f"/holds/{held['id']}/commit", {"amount": 21}), 409, "hold_closed")
    assert_problem(post(northlight, f"/holds/{held['id']}/commit", {"amount": 51}), 400, "invalid_request")
    assert_problem(post(northlight, f"/holds/{held['id']}/release"), 409, "hold_closed")
    assert (cast.acme.wallet(CREDIT).balance, cast.acme.wallet(CREDIT).held) == (380, 0)


def test_a_released_hold_stays_released(cast: Cast, northlight: Program) -> None:
    held = ok(post(northlight, "/holds", {"sub_account": str(cast.acme.public_id), "unit": CREDIT, "amount": 50}))
    for _ in range(2):
        assert ok(northlight.call("POST", f"/holds/{held['id']}/release"), 200)["state"] == "released"

    assert_problem(post(northlight, f"/holds/{held['id']}/commit"), 409, "hold_closed")
    assert (cast.acme.wallet(CREDIT).balance, cast.acme.wallet(CREDIT).held) == (400, 0)


def test_only_what_a_program_reserved_is_a_programs(cast: Cast, northlight: Program) -> None:
    """Neither the product's own holds, nor those of another agency, nor for a client those that its agency made."""
    acme = cast.acme
    of_product = ledger.hold(
        sources=[acme.wallet(CREDIT)],
        amount=1,
        key=fresh_key(),
        kind="ai_reply",
        expires_at=clock.now(),
        by=TESTS,
        sub_account_id=acme.public_id,
    )
    of_agencys = ok(post(northlight, "/holds", {"sub_account": str(acme.public_id), "kind": "ai_reply"}))["id"]
    client = of_client(acme)
    own = ok(post(client, "/holds", {"kind": "ai_reply"}))["id"]

    assert_problem(northlight.call("GET", f"/holds/{of_product.pk}"), 404, "not_found")
    for program, id in ((of_agency(cast.harbour), of_agencys), (client, of_agencys), (of_client(cast.koala), own)):
        for method, path in (("GET", f"/holds/{id}"), ("POST", f"/holds/{id}/commit"), ("POST", f"/holds/{id}/release")):
            assert_problem(program.call(method, path, once=fresh_key()), 404, "not_found")
    assert ok(post(client, f"/holds/{own}/commit"), 200)["state"] == "committed"
    assert Hold.objects.get(pk=of_agencys).is_open


# --- transfers ----------------------------------------------------------------------------------------------------------------------


def test_a_transfer_does_what_its_quote_said(cast: Cast, northlight: Program) -> None:
    prices.set_markup(owner_kind="sub_account", owner_id=cast.koala.public_id, unit=CREDIT, percent=Decimal(25), by=TESTS)
    koala = cast.koala.wallet(CREDIT).balance
    wish = {"source": str(cast.acme.public_id), "destination": str(cast.koala.public_id), "amount": 100}

    quote = ok(northlight.call("POST", "/transfers/quotes", wish), 200)
    assert (quote["taken"]["steps"], quote["received"]["steps"], quote["problem"]) == (100, 80, None)
    assert (quote["source_markup"], quote["destination_markup"]) == ("0", "25")
    done = ok(post(northlight, "/transfers", {"quote": quote["quote"]}))
    again = ok(post(northlight, "/transfers", {"quote": quote["quote"]}), 200)
    audit_watch.unexplained.clear()  # the quote was carried out before: nothing is done a second time, so nothing is recorded

    assert done == again
    assert (done["source_balance"]["steps"], done["destination_balance"]["steps"]) == (300, koala + 80)
    assert (cast.acme.wallet(CREDIT).balance, cast.koala.wallet(CREDIT).balance) == (300, koala + 80)


def test_a_stale_quote_moves_nothing(cast: Cast, northlight: Program) -> None:
    quote = ok(
        northlight.call("POST", "/transfers/quotes", {"source": "pool", "destination": str(cast.koala.public_id), "amount": 100}), 200
    )
    prices.set_markup(owner_kind="sub_account", owner_id=cast.koala.public_id, unit=CREDIT, percent=Decimal(25), by=TESTS)
    before = cast.koala.wallet(CREDIT).balance

    assert_problem(post(northlight, "/transfers", {"quote": quote["quote"]}), 409, "figures_changed")
    assert_problem(post(northlight, "/transfers", {"quote": "made:up:x"}), 400, "quote_not_known")
    assert_problem(post(of_agency(cast.harbour), "/transfers", {"quote": quote["quote"]}), 400, "quote_not_known")
    assert cast.koala.wallet(CREDIT).balance == before


def test_a_quote_that_cannot_be_done_says_why(cast: Cast, northlight: Program) -> None:
    quote = ok(
        northlight.call("POST", "/transfers/quotes", {"source": str(cast.acme.public_id), "destination": "pool", "amount": 401}), 200
    )

    assert "400 credits" in quote["problem"] and quote["quote"] is None


# --- as another API had it --------------------------------------------------------------------------------------------------------


def test_the_compatible_route_grants_by_the_clients_login(cast: Cast, northlight: Program) -> None:
    wish = {"email": "Paul@Acme-Plumbing.example", "amount": 100, "description": "Paid by invoice"}
    answer = northlight.call("POST", "/subaccounts/credits", wish)

    assert ok(answer, 200) == {"success": True, "sub_account_id": str(cast.acme.public_id), "credits_added": 100, "new_balance": 500}
    once = fresh_key()
    assert [post(northlight, "/subaccounts/credits", wish, once=once).json()["new_balance"] for _ in range(2)] == [600, 600]


def test_the_compatible_route_refuses_in_both_ways(cast: Cast, northlight: Program) -> None:
    wish = {"email": "paul@acme-plumbing.example", "amount": 100}
    tess = cast.tess
    Access.objects.create(sub_account=cast.koala, user=tess, role="sub_account_member")
    refusals = [
        (northlight, {**wish, "email": "nobody@acme-plumbing.example"}, 404, "not_found"),
        (northlight, {**wish, "email": "ben@beacon-dental.example"}, 404, "not_found"),
        (northlight, {**wish, "email": "nora@northlight.example"}, 404, "not_found"),
        (northlight, {**wish, "email": "tess@acme-plumbing.example"}, 409, "ambiguous_email"),
        (northlight, {**wish, "amount": 10_000}, 402, "insufficient_credits"),
        (northlight, {**wish, "amount": "100"}, 400, "invalid_request"),
        (northlight, {"amount": 100}, 400, "invalid_request"),
        (of_agency(cast.northlight, "credits:read"), wish, 403, "insufficient_scope"),
        (of_client(cast.acme), wish, 404, "not_found"),
        (Program("cnp_live_x"), wish, 401, "unauthorized"),
    ]
    for program, body, status, code in refusals:
        said = assert_problem(program.call("POST", "/subaccounts/credits", body), status, code)
        assert said["success"] is False
        assert "Koala" not in str(said) and "Acme" not in str(said)
    assert cast.acme.wallet(CREDIT).balance == 400


# --- statement and usage ------------------------------------------------------------------------------------------------------------


def test_the_statement_is_read_page_by_page_with_filters(cast: Cast, northlight: Program) -> None:
    acme = str(cast.acme.public_id)
    for number in range(5):
        ok(post(northlight, "/spends", {"sub_account": acme, "kind": "ai_reply", "contact": f"Caller {number % 2}", "description": "why"}))
    seen, cursor = [], {}
    for _ in range(10):
        page = ok(
            northlight.get("/api/v1/entries", {"sub_account": acme, "kind": "ai_reply", "contact": "Caller 0", "limit": "1", **cursor}), 200
        )
        seen += [line["id"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 3

    newest = ok(northlight.get("/api/v1/entries", {"limit": "1"}), 200)["items"][0]
    assert (newest["kind"], newest["text"], newest["change"]["steps"], newest["balance"]["steps"]) == ("ai_reply", "AI reply", -1, 395)
    assert (newest["description"], newest["wallet"], newest["sub_account"]) == ("why", "sub_account", acme)
    today = clock.today_in(cast.northlight.time_zone)
    assert ok(northlight.get("/api/v1/entries", {"first": "2020-01-01", "last": "2020-01-02"}), 200)["items"] == []
    assert ok(northlight.get("/api/v1/entries", {"first": str(today)}), 200)["items"]
    for wrong in (
        {"first": "2026-01-02", "last": "2026-01-01"},
        {"first": "soon"},
        {"kind": "x"},
        {"unit": "gold"},
        {"cursor": "x"},
        {"own_key": "1"},
    ):
        assert_problem(northlight.get("/api/v1/entries", wrong), 400, "invalid_request")
    assert_problem(northlight.get("/api/v1/entries", {"sub_account": str(cast.beacon.public_id)}), 404, "not_found")


def test_a_client_reads_its_statement_as_its_pages_show_it(cast: Cast, northlight: Program) -> None:
    acme, client = cast.acme, of_client(cast.acme)
    ok(post(northlight, "/grants", {"sub_account": str(acme.public_id), "amount": 10, "description": "for Koala's sake"}))
    ok(post(client, "/spends", {"unit": CREDIT, "amount": 415, "contact": "Pat"}))

    hidden = ok(client.get("/api/v1/entries", {"contact": "Pat"}), 200)["items"]
    show(acme)
    shown = ok(client.call("GET", "/entries"), 200)["items"]

    assert [(line["change"]["steps"], line["balance"], line["wallet"]) for line in hidden] == [(-415, None, None)]
    assert [(line["change"]["steps"], line["balance"] and line["balance"]["steps"]) for line in shown[:3]] == [
        (-410, 0),
        (-5, None),
        (10, 410),
    ]
    assert all(line["description"] != "for Koala's sake" and not line["by"] for line in shown)
    assert_problem(client.get("/api/v1/entries", {"wallet": "agency"}), 400, "invalid_request")
    assert_problem(client.get("/api/v1/entries", {"sub_account": str(cast.koala.public_id)}), 404, "not_found")


def test_usage_adds_up_by_day_month_kind_and_client(cast: Cast, northlight: Program) -> None:
    for client, seconds in ((cast.acme, 61), (cast.koala, 90)):
        ok(post(northlight, "/spends", {"sub_account": str(client.public_id), "kind": "call_premium", "quantity": seconds}))
    today = clock.today_in(cast.northlight.time_zone)

    by_day = ok(northlight.get("/api/v1/usage", {"unit": MINUTE}), 200)
    by_month = ok(northlight.get("/api/v1/usage", {"unit": MINUTE, "by": "month"}), 200)
    of_acme = ok(northlight.get("/api/v1/usage", {"unit": MINUTE, "sub_account": str(cast.acme.public_id)}), 200)
    own = ok(of_client(cast.acme).get("/api/v1/usage", {"unit": MINUTE}), 200)
    ranked = ok(northlight.get("/api/v1/usage/sub-accounts", {"unit": MINUTE, "limit": "1"}), 200)
    rest = ok(northlight.get("/api/v1/usage/sub-accounts", {"unit": MINUTE, "limit": "1", "cursor": ranked["next_cursor"]}), 200)

    assert by_day["items"] == [{"period": str(today), "kind": "call", "used": {"steps": 151, "units": "2.52"}, "times": 2}]
    assert by_month["items"] == [{**by_day["items"][0], "period": str(today.replace(day=1))}]
    assert (of_acme["total"]["steps"], own["total"]["steps"]) == (61, 61)
    ranking = [(row["sub_account"], row["used"]["steps"]) for page in (ranked, rest) for row in page["items"]]
    assert ranking == [(str(cast.koala.public_id), 90), (str(cast.acme.public_id), 61)]
    assert_problem(northlight.get("/api/v1/usage", {"first": "2020-01-01", "last": "2026-01-01"}), 400, "invalid_request")
    assert_problem(of_client(cast.acme).call("GET", "/usage/sub-accounts"), 404, "not_found")
