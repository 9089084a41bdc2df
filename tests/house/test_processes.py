"""The files for a server, checked against the code without Docker, and the same web, worker and beat run for real."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.env import Environment
from tests.house.server import COMPOSE, ROOT, Server, example

OURS = ("migrate", "web", "worker", "webhooks", "beat")
PROGRAMS = {"gunicorn", "celery", "python"}
OUTSIDE_SETTINGS = {"DATABASE_PASSWORD", "ACME_EMAIL"}
WEB_SERVER = {"PORT", "WEB_PROCESSES", "WEB_THREADS"}


def names_in_settings() -> set[str]:
    source = (ROOT / "config" / "settings.py").read_text()
    return set(re.findall(r"env\.(?:text|number|flag)\([\"']([A-Z_]+)", source))


def test_every_service_of_ours_runs_a_command_that_exists():
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["image"] == "canopy"
        assert service["command"][0] in PROGRAMS, name
        assert service["command"] == [part for part in service["command"] if isinstance(part, str)]


def test_the_procfile_runs_what_compose_runs():
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert {name: shlex.split(command) for name, command in procfile.items()} == {
        name: COMPOSE["services"][name]["command"] for name in ("web", "worker", "webhooks", "beat")
    }


def test_every_variable_of_compose_is_known():
    known = names_in_settings() | OUTSIDE_SETTINGS | WEB_SERVER
    for name in OURS:
        assert set(COMPOSE["services"][name]["environment"]) <= known, name
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    used |= set(re.findall(r"\{\$([A-Z_]+)\}", (ROOT / "Caddyfile").read_text()))
    assert used <= set(example()), "a variable that .env.example does not name"
    assert set(example()) <= known, "a variable that nobody reads"


def test_what_settings_demand_is_in_the_example_or_in_compose():
    demanded = {problem.split()[0] for problem in _problems(CANOPY_ENV="production") if "not set" in problem}
    given = set(example()) | set(COMPOSE["services"]["web"]["environment"])
    assert demanded == {"SECRET_KEY", "BASE_DOMAIN", "DATABASE_URL", "REDIS_URL", "SMTP_HOST"}
    assert demanded <= given


def _problems(**variables: str) -> list[str]:
    code = "import config.settings"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True
    )
    assert result.returncode == 1
    return [line.strip()[2:] for line in result.stderr.splitlines() if line.startswith("  - ")]


def test_settings_name_everything_that_is_wrong_at_once():
    problems = _problems(CANOPY_ENV="production", SECRET_KEY="short", SMTP_PORT="many", LOG_JSON="perhaps")

    assert "SECRET_KEY is shorter than 50 characters or a sample" in problems
    assert "DATABASE_URL is not set (text expected)" in problems
    assert "SMTP_PORT is not a whole number" in problems
    assert "LOG_JSON is not yes or no" in problems


def test_the_sample_key_is_refused_in_production():
    problems = _problems(CANOPY_ENV="production", SECRET_KEY="development-only-and-refused-in-production-0123456789")
    assert "SECRET_KEY is shorter than 50 characters or a sample" in problems


def test_an_environment_reads_numbers_and_flags():
    environment = Environment({"N": "12", "YES": "on", "NO": "0", "EMPTY": ""})
    assert (environment.number("N"), environment.flag("YES"), environment.flag("NO"), environment.text("EMPTY", "x")) == (
        12,
        True,
        False,
        "x",
    )
    environment.finish()


def test_every_variable_is_documented():
    text = (ROOT / "docs" / "operations.md").read_text()
    missing = [name for name in sorted(names_in_settings() | OUTSIDE_SETTINGS | WEB_SERVER) if f"`{name}`" not in text]
    assert missing == []


def test_services_wait_for_what_they_need():
    for name in ("web", "worker", "webhooks", "beat"):
        needs = COMPOSE["services"][name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert {"postgres", "redis"} <= set(needs)
    assert COMPOSE["services"]["postgres"]["image"].startswith("postgres:18")
    assert set(COMPOSE["volumes"]) == {"postgres", "media", "caddy"}


def test_only_caddy_and_the_local_mailbox_are_reachable_from_outside():
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert set(published) == {"caddy", "mailpit"}
    assert all(port.startswith("127.0.0.1:") for port in published["mailpit"])


def test_caddy_asks_the_address_that_answers():
    from config.health import HealthMiddleware

    text = (ROOT / "Caddyfile").read_text()
    address = re.search(r"ask http://web:8000(\S+)", text)
    assert address
    assert address[1] in HealthMiddleware(lambda request: None).views
    assert "@inside path /internal/*" in text


def test_the_image_runs_as_nobody_in_particular():
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    assert len(stages) == 2
    assert "\nUSER canopy\n" in stages[1]
    assert "--require-hashes" in stages[0]
    assert "requirements/base.txt" in stages[0]


def has_docker_compose() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_docker_compose(), reason="no Docker Compose here; the tests above read the file themselves")
def test_docker_reads_the_compose_file_too(tmp_path):
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}={value or 'x'}\n" for name, value in example().items()))
    result = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.migrate()
    yield server
    server.close()


def survivors(pids: list[int]) -> list[Any]:
    """Processes of these sessions that are still there."""
    import psutil

    alive = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in pids and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return alive


def test_web_worker_and_beat_get_ready_and_stop_cleanly(server):
    pids = [server.start(name).pid for name in ("web", "worker", "webhooks", "beat")]
    server.wait_for((200, "ready"))

    assert server.get("/healthz") == (200, "ok")
    status, page = server.get("/sign-in/")
    assert status == 200
    stylesheet = re.search(r'href="(/static/css/app\.[0-9a-f]{12}\.css)"', page)
    assert stylesheet, "static files carry their hash in production"
    assert server.get(stylesheet[1])[0] == 200
    assert server.get("/", host="somebody-else.example")[0] == 404

    for name in ("beat", "webhooks", "worker", "web"):
        assert server.stop(name) in (0, -signal.SIGTERM), server.log()
    assert survivors(pids) == []
    assert "Traceback" not in server.log()


def test_of_two_beats_one_leads_and_the_other_takes_over(server):
    """R10."""
    first, _ = server.start("beat", "first"), server.start("beat", "second")

    def leaders() -> int:
        with psycopg.connect(server.environment["DATABASE_URL"], autocommit=True) as database:
            row = database.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
                " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
            ).fetchone()
        return int(row[0]) if row else 0

    def wait_for_a_leader() -> None:
        until = time.monotonic() + 30
        while leaders() != 1:
            assert time.monotonic() < until, server.log()
            time.sleep(0.2)

    wait_for_a_leader()
    os.killpg(first.pid, signal.SIGKILL)
    time.sleep(1)
    wait_for_a_leader()
    assert server.processes["second"].poll() is None
