"""What holds for every operation: keys, hosts, errors, limits, pages."""

from typing import Any

import pytest

from tests.api.program import Program, key_of, of_agency, of_client
from tests.cast import PLATFORM, Cast, host_of

ALL_ERRORS = {"type", "title", "status", "detail", "code"}


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json()
    assert set(said) >= ALL_ERRORS
    assert (said["status"], said["code"]) == (status, code)
    return dict(said)


def test_a_key_says_whose_it_is(cast: Cast) -> None:
    agency, client = of_agency(cast.northlight).call("GET", "/me"), of_client(cast.acme).call("GET", "/me")

    assert (agency.json()["kind"], agency.json()["owner"]["name"]) == ("agency", "Northlight Digital")
    assert (client.json()["kind"], client.json()["owner"]["name"]) == ("sub_account", "Acme Plumbing")
    assert agency.headers["RateLimit-Limit"] == "600" and agency.headers["Cache-Control"] == "no-store"


def test_nobody_comes_in_without_a_key_that_works_here(cast: Cast) -> None:
    agency, client = key_of(cast.northlight), key_of(cast.northlight, sub_account=cast.acme)
    tries = [
        Program("", PLATFORM),
        Program("nonsense", PLATFORM),
        Program(agency.secret[:-1] + ("a" if agency.secret[-1] != "a" else "b"), PLATFORM),
        Program(agency, host_of(cast.acme)),
        Program(client, PLATFORM),
        Program(client, host_of(cast.koala)),
        Program(client, host_of(cast.beacon)),
    ]
    said = [assert_problem(program.call("GET", "/me"), 401, "unauthorized")["detail"] for program in tries]

    assert len(set(said)) == 1, "an answer that says more than another one tells which keys there are"
    assert tries[0].call("GET", "/me").headers["WWW-Authenticate"] == "Bearer"


def test_every_mistake_is_answered_as_a_problem(cast: Cast) -> None:
    program = of_agency(cast.northlight)

    assert_problem(program.call("GET", "/nowhere"), 404, "not_found")
    assert_problem(program.call("GET", "/sub-accounts/not-an-id"), 404, "not_found")
    assert_problem(program.call("GET", f"/sub-accounts/{cast.beacon.public_id}"), 404, "not_found")
    assert_problem(program.call("GET", "/sub-accounts?limit=101"), 400, "invalid_request")
    assert_problem(program.call("GET", "/sub-accounts?colour=red"), 400, "invalid_request")
    refused = program.call("PUT", "/me")
    assert_problem(refused, 405, "method_not_allowed")
    assert refused.headers["Allow"] == "GET"


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000", "1_0", "１０", "1e1", "+5", "1.0", "true", "", " 5", "9" * 400])
def test_a_page_size_is_digits_up_to_a_hundred(cast: Cast, limit: str) -> None:
    answer = of_agency(cast.northlight).get("/api/v1/sub-accounts", {"limit": limit})

    assert [error["field"] for error in assert_problem(answer, 400, "invalid_request")["errors"]] == ["limit"]


def test_pages_show_every_row_once(cast: Cast) -> None:
    program = of_agency(cast.northlight)
    seen, cursor = [], ""
    for _ in range(10):
        page = program.get("/api/v1/sub-accounts", {"limit": "1", **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["name"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ["Koala Legal", "Acme Plumbing", "Northlight Digital"]
    forged = program.get("/api/v1/sub-accounts", {"cursor": "WzFd:xyz"})
    assert [error["field"] for error in assert_problem(forged, 400, "invalid_request")["errors"]] == ["cursor"]
