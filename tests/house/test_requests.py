import json

import pytest
import redis
from django.db.utils import OperationalError
from django.test import Client, RequestFactory

from kit import cache
from kit.requests import client_address, client_network
from subaccounts import hosts

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.house.urls")]


@pytest.fixture
def platform() -> Client:
    return Client(HTTP_HOST="localhost:8000", raise_request_exception=False)


@pytest.fixture
def no_redis(monkeypatch, settings):
    """Everything of ours that talks to Redis talks to one that is not there."""
    away = redis.Redis.from_url("unix:///nowhere/redis.sock")
    monkeypatch.setattr(cache, "client", lambda: away)
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "unix:///nowhere/redis.sock"}}
    return away


@pytest.mark.parametrize(
    ("proxies", "direct", "forwarded", "found"),
    [
        (0, "203.0.113.9", None, "203.0.113.9"),
        (0, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (1, "10.0.0.2", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.2", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        (2, "10.0.0.2", "198.51.100.1", "10.0.0.2"),
        (1, "10.0.0.2", "not an address", "10.0.0.2"),
        (1, "10.0.0.2", "", "10.0.0.2"),
        (1, "10.0.0.2", "::ffff:198.51.100.1", "198.51.100.1"),
        (1, "", "198.51.100.1", "198.51.100.1"),
        (0, "", None, ""),
        (0, "2001:db8::1", None, "2001:db8::1"),
    ],
)
def test_only_our_own_proxies_are_believed(settings, proxies, direct, forwarded, found):
    settings.TRUSTED_PROXY_COUNT = proxies
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=direct, **headers)) == found


def test_an_ipv6_visitor_is_one_network_of_64_bits():
    def network(address: str) -> str:
        return client_network(RequestFactory().get("/", REMOTE_ADDR=address))

    assert network("2001:db8:1:2:aaaa::1") == network("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("203.0.113.9") == "203.0.113.9"


def test_a_refusal_is_a_page_with_its_status_and_words(platform):
    response = platform.get("/refuse/")

    assert response.status_code == 409
    assert "There is &lt;none&gt; left." in response.content.decode()
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "headers"),
    [("/api/refuse/", {}), ("/refuse/", {"HX-Request": "true"}), ("/refuse/", {"Accept": "application/json"})],
)
def test_a_refusal_is_a_problem_for_programs_and_htmx(platform, address, headers):
    response = platform.get(address, headers=headers)

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    body = json.loads(response.content)
    assert (body["code"], body["status"], body["detail"]) == ("out_of_stock", 409, "There is <none> left. Nothing was changed.")


@pytest.mark.parametrize("address", ["/database-away/", "/too-slow/"])
def test_an_outage_in_a_view_is_503_with_retry_after(platform, address):
    response = platform.get(address)

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert b"hunter2" not in response.content
    assert b"Traceback" not in response.content


def test_an_outage_in_a_middleware_is_503_too(platform, monkeypatch):
    """R03: PostgreSQL away is noticed first where the host is looked up."""

    def away(name: str) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(hosts, "_ask", away)
    hosts.forget()
    response = platform.get("/", HTTP_HOST="somebody.localhost:8000")

    assert response.status_code == 503
    assert "Retry-After" in response


def test_without_redis_pages_are_served_and_limits_fail_closed(platform, no_redis):
    """R02: never a 500."""
    assert platform.get("/limited/").status_code == 503
    assert platform.get("/sign-in/").status_code == 200
    form = {"login": "nora@northlight.example", "password": "canopy-demo-2026"}
    response = Client(HTTP_HOST="localhost:8000", raise_request_exception=False).post("/sign-in/", form, secure=True)
    assert response.status_code == 503


def test_a_limit_counts_over_a_window(platform):
    cache.client().delete(cache.named("limit", "test"))

    assert [platform.get("/limited/").status_code for _ in range(4)] == [200, 200, 429, 429]
    assert 0 < cache.client().ttl(cache.named("limit", "test")) <= 60


def test_every_answer_carries_a_request_id(platform, settings):
    assert len(platform.get("/refuse/")["X-Request-ID"]) == 32
    assert platform.get("/refuse/", headers={"X-Request-ID": "a" * 32})["X-Request-ID"] != "a" * 32

    settings.TRUSTED_PROXY_COUNT = 1
    assert platform.get("/refuse/", headers={"X-Request-ID": "a" * 32})["X-Request-ID"] == "a" * 32
    assert platform.get("/refuse/", headers={"X-Request-ID": "forged\nline"})["X-Request-ID"] != "forged\nline"


def test_what_opens_something_is_not_logged(platform, caplog):
    caplog.set_level("INFO")
    platform.get("/opens/3f9a7c1e5b/")

    assert "/opens/" in caplog.text
    assert "3f9a7c1e5b" not in caplog.text
