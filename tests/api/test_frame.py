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
    assert_problem(program.get("/api/v2/me"), 404, "not_found")
    assert_problem(program.get("/api/v1/me?" + "&".join(f"a{n}=1" for n in range(600))), 400, "invalid_request")
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


def test_a_key_is_on_record_with_its_name_and_each_side_reads_its_own_part(cast: Cast) -> None:
    agency, client, rival = of_agency(cast.northlight), of_client(cast.acme), of_agency(cast.harbour)
    agency.call(
        "PATCH", f"/sub-accounts/{cast.acme.public_id}", {"city": "Hobart", "description": "Owes us money"}, REMOTE_ADDR="203.0.113.9"
    )
    newest = agency.call("GET", f"/audit-records?sub_account_id={cast.acme.public_id}&limit=1").json()
    told = client.call("GET", "/audit-records").json()["items"]

    assert newest["items"][0]["by"]["kind"] == "api_key" and newest["items"][0]["by"]["name"].startswith("Test program")
    assert newest["items"][0]["address"] == "203.0.113.9"
    older = agency.get("/api/v1/audit-records", {"cursor": newest["next_cursor"], "limit": "1"}).json()
    assert older["items"][0]["id"] != newest["items"][0]["id"]
    edited = next(record for record in told if record["action"] == "sub_account.edited")
    assert edited["address"] == "" and "Owes us money" not in str(told)
    assert {record["sub_account_id"] for record in told} == {str(cast.acme.public_id)}
    assert "Acme" not in rival.call("GET", "/audit-records").content.decode()
