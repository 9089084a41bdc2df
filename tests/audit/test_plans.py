"""A long log: whatever is asked, an index finds where to begin and a page reads no more than its reach."""

import json
from typing import Any

import pytest
from django.db import connection

from agency import audit_trail
from agency.audit_trail import PAGE, REACH, Trail, Wish
from kit import looks
from kit.ids import uuid7
from tests.cast import Cast

MANY = 40_000


@pytest.fixture
def long_log(cast: Cast) -> Trail:
    """Ten thousand records, three times as many of a rival's between them; what is looked for last stands at the very end, or nowhere."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO agency_auditrecord
                (id, at, agency_id, sub_account_id, action, actor_kind, actor_id, actor_label, on_behalf_of, address, subject, before, after)
            SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 19))::uuid, at,
                CASE WHEN n %% 4 = 1 THEN %s ELSE %s END, CASE WHEN n %% 3 = 0 THEN %s ELSE md5('client' || n %% 501)::uuid END,
                CASE WHEN n = 1 THEN 'moon.painted' ELSE 'chatbot.changed' END, 'user', 'person ' || n %% 701, 'Somebody',
                CASE WHEN n %% 901 = 0 THEN 'Acme' ELSE '' END, '10.0.' || n %% 251 || '.1', 'x', '{}', '{}'
            FROM (SELECT n, now() - make_interval(secs => (%s - n) * 60) AS at FROM generate_series(1, %s) n) AS numbers""",
            [cast.northlight.pk, cast.harbour.pk, cast.acme.public_id, MANY, MANY],
        )
        cursor.execute("ANALYZE agency_auditrecord")
    return Trail(cast.northlight)


def plan(search: looks.Search, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How PostgreSQL answers the page's query."""
    manager, asked = search.model._default_manager, []
    monkeypatch.setattr(type(manager), "raw", lambda self, sql, params: asked.append((sql, params)) or [])
    looks.look(search, None, PAGE)
    monkeypatch.undo()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked[0][0]}", asked[0][1])
        found = cursor.fetchone()[0]
    return (found if isinstance(found, list) else json.loads(found))[0]["Plan"]  # type: ignore[no-any-return]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]


def test_every_filter_is_one_bounded_look(cast: Cast, long_log: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Trail(cast.northlight, cast.acme.public_id)
    asked = [
        (long_log, Wish(), "audit_newest", PAGE + 1),
        (long_log, Wish(kind="other"), "audit_newest", REACH),
        (long_log, Wish(person="system"), "audit_newest", REACH),
        (long_log, Wish(assisting=False, kind="money"), "audit_newest", REACH),
        (long_log, Wish(person="person 7"), "audit_of_person", PAGE + 1),
        (long_log, Wish(person=str(uuid7())), "audit_of_person", PAGE + 1),
        (long_log, Wish(client=uuid7()), "audit_of_client", PAGE + 1),
        (long_log, Wish(client=cast.acme.public_id, person="person 1"), "audit_of_client", REACH),
        (long_log, Wish(address="10.0.7.1"), "audit_from_address", REACH),
        (long_log, Wish(assisting=True), "audit_on_behalf", PAGE + 1),
        (client, Wish(), "audit_of_client", REACH),
        (client, Wish(kind="access"), "audit_of_client", REACH),
    ]
    for trail, wish, index, most in asked:
        found = nodes(plan(audit_trail._search(trail, wish), monkeypatch))
        scans = [node for node in found if "Index Name" in node or node["Node Type"] == "Seq Scan"]
        assert [scan.get("Index Name") for scan in scans] == [index], wish
        assert sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans) <= most, wish
        assert all(node["Actual Rows"] <= most for node in found if node["Node Type"] == "Sort"), wish


def test_a_rare_deed_is_found_look_by_look(long_log: Trail) -> None:
    looked, cursor = 0, None
    while True:
        page = audit_trail.page(long_log, Wish(kind="other"), before=cursor)
        looked += 1
        if page.older is None:
            break
        assert page.records == []
        assert page.looked_back_to is not None
        cursor = page.older
    assert [record.action for record in page.records] == ["moon.painted"]
    assert looked <= MANY / 4 / REACH + 2
