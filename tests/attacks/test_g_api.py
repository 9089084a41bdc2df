"""G02, G03, G04, G07, G11, H03, D08: a program that means harm, at the operations that move and use units."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from agency import api_keys
from agency.api_keys import Scope
from agency.models import AuditRecord, KeptAnswer, User
from credits import checks
from credits.models import LARGEST, Entry, Hold, Wallet
from subaccounts import opening
from subaccounts.models import Call, SubAccount
from tests import audit_watch
from tests.api.program import Program, key_of, of_agency, of_client
from tests.api.test_credits import CREDIT, MINUTE, ok, post
from tests.api.test_frame import assert_problem
from tests.cast import PLATFORM, TESTS, Cast
from tests.credits.conftest import fresh_key, give
from tests.credits.test_contention import at_once

NO_AMOUNTS = [
    "0", "-5", "+5", "1.5", "1.0", "1e3", "1E999999", "NaN", "Infinity", "true", "null", '"5"', '"1_000"', '"１００"', '"٣"', "[1]", "{}",
    "01", "1_000", "1000000000", "9223372036854775808", "9" * 5000,
]  # fmt: skip


def amount_fields(acme: SubAccount, koala: SubAccount) -> dict[str, list[str]]:
    """Every body that says an amount, with AMOUNT where it stands."""
    who, whom = f'"sub_account": "{acme.public_id}"', f'"source": "{acme.public_id}", "destination": "{koala.public_id}"'
    return {
        "/grants": [f'{{{who}, "amount": AMOUNT}}'],
        "/reclaims": [f'{{{who}, "amount": AMOUNT}}'],
        "/transfers/quotes": [f'{{{whom}, "amount": AMOUNT}}'],
        "/spends": [f'{{{who}, "unit": "credit", "amount": AMOUNT}}', f'{{{who}, "kind": "ai_reply", "quantity": AMOUNT}}'],
        "/spends/batch": [f'{{{who}, "unit": "credit", "uses": [{{"amount": 1}}, {{"amount": AMOUNT}}]}}'],
        "/holds": [f'{{{who}, "unit": "credit", "amount": AMOUNT}}'],
        "/calls": [f'{{{who}, "tier": "premium", "expected_seconds": AMOUNT}}'],
        "/subaccounts/credits": ['{"email": "paul@acme-plumbing.example", "amount": AMOUNT}'],
    }


def state() -> list[Any]:
    balances = list(Wallet.objects.order_by("pk").values_list("balance", "held"))
    return [balances, *(model.objects.count() for model in (Entry, Hold, Call, AuditRecord, KeptAnswer))]


@pytest.fixture(autouse=True)
def patient(settings: Any) -> None:
    settings.API_WRITES_PER_MINUTE = 100_000


@pytest.fixture
def northlight(cast: Cast) -> Program:
    give(cast.acme.wallet(CREDIT), 400)
    give(cast.acme.wallet(MINUTE), 400)
    return of_agency(cast.northlight)


def test_g02_what_is_no_amount_is_refused_everywhere(cast: Cast, northlight: Program) -> None:
    before = state()
    for path, bodies in amount_fields(cast.acme, cast.koala).items():
        for body in bodies:
            for amount in NO_AMOUNTS:
                if amount == "null" and "quantity" in body:
                    continue  # an empty quantity is one
                answer = northlight.call("POST", path, body.replace("AMOUNT", amount), once=fresh_key())
                assert answer.status_code == 400, (path, amount[:40], answer.content[:200])
    assert state() == before


def test_g02_a_quantity_whose_price_is_too_large_is_refused(cast: Cast, northlight: Program) -> None:
    wish = {"sub_account": str(cast.acme.public_id), "kind": "ai_reply", "quantity": 999_999_999}
    assert_problem(post(northlight, "/spends", wish), 400, "invalid_request")


def test_g03_near_the_largest_twice_is_refused(cast: Cast, northlight: Program) -> None:
    give(cast.acme.wallet(CREDIT), LARGEST - cast.acme.wallet(CREDIT).balance)
    give(cast.northlight.pool(CREDIT), 1000)
    before = state()

    for path, wish in (
        ("/grants", {"sub_account": str(cast.acme.public_id), "amount": 1}),
        ("/subaccounts/credits", {"email": "paul@acme-plumbing.example", "amount": 1}),
    ):
        assert_problem(post(northlight, path, wish), 409, "wallet_full")
    assert state()[:-1] == before[:-1]


def test_g07_to_itself_to_a_stranger_from_a_stranger_and_more_than_there_is(cast: Cast, northlight: Program) -> None:
    acme, beacon = str(cast.acme.public_id), str(cast.beacon.public_id)
    before = state()
    for source, to, status in (
        (acme, acme, 400), ("pool", "pool", 400), (acme, acme.upper(), 400), (acme, beacon, 404), (beacon, acme, 404), (beacon, "pool", 404),
        (acme, str(uuid4()), 404), ("Pool", acme, 400), ("1' OR '1", acme, 400), (acme, "-" * 36, 404),
    ):  # fmt: skip
        answer = northlight.call("POST", "/transfers/quotes", {"source": source, "destination": to, "amount": 1})
        assert answer.status_code == status, (source, to, answer.content)
    more = ok(northlight.call("POST", "/transfers/quotes", {"source": acme, "destination": "pool", "amount": 401}), 200)
    assert more["quote"] is None
    assert state() == before


def test_g11_a_key_reaches_no_client_of_another_agency_and_makes_no_units(cast: Cast, northlight: Program) -> None:
    """Neither to give, nor to take, nor to spend, by whatever names them; and a pool gives what it has."""
    rival = of_agency(cast.harbour)
    hold = ok(post(northlight, "/holds", {"sub_account": str(cast.acme.public_id), "kind": "ai_reply"}))["id"]
    before = state()
    for path, bodies in amount_fields(cast.acme, cast.koala).items():
        for body in bodies:
            answer = rival.call("POST", path, body.replace("AMOUNT", "1"), once=fresh_key())
            assert answer.status_code == 404, (path, answer.content)
    for path in (f"/holds/{hold}/commit", f"/holds/{hold}/release", f"/wallets/{cast.northlight.pool(CREDIT).pk}"):
        answer = rival.call("GET" if "wallets" in path else "POST", path, once="" if "wallets" in path else fresh_key())
        assert answer.status_code == 404, path
    pool = cast.northlight.pool(CREDIT).balance
    for amount, status in ((pool + 1, 402), (1_000_001, 400)):
        answer = post(northlight, "/grants", {"sub_account": str(cast.acme.public_id), "amount": amount})
        assert answer.status_code == status
    assert state()[:4] == before[:4]


def test_g11_h03_a_clients_key_gives_and_moves_nothing_and_spends_for_itself_only(cast: Cast, northlight: Program) -> None:
    client = of_client(cast.acme)
    before = state()
    for path, bodies in amount_fields(cast.koala, cast.acme).items():
        for body in bodies:
            answer = client.call("POST", path, body.replace("AMOUNT", "1"), once=fresh_key())
            assert answer.status_code == 404, (path, answer.content)
    for path in ("/grants", "/reclaims", "/transfers", "/transfers/quotes", "/subaccounts/credits"):
        assert_problem(post(client, path, {}), 404, "not_found")
    with pytest.raises(api_keys.BadKeyWish):
        key_of(cast.northlight, Scope.CREDITS_WRITE, sub_account=cast.acme)
    assert state()[:4] == before[:4]
    assert ok(post(client, "/spends", {"kind": "ai_reply"}))["sub_account"] == str(cast.acme.public_id)


def test_h03_d08_without_its_scope_no_key_does_anything(cast: Cast, northlight: Program) -> None:
    acme, any_id = str(cast.acme.public_id), uuid4()
    wish = {"sub_account": acme, "kind": "ai_reply"}
    needed: dict[tuple[str, str], tuple[str, Any]] = {
        ("GET", "/wallets"): ("credits:read", None),
        ("GET", f"/wallets/{any_id}"): ("credits:read", None),
        ("GET", f"/wallets/{any_id}/grants"): ("credits:read", None),
        ("GET", "/entries"): ("credits:read", None),
        ("GET", "/usage"): ("usage:read", None),
        ("GET", "/usage/sub-accounts"): ("usage:read", None),
        ("GET", "/calls"): ("usage:read", None),
        ("GET", f"/calls/{any_id}"): ("usage:read", None),
        ("POST", "/grants"): ("credits:write", {"sub_account": acme, "amount": 1}),
        ("POST", "/reclaims"): ("credits:write", {"sub_account": acme, "amount": 1}),
        ("POST", "/transfers/quotes"): ("credits:write", {"source": acme, "destination": "pool", "amount": 1}),
        ("POST", "/transfers"): ("credits:write", {"quote": "x"}),
        ("POST", "/subaccounts/credits"): ("credits:write", {"email": "paul@acme-plumbing.example", "amount": 1}),
        ("POST", "/spends"): ("credits:spend", wish),
        ("POST", "/spends/batch"): ("credits:spend", {**wish, "uses": [{}]}),
        ("POST", "/holds"): ("credits:spend", wish),
        ("GET", f"/holds/{any_id}"): ("credits:spend", None),
        ("POST", f"/holds/{any_id}/commit"): ("credits:spend", {}),
        ("POST", f"/holds/{any_id}/release"): ("credits:spend", None),
        ("POST", "/calls"): ("calls:write", {"sub_account": acme, "tier": "premium", "expected_seconds": 1}),
        ("POST", f"/calls/{any_id}/extend"): ("calls:write", {"seconds": 1}),
        ("POST", f"/calls/{any_id}/end"): ("calls:write", {"seconds": 1}),
    }
    all_scopes = {scope.value for scope in Scope}
    without = {scope: of_agency(cast.northlight, *(all_scopes - {scope})) for scope in {scope for scope, _ in needed.values()}}
    before = state()[:4]
    for (method, path), (scope, body) in needed.items():
        answer = without[scope].call(method, path, body, once=fresh_key() if method == "POST" else "")
        assert_problem(answer, 403, "insufficient_scope")
    assert state()[:4] == before


def test_hidden_means_hidden_in_every_answer_to_the_client(cast: Cast, northlight: Program) -> None:
    """The balances are numbers that nobody meets by chance; no answer of the client's own key has them."""
    acme, client = cast.acme, of_client(cast.acme)
    own = acme.wallet(CREDIT)
    give(own, 7_654_321 - own.balance)
    give(cast.northlight.pool(CREDIT), 8_123_457 - cast.northlight.pool(CREDIT).balance)
    pool = cast.northlight.pool(CREDIT)
    answers = [
        client.call("GET", path)
        for path in ("/wallets", f"/wallets/{own.pk}", f"/wallets/{pool.pk}", f"/wallets/{own.pk}/grants", "/usage")
    ]
    answers += [post(client, path, {"unit": CREDIT, "amount": 1}) for path in ("/spends", "/holds")]
    hold = json.loads(answers[-1].content)["id"]
    answers += [
        client.call("GET", f"/holds/{hold}"),
        post(client, f"/holds/{hold}/commit"),
        client.call("GET", "/entries"),
        client.call("GET", "/calls"),
    ]
    answers += [
        post(client, "/calls", {"tier": "basic", "expected_seconds": 14_400}),
        post(client, "/spends", {"unit": "knowledge_pack", "amount": 999_999}),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4 + [200, 201, 201] + [200] * 4 + [402, 402]
    said = " ".join(answer.content.decode() for answer in answers)
    for number in (7_654_321, 7_654_320, 7_654_319, 8_123_457):
        assert str(number) not in said


# --- at once ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def committed(transactional_db: None) -> SubAccount:
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    agency = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    found = SubAccount.objects.select_related("agency__plan").get(agency=agency)
    give(found.wallet(CREDIT), 500)
    give(found.wallet(MINUTE), 500)
    return found


@pytest.mark.django_db(transaction=True)
def test_g04_twenty_parallel_requests_with_one_key_are_done_once(committed: SubAccount) -> None:
    key, who = key_of(committed.agency), {"sub_account": str(committed.public_id)}
    program = Program(key, PLATFORM)
    hold = ok(post(program, "/holds", {**who, "unit": CREDIT, "amount": 50}))["id"]
    quote = ok(program.call("POST", "/transfers/quotes", {"source": str(committed.public_id), "destination": "pool", "amount": 7}), 200)[
        "quote"
    ]
    deeds: list[tuple[str, Any, int, int]] = [
        ("/grants", {**who, "amount": 5}, 5, 0),
        ("/reclaims", {**who, "amount": 5}, -5, 0),
        ("/transfers", {"quote": quote}, -7, 0),
        ("/spends", {**who, "unit": CREDIT, "amount": 3}, -3, 0),
        ("/spends/batch", {**who, "unit": CREDIT, "uses": [{"amount": 1}, {"amount": 2}]}, -3, 0),
        ("/holds", {**who, "unit": CREDIT, "amount": 9}, 0, 9),
        (f"/holds/{hold}/commit", {"amount": 20}, -20, -50),
    ]
    for path, body, change, held in deeds:
        before, once = committed.wallet(CREDIT), fresh_key()

        def send(_: int, path: str = path, body: Any = body, once: str = once) -> tuple[int, bytes]:
            try:
                answer = Program(key, PLATFORM).call("POST", path, body, once=once)
                return answer.status_code, answer.content
            finally:
                connection.close()

        answers = set(at_once(20, send))
        after = committed.wallet(CREDIT)
        assert len(answers) == 1 and {status for status, _ in answers} <= {200, 201}, (path, answers)
        assert (after.balance - before.balance, after.held - before.held) == (change, held), path
    assert checks.audit() == []


@pytest.mark.django_db(transaction=True)
def test_g04_the_same_key_for_something_else_is_refused(committed: SubAccount) -> None:
    program, once = of_agency(committed.agency), fresh_key()
    wish = {"sub_account": str(committed.public_id), "amount": 5}
    ok(post(program, "/grants", wish, once=once))

    assert_problem(post(program, "/grants", {**wish, "amount": 6}, once=once), 409, "idempotency_key_reused")
    assert_problem(post(program, "/reclaims", wish, once=once), 409, "idempotency_key_reused")
    KeptAnswer.objects.all().delete()  # a day later the answer is gone, and the deed is still known
    assert ok(post(program, "/grants", wish, once=once), 200)["amount"]["steps"] == 5
    audit_watch.unexplained.clear()  # it was done before: nothing is recorded a second time
    KeptAnswer.objects.all().delete()
    assert_problem(post(program, "/grants", {**wish, "amount": 6}, once=once), 409, "key_reused")
    assert committed.wallet(CREDIT).balance == 505
