"""Every operation of the API × everybody who might ask, computed from the description: a missing row fails.

A request that is let in may still be wrong (400, 404, 409): what counts is that a door that is shut says 401, 403 or 404 and nothing more.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from agency import api_keys
from agency.api_keys import Scope
from agency.models import AuditRecord
from config import api
from config.api_description import description
from kit import clock
from kit.doors import all_views, door_of
from tests.api.program import Program, key_of
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of

EVERYTHING = description()["paths"]
READING = [scope.value for scope in Scope if scope.value.endswith(":read")]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, by_method in EVERYTHING.items():
        for method, operation in by_method.items():
            yield method.upper(), path.removeprefix("/api/v1"), operation


def scope_of(operation: dict[str, Any]) -> str:
    return "".join(operation["security"][0]["key"])


def address(path: str, cast: Cast) -> str:
    """An address whose ids do not exist, sub-accounts apart."""
    path = path.replace("/sub-accounts/{id}", f"/sub-accounts/{cast.acme.public_id}")
    words = [str(uuid4()) if word.startswith("{") else word for word in path.split("/")]
    return "/".join(words)


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_READS_PER_MINUTE", "API_WRITES_PER_MINUTE", "API_FAILURES_PER_MINUTE"):
        monkeypatch.setattr(settings, name, 1_000_000)


def strangers(cast: Cast) -> dict[str, Program]:
    """Who is not let in anywhere, on the host their key would be for or on another one."""
    agency, client, rival = key_of(cast.northlight), key_of(cast.northlight, sub_account=cast.acme), key_of(cast.harbour)
    revoked, expired = key_of(cast.northlight), key_of(cast.northlight, expires_at=clock.now() + timedelta(seconds=1))
    api_keys.revoke(key=revoked.row, by=TESTS)
    expired.row.expires_at = clock.now() - timedelta(seconds=1)
    expired.row.save()
    return {
        "malformed": Program("cnp_live_short"),
        "wrong secret": Program(agency.row.prefix + "_" + "x" * 43),
        "null byte": Program(agency.secret + "\x00"),
        "revoked": Program(revoked),
        "expired": Program(expired),
        "agency's key on a client's host": Program(agency, host_of(cast.acme)),
        "client's key on the platform": Program(client, PLATFORM),
        "client's key on another client's host": Program(client, host_of(cast.koala)),
        "rival's key on our client's host": Program(rival, host_of(cast.acme)),
        "on the staff's host": Program(agency, settings.STAFF_HOST),
    }


@pytest.mark.parametrize("who", [*(name for name in (
    "malformed", "wrong secret", "null byte", "revoked", "expired", "agency's key on a client's host", "client's key on the platform",
    "client's key on another client's host", "rival's key on our client's host", "on the staff's host",
))])  # fmt: skip
def test_d01_h02_nobody_else_comes_in_to_any_operation(cast: Cast, who: str) -> None:
    program = strangers(cast)[who]
    before = AuditRecord.objects.count()
    answers = {f"{method} {path}": program.call(method, address(path, cast)).status_code for method, path, _ in operations()}

    shut = 404 if who == "on the staff's host" else 401
    assert {what: status for what, status in answers.items() if status != shut} == {}
    assert len(answers) == sum(len(by_method) for by_method in EVERYTHING.values())
    assert AuditRecord.objects.count() == before


@pytest.mark.parametrize("who", ["nora", "adam", "mia"])
def test_d01_a_session_is_no_key(cast: Cast, who: str) -> None:
    browser = Visitor(PLATFORM, getattr(cast, who))
    assert {browser.generic(method, f"/api/v1{address(path, cast)}").status_code for method, path, _ in operations()} == {401}


def test_h03_a_key_without_the_scope_is_refused_with_its_name(cast: Cast) -> None:
    program_of: Callable[[str], Program] = lambda scope: Program(  # noqa: E731
        key_of(cast.northlight, *[other.value for other in Scope if other.value != scope])
    )
    programs = {scope.value: program_of(scope.value) for scope in Scope}
    for method, path, operation in operations():
        if scope := scope_of(operation):
            answer = programs[scope].call(method, address(path, cast))
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), f"{method} {path}"
            assert scope in answer.json()["detail"]


def test_h03_a_key_that_may_read_changes_nothing(cast: Cast) -> None:
    program = Program(key_of(cast.northlight, *READING))
    before = AuditRecord.objects.count()
    for method, path, _ in operations():
        if method != "GET":
            answer = program.call(method, address(path, cast), {})
            assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), f"{method} {path}"
    assert AuditRecord.objects.count() == before


def test_h03_a_clients_key_finds_only_what_is_a_clients(cast: Cast) -> None:
    program = Program(key_of(cast.northlight, sub_account=cast.acme), host_of(cast.acme))
    for method, path, operation in operations():
        answer = program.call(method, address(path, cast))
        if not operation["x-sub-account-keys"]:
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), f"{method} {path}"
        else:
            assert answer.status_code not in (401, 403), f"{method} {path}"


def test_d01_the_right_key_is_let_in(cast: Cast) -> None:
    program = Program(key_of(cast.northlight))
    for method, path, _ in operations():
        answer = program.call(method, address(path, cast))
        assert answer.status_code not in (401, 403, 405) and answer.status_code < 500, f"{method} {path}: {answer.content!r}"


def test_a_rivals_key_finds_nothing_of_ours(cast: Cast) -> None:
    program = Program(key_of(cast.harbour))
    before = AuditRecord.objects.count()
    for method, path, _ in operations():
        if "/sub-accounts/{id}" in path:
            answer = program.call(method, address(path, cast), {})
            assert answer.status_code in (400, 404), f"{method} {path}: {answer.status_code}"
            assert b"Acme" not in answer.content
    assert AuditRecord.objects.count() == before


def test_every_address_of_the_api_is_described_and_stands_behind_a_door() -> None:
    for urlconf in (settings.ROOT_URLCONF, settings.WORKSPACE_URLCONF):
        views = [pattern for route, pattern in all_views(urlconf) if route.startswith("/api/")]
        doors = [door_of(pattern.callback) for pattern in views]
        assert [door.kind for door in doors if door] == ["key"] * len(EVERYTHING) + ["open"]
    assert not any(route.startswith("/api/") for route, _ in all_views(settings.STAFF_URLCONF))
    assert len(api.api._get_bound_routers()) >= len(api.ROUTERS)
