from datetime import timedelta

import pytest
import redis
import time_machine
from django.test import Client

from config import health as probes
from kit import cache, clock, health

pytestmark = pytest.mark.django_db
STRANGER = {"HTTP_X_FORWARDED_FOR": "198.51.100.1"}


@pytest.fixture
def probe() -> Client:
    return Client(HTTP_HOST="whatever.example")


def test_alive_asks_nobody(probe, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = probe.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


def test_ready_when_everything_is_there(probe):
    health.tick("worker")
    assert (probe.get("/readyz").status_code, probe.get("/readyz").content) == (200, b"ready")


def test_not_ready_before_a_worker_has_been_seen(probe):
    response = probe.get("/readyz")
    assert (response.status_code, response.content) == (503, b"not ready: worker")


def test_not_ready_three_minutes_after_beat_or_the_workers_have_died(probe):
    """R11."""
    health.tick("worker")
    with time_machine.travel(clock.now() + timedelta(minutes=2, seconds=50)):
        assert probe.get("/readyz").status_code == 200
    with time_machine.travel(clock.now() + timedelta(minutes=3, seconds=1)):
        assert probe.get("/readyz").status_code == 503


def test_not_ready_without_redis(probe, monkeypatch):
    health.tick("worker")
    monkeypatch.setattr(cache, "client", lambda: redis.Redis.from_url("unix:///nowhere/redis.sock"))
    assert probe.get("/readyz").content == b"not ready: redis"


def test_not_ready_while_migrations_are_missing(probe, monkeypatch):
    health.tick("worker")
    monkeypatch.setattr(probes, "_applied", set())
    monkeypatch.setattr(probes.MigrationLoader, "check_consistent_history", lambda self, connection: None)
    monkeypatch.setattr("django.db.migrations.recorder.MigrationRecorder.applied_migrations", lambda self: {})
    assert probe.get("/readyz").content == b"not ready: migrations"


def test_a_stranger_learns_nothing_but_yes_or_no(probe):
    response = probe.get("/readyz", **STRANGER)
    assert (response.status_code, response.content) == (503, b"not ready")


def ask(client: Client, name: str, **extra: str) -> int:
    return client.get("/internal/tls-ask", {"domain": name}, **extra).status_code


def test_certificates_are_for_our_names_only(probe, cast):
    """I14."""
    assert ask(probe, "localhost") == 200
    assert ask(probe, "acme-plumbing.localhost") == 200
    assert ask(probe, "ACME-Plumbing.localhost.") == 200
    for name in ("nobody.localhost", "evil.example", "", "a\0b", "x" * 5000, "127.0.0.1", "acme-plumbing.localhost:443"):
        assert ask(probe, name) == 404


def test_a_removed_sub_account_gets_no_certificate(probe, cast):
    acme = cast.acme
    acme.status = acme.REMOVED
    acme.save(update_fields=["status"])
    assert ask(probe, "acme-plumbing.localhost") == 404


def test_only_neighbours_may_ask_about_certificates(probe, cast):
    """I14: for everybody else the address does not exist."""
    assert ask(probe, "localhost", REMOTE_ADDR="10.1.2.3") == 200
    assert ask(probe, "localhost", REMOTE_ADDR="172.18.0.5") == 200
    assert ask(probe, "localhost", REMOTE_ADDR="198.51.100.1") == 404
    assert ask(probe, "localhost", REMOTE_ADDR="") == 404
    assert ask(probe, "localhost", **STRANGER) == 404
