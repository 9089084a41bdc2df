"""bin/dev and bin/test on a bare machine: the servers in wheels, and clear words when something is missing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from config import development, embedded
from config.embedded import CannotStart, Embedded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def name() -> Iterator[str]:
    name = f"house-{os.getpid()}"
    yield name
    server = Embedded(name, fast=True)
    if server.folder.exists():
        server.start()
        server.stop()
        server.erase()


def runner(name: str, *command: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.Popen(
        [sys.executable, "-m", "config.embedded", "run", name, "--fast", "--", *command],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def answers(server: Embedded) -> bool:
    try:
        with psycopg.connect(server.database_url, connect_timeout=2) as database:
            return database.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def wait_until_it_answers(server: Embedded) -> None:
    until = time.monotonic() + 30
    while not (answers(server) and server._redis_answers()):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_command_runs_with_servers_that_are_gone_afterwards(name):
    code = (
        "import os, psycopg; print(psycopg.connect(os.environ['DATABASE_URL']).info.server_version >= 180000, os.environ['REDIS_URL'][:7])"
    )
    process = runner(name, sys.executable, "-c", code)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output.strip()) == (0, "True unix://")
    server = Embedded(name)
    assert not answers(server)
    assert not server._redis_answers()
    assert not server.sockets.exists()


def test_the_exit_code_is_the_commands(name):
    process = runner(name, "sh", "-c", "exit 7")
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_who_is_killed_leaves_servers_that_the_next_run_takes_over(name):
    first = runner(name, "sleep", "60")
    server = Embedded(name, fast=True)
    wait_until_it_answers(server)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert answers(server)

    process = runner(name, "true")
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert not answers(server)


def test_the_last_of_several_users_stops_the_servers(name):
    first = runner(name, "sleep", "60")
    server = Embedded(name, fast=True)
    wait_until_it_answers(server)
    second = runner(name, "true")
    second.communicate(timeout=60)
    assert answers(server)

    first.terminate()
    first.communicate(timeout=60)

    assert first.returncode == 128 + signal.SIGTERM
    assert not answers(server)


def test_a_stale_pid_of_another_program_does_not_stop_postgresql_from_starting(name):
    runner(name, "true").communicate(timeout=60)
    server = Embedded(name, fast=True)
    stale = server.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{server.data}\n0\n5432\n{server.sockets}\n\n 0 0\nready\n")
    if server.user:
        os.chown(stale, server.user.pw_uid, server.user.pw_gid)

    process = runner(name, "true")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output


def test_an_interrupted_initdb_starts_over(name):
    server = Embedded(name, fast=True)
    half = server.folder / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    process = runner(name, "true")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root PostgreSQL runs as somebody else")
def test_root_may_have_the_checkout_where_nobody_else_can_go(name, monkeypatch):
    monkeypatch.setattr(embedded, "_reachable", lambda path: False)
    server = Embedded(name, fast=True)
    try:
        server.start()
        assert server.folder.is_relative_to("/var/tmp")
        assert answers(server)
    finally:
        server.stop()
        server.erase()
    assert not server.folder.exists()


def develop(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "config.development"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_taken_port_is_named_with_a_way_out():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = develop(PORT=str(port))

    assert result.returncode == 1
    assert f"Port {port} is taken" in result.stderr
    assert "PORT=" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("port", ["eighty", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused_in_words(port):
    result = develop(PORT=port)
    assert (result.returncode, result.stderr.strip()) == (1, f"PORT={port} is not a port number.")


def test_bin_dev_runs_once_in_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(development, "LOCK", tmp_path / "dev.lock")
    with development._only_one(8123), pytest.raises(CannotStart, match="8123"):
        development._only_one(8000).__enter__()
    with development._only_one(8000):
        pass


def test_the_lock_of_a_killed_run_is_taken_over_from_its_orphans(monkeypatch, tmp_path):
    monkeypatch.setattr(development, "LOCK", tmp_path / "dev.lock")
    monkeypatch.setattr(development, "ROOT", tmp_path)
    code = (
        "import fcntl, os, sys, time; handle = open(sys.argv[1], 'a+'); fcntl.flock(handle, fcntl.LOCK_EX);"
        "os.fork() and (print(os.getpid(), 8123, file=handle, flush=True), os.kill(os.getpid(), 9)); time.sleep(60)"
    )
    mark = {**os.environ, development.MARK: str(tmp_path)}
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "dev.lock")], env=mark)
    killed.wait(10)

    with development._only_one(8000):
        assert (tmp_path / "dev.lock").read_text() == f"{os.getpid()} 8000"


def test_orphans_of_a_killed_run_are_ended_and_nobody_else(monkeypatch, tmp_path):
    monkeypatch.setattr(development, "ROOT", tmp_path)
    orphan = subprocess.Popen(["sleep", "60"], env={**os.environ, development.MARK: str(tmp_path)})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, development.MARK: "/somewhere/else"})
    try:
        development._end_orphans()
        assert not psutil.pid_exists(orphan.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Only what bin/setup needs, without a .venv."""
    for name in ("bin", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def fake_python(folder: Path, answers: str) -> dict[str, str]:
    program = folder / "fake" / "python3"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{answers}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "PYTHON": "python3", "HOME": str(folder)}


def setup(checkout: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "bin/setup", "dev"], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)


def test_a_python_that_is_too_old_is_said_so(checkout):
    result = setup(checkout, fake_python(checkout, "exit 1"))
    assert result.returncode == 1
    assert "needs Python 3.11 or newer" in result.stderr


def test_a_missing_venv_module_is_said_so(checkout):
    script = 'case "$*" in *version_info*) exit 0;; -V) echo Python 3.12.1;; *) exit 1;; esac'
    result = setup(checkout, fake_python(checkout, script))
    assert result.returncode == 1
    assert "Python 3.12.1 has no working venv module" in result.stderr
    assert "apt-get install python3-venv" in result.stderr


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("NewConnectionError: Temporary failure in name resolution", "Is there a connection?"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that was pinned"),
        ("Something nobody has thought of", "Something nobody has thought of"),
    ],
)
def test_a_failed_installation_is_said_in_words_and_not_taken_for_done(checkout, says, told):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *"-m pip"*) echo "Traceback (most recent call last):"; echo "{says}" >&2; exit 1;; *) echo digest;; esac\n'
    )
    python.chmod(0o755)

    result = setup(checkout, {"PATH": "/usr/bin:/bin"})

    assert result.returncode == 1
    assert told in result.stderr
    assert not (checkout / ".venv" / ".installed-dev").exists()
