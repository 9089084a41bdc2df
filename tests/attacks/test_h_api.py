"""H · keys and the API: what a leaked, foreign, ended or abused key is good for, and what a huge request costs."""

import json
import logging
import time
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.test import Client

from agency import api_keys
from agency.models import ApiKey, AuditRecord, Membership
from kit import clock
from subaccounts import lifecycle
from tests.api.program import Program, key_of, of_agency, of_client
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of

WANTED = {"name": "Zapier", "scopes": ["sub_accounts:read"], "days": "30", "allowed_networks": ""}


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_h01_a_key_is_shown_once_and_is_nowhere_else(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = Visitor(PLATFORM, cast.nora)
    made = browser.post("/developers/keys/new/", WANTED, follow=True)
    key = ApiKey.objects.get(name="Zapier")
    secret = made.content.decode().split('<code id="api-key">')[1].split("<")[0]
    assert Program(secret).call("GET", "/me").status_code == 200
    rest = secret.removeprefix(key.prefix)

    pages = [browser.get(made.request["PATH_INFO"]), browser.get("/developers/")]
    assert key.prefix in pages[1].content.decode()
    assert all(rest not in page.content.decode() for page in pages)
    with connection.cursor() as cursor:
        for table in ("agency_apikey", "agency_auditrecord", "agency_keptanswer", "django_session", "kit_outboxmessage"):
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            assert rest not in cursor.fetchone()[0], table
    assert rest not in caplog.text
    assert rest not in " ".join(str(record.__dict__) for record in caplog.records)


def test_h02_a_key_of_a_client_on_pause_says_so(cast: Cast) -> None:
    program = of_client(cast.acme)
    lifecycle.suspend(sub_account=cast.acme, by=TESTS)
    assert code(program.call("GET", "/me")) == (403, "account_suspended")
    lifecycle.restore(sub_account=cast.acme, by=TESTS)
    assert program.call("GET", "/me").status_code == 200


def test_h02_a_deleted_agencys_keys_open_nothing(cast: Cast) -> None:
    program, client = of_agency(cast.northlight), of_client(cast.acme)
    agency = cast.northlight
    agency.deleted_at = clock.now()
    agency.save()

    assert {answer.status_code for answer in (program.call("GET", "/me"), client.call("GET", "/me"))} <= {401, 404}


def test_h02_a_key_is_its_agencys_and_works_on_when_its_maker_has_left(cast: Cast) -> None:
    key = key_of(cast.northlight, user=cast.adam)
    Membership.objects.filter(user=cast.adam).delete()
    assert Program(key).call("GET", "/me").status_code == 200

    api_keys.revoke(key=key.row, by=TESTS)
    assert code(Program(key).call("GET", "/me")) == (401, "unauthorized")


@pytest.mark.parametrize("name", ["api_key", "API_KEY", "access_token", "key", "token"])
def test_h04_a_key_in_an_address_opens_nothing(cast: Cast, name: str) -> None:
    key = key_of(cast.northlight)
    without = Client(headers={"host": PLATFORM}).get("/api/v1/me", {name: key.secret})
    beside = Program(key).get("/api/v1/me", {name: key.secret})

    assert [code(without), code(beside)] == [(401, "unauthorized")] * 2


@pytest.mark.parametrize("scheme", ["Basic {}", "Token {}", "{}", "Bearer{}", "Bearer  {}", "Bearer {} ", "Bearer {},{}"])
def test_h04_only_a_bearer_header_counts(cast: Cast, scheme: str) -> None:
    secret = key_of(cast.northlight).secret
    answer = Client(headers={"host": PLATFORM, "authorization": scheme.format(secret, secret)}).get("/api/v1/me")

    assert code(answer) == (401, "unauthorized")


def test_h05_every_wrong_key_costs_one_look_and_one_whole_comparison(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    right, compared = key_of(cast.northlight), []
    real = api_keys.constant_time_compare
    monkeypatch.setattr(api_keys, "constant_time_compare", lambda ours, theirs: compared.append((ours, theirs)) or real(ours, theirs))
    wrong = [right.row.prefix + "_" + "x" * 43, api_keys.MARK + "y" * 12 + "_" + "x" * 43, "nonsense"]

    assert [api_keys.recognise(secret) for secret in wrong] == [None] * 3
    assert [{len(part) for part in pair} for pair in compared] == [{64}] * 3
    said = {Program(secret).call("GET", "/me").content for secret in wrong}
    assert len(said) == 1


def test_h05_guessing_is_counted_by_network(cast: Cast) -> None:
    settings_most = settings.API_FAILURES_PER_MINUTE
    guesses = [Program("cnp_live_guess").call("GET", "/me", REMOTE_ADDR="198.51.100.9").status_code for _ in range(settings_most + 1)]

    assert guesses == [401] * settings_most + [429]
    assert Program("cnp_live_guess").call("GET", "/me", REMOTE_ADDR="198.51.100.10").status_code == 401
    assert of_agency(cast.northlight).call("GET", "/me", REMOTE_ADDR="198.51.100.9").status_code == 200


def test_h06_a_burst_is_told_when_to_go_on(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "API_READS_PER_MINUTE", 5)
    program, other = of_agency(cast.northlight), of_agency(cast.northlight)
    answers = [program.call("GET", "/me") for _ in range(7)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert code(answers[-1]) == (429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert [answers[0].headers["RateLimit-Remaining"], answers[-1].headers["RateLimit-Remaining"]] == ["4", "0"]
    assert other.call("GET", "/me").status_code == 200


def test_h06_without_redis_nobody_knows_and_nothing_is_done(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    program = of_agency(cast.northlight)
    monkeypatch.setattr(settings, "REDIS_URL", "unix:///nowhere")
    monkeypatch.setattr("kit.cache.client", lambda: _dead())
    answer = program.call("PATCH", f"/sub-accounts/{cast.acme.public_id}", {"city": "Hobart"})

    assert code(answer) == (503, "unavailable") and answer.headers["Retry-After"]
    assert cast.acme.city != "Hobart"


def _dead() -> Any:
    return redis.Redis(unix_socket_path="/nowhere/redis.sock")


HUGE = {
    "a hundred megabytes": (b'{"name": "' + b"x" * 1_000_000 + b'"}', "too_large", 413),
    "ten thousand deep": (b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_request", 400),
    "a hundred thousand deep": (b"[" * 100_000, "invalid_request", 400),
    "a number of a hundred thousand digits": (b'{"name": ' + b"9" * 100_000 + b"}", "invalid_request", 400),
    "fifty thousand fields": (json.dumps({f"f{n}": 1 for n in range(15_000)}).encode(), "invalid_request", 400),
    "not a number": (b'{"name": NaN}', "invalid_request", 400),
    "the same field twice": (b'{"name": "a", "name": "b"}', "invalid_request", 400),
    "a null byte": (b'{"name": "a\\u0000b"}', "invalid_request", 400),
    "half a character": (b'{"name": "\\ud800"}', "invalid_request", 400),
    "not UTF-8": (b'{"name": "\xff\xfe"}', "invalid_request", 400),
    "cut off": (b'{"name": "Acme', "invalid_request", 400),
    "a list": (b"[]", "invalid_request", 400),
    "nothing": (b"", "invalid_request", 400),
    "null": (b"null", "invalid_request", 400),
}


@pytest.mark.parametrize("what", HUGE)
def test_h06_what_is_huge_or_broken_is_refused_at_once(cast: Cast, what: str) -> None:
    body, wanted, status = HUGE[what]
    program, began = of_agency(cast.northlight), time.perf_counter()
    answer = program.call("PATCH", f"/sub-accounts/{cast.acme.public_id}", body)

    assert code(answer) == (status, wanted)
    assert time.perf_counter() - began < 5
    assert cast.acme.name == "Acme Plumbing"


def test_h06_a_length_alone_is_enough_to_refuse(cast: Cast) -> None:
    """Nothing of a body that says it is too long is read."""
    answer = of_agency(cast.northlight).call("PATCH", f"/sub-accounts/{cast.acme.public_id}", b"{}", CONTENT_LENGTH=str(100_000_000))

    assert code(answer) == (413, "too_large")


@pytest.mark.parametrize("length", ["many", "-1", "١٢", "9" * 400])
def test_h06_a_length_that_is_none_reads_nothing(cast: Cast, length: str) -> None:
    answer = of_agency(cast.northlight).call("PATCH", f"/sub-accounts/{cast.acme.public_id}", b'{"city": "x"}', CONTENT_LENGTH=length)

    assert answer.status_code in (400, 413) and cast.acme.city != "x"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"])
def test_h06_only_json_is_read(cast: Cast, kind: str) -> None:
    path = f"/api/v1/sub-accounts/{cast.acme.public_id}"
    assert code(of_agency(cast.northlight).generic("PATCH", path, b'{"name": "x"}', content_type=kind)) == (415, "unsupported_media_type")


@pytest.mark.parametrize("asks", ["OPTIONS", "GET"])
def test_h20_no_other_website_reads_an_answer(cast: Cast, asks: str) -> None:
    for host, program in ((PLATFORM, of_agency(cast.northlight)), (host_of(cast.acme), of_client(cast.acme))):
        answer = program.generic(asks, "/api/v1/me", headers={"origin": "https://evil.example", "access-control-request-method": "GET"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")], host


def test_h20_e17_a_browser_that_is_signed_in_has_no_key(cast: Cast) -> None:
    browser = Visitor(PLATFORM, cast.nora)
    before = AuditRecord.objects.count()
    answer = browser.patch(f"/api/v1/sub-accounts/{cast.acme.public_id}", {"city": "Hobart"}, content_type="application/json")

    assert code(answer) == (401, "unauthorized")
    assert "Set-Cookie" not in answer.headers and not answer.cookies
    assert AuditRecord.objects.count() == before


@pytest.mark.parametrize(
    ("networks", "address", "works"),
    [
        (["203.0.113.7"], "203.0.113.7", True),
        (["203.0.113.7"], "203.0.113.8", False),
        (["203.0.113.0/24", "2001:db8::/32"], "203.0.113.200", True),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "2001:db9::5", False),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", True),
        (["203.0.113.0/24"], "2001:db8::1", False),
    ],
)
def test_h02_a_key_works_from_its_networks_only(cast: Cast, networks: list[str], address: str, works: bool) -> None:
    program = Program(key_of(cast.northlight, allowed_networks=networks))
    answer = program.call("GET", "/me", REMOTE_ADDR=address)

    assert answer.status_code == 200 if works else code(answer) == (403, "address_not_allowed")


def test_k02_reading_everything_goes_page_by_page_and_is_counted(cast: Cast) -> None:
    program = of_agency(cast.northlight)

    assert code(program.call("GET", "/sub-accounts?limit=1000000")) == (400, "invalid_request")
    assert program.call("GET", "/sub-accounts?limit=100").headers["RateLimit-Remaining"] == str(settings.API_READS_PER_MINUTE - 2)
    key = ApiKey.objects.get()
    assert key.last_used_at is not None and key.last_used_from == "127.0.0.1"
