"""Calls as a telephone system drives them."""

from datetime import timedelta

import pytest
import time_machine

from kit import clock
from subaccounts import calls, lifecycle
from tests.api.program import Program, of_agency, of_client
from tests.api.test_credits import MINUTE, ok, post
from tests.api.test_frame import assert_problem
from tests.cast import TESTS, Cast
from tests.credits.conftest import fresh_key, give


@pytest.fixture
def northlight(cast: Cast) -> Program:
    give(cast.acme.wallet(MINUTE), 600)
    return of_agency(cast.northlight)


def begin(program: Program, cast: Cast, **more: object) -> dict[str, object]:
    wish = {"sub_account": str(cast.acme.public_id), "tier": "premium", "expected_seconds": 60, "maximum_seconds": 180, **more}
    return dict(ok(post(program, "/calls", wish)))


def test_a_call_from_its_beginning_to_its_end(cast: Cast, northlight: Program) -> None:
    call = begin(northlight, cast, contact="Pat Jones", reference="CA-7")
    assert (call["state"], call["reserved_seconds"], call["charged"], cast.acme.wallet(MINUTE).held) == ("under_way", 60, None, 60)
    path = f"/calls/{call['id']}"

    assert ok(post(northlight, f"{path}/extend", {"seconds": 120}), 200)["reserved_seconds"] == 120
    ended = ok(northlight.call("POST", f"{path}/end", {"seconds": 95}), 200)

    assert (ended["state"], ended["charged_seconds"], ended["charged"]) == ("ended", 95, {"steps": 95, "units": "1.58"})
    assert ok(northlight.call("POST", f"{path}/end", {"seconds": 95}), 200) == ok(northlight.call("GET", path), 200) == ended
    assert_problem(northlight.call("POST", f"{path}/end", {"seconds": 96}), 409, "call_over")
    assert_problem(post(northlight, f"{path}/extend", {"seconds": 150}), 409, "call_over")
    listed = ok(northlight.get("/api/v1/calls", {"reference": "CA-7", "state": "ended", "sub_account": str(cast.acme.public_id)}), 200)
    assert listed["items"] == [ended]
    assert cast.acme.wallet(MINUTE).balance == 505


def test_a_call_that_cannot_be_paid_or_makes_no_sense(cast: Cast, northlight: Program) -> None:
    wish = {"sub_account": str(cast.acme.public_id), "tier": "premium", "expected_seconds": 60}
    assert_problem(post(northlight, "/calls", {**wish, "expected_seconds": 601}), 402, "insufficient_credits")
    for wrong in (
        {"maximum_seconds": 59},
        {"tier": "gold"},
        {"expected_seconds": calls.LONGEST_SECONDS + 1},
        {"expected_seconds": 0},
        {"sub_account": None},
    ):
        assert_problem(post(northlight, "/calls", {**wish, **wrong}), 400, "invalid_request")
    call = begin(northlight, cast)
    assert_problem(post(northlight, f"/calls/{call['id']}/extend", {"seconds": 181}), 409, "call_too_long")
    for seconds in (-1, 1.5, "5", True, 86_401, None):
        assert_problem(northlight.call("POST", f"/calls/{call['id']}/end", {"seconds": seconds}), 400, "invalid_request")


def test_a_forgotten_call_is_seen_to_be_lost(cast: Cast, northlight: Program) -> None:
    call = begin(northlight, cast)
    with time_machine.travel(clock.now() + timedelta(minutes=30), tick=False):
        calls.sweep()

    lost = ok(northlight.get("/api/v1/calls", {"state": "lost"}), 200)["items"]
    assert [one["id"] for one in lost] == [call["id"]]
    assert_problem(northlight.call("POST", f"/calls/{call['id']}/end", {"seconds": 5}), 409, "call_lost")


def test_what_a_suspended_client_used_is_still_paid(cast: Cast, northlight: Program) -> None:
    call = begin(northlight, cast)
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)

    assert_problem(post(northlight, f"/calls/{call['id']}/extend", {"seconds": 100}), 403, "account_suspended")
    assert ok(northlight.call("POST", f"/calls/{call['id']}/end", {"seconds": 30}), 200)["charged_seconds"] == 30


def test_a_client_ends_its_own_calls_and_no_others(cast: Cast, northlight: Program) -> None:
    client = of_client(cast.acme)
    of_agencys, own = begin(northlight, cast), ok(post(client, "/calls", {"tier": "premium", "expected_seconds": 30}))

    assert_problem(client.call("POST", f"/calls/{of_agencys['id']}/end", {"seconds": 0}), 403, "not_begun_by_you")
    assert_problem(post(client, f"/calls/{of_agencys['id']}/extend", {"seconds": 100}), 403, "not_begun_by_you")
    assert ok(client.call("POST", f"/calls/{own['id']}/end", {"seconds": 9}), 200)["charged_seconds"] == 9
    assert {one["id"] for one in ok(client.call("GET", "/calls"), 200)["items"]} == {of_agencys["id"], own["id"]}
    for program in (of_client(cast.koala), of_agency(cast.harbour)):
        for method, path in (("GET", ""), ("POST", "/end"), ("POST", "/extend")):
            body = {"seconds": 1} if path else None
            assert_problem(program.call(method, f"/calls/{of_agencys['id']}{path}", body, once=fresh_key()), 404, "not_found")
    assert_problem(
        post(client, "/calls", {"sub_account": str(cast.koala.public_id), "tier": "basic", "expected_seconds": 1}), 404, "not_found"
    )
