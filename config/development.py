"""What `bin/dev` runs: servers, migrations, demo data, then web, workers, beat and a client's demo website together.

Everything is under `var/`; nothing needs to be installed but Python. Ctrl-C stops all of it.
"""

import argparse
import fcntl
import os
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import psutil
from honcho.manager import Manager
from honcho.printer import Printer

from config.embedded import ROOT, CannotStart, Embedded

WEB_PORT = 8000
DEMO_PORT = 8010
READY_WITHIN_SECONDS = 90
LOCK = ROOT / "var" / "dev.lock"
MARK = "CANOPY_STARTED_BY_DEV_IN"

LOGINS = """
  Canopy runs at       {base}
{sites}  mail it has sent     {base}/dev/mail/

  Sign in with the password canopy-demo-2026:
    {base}/sign-in/
      nora@northlight.example        Owner of Northlight Digital
      adam@northlight.example        Agency Admin
      mia@northlight.example         Agency Member (Acme Plumbing only)
    {acme}/sign-in/
      paul@acme-plumbing.example     Subaccount Admin of Acme Plumbing
      tess@acme-plumbing.example     Subaccount Member
    {staff}/sign-in/
      sara@canopy.example            staff; sets up a second factor at the first sign-in

  Ctrl-C stops everything; the data stays (bin/dev --reset starts over).
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bin/dev", description="Run all of Canopy on this machine, with demo data.")
    parser.add_argument("--reset", action="store_true", help="throw the development data and mails away and start over")
    options = parser.parse_args(arguments)
    port, demo_port = _port("PORT", WEB_PORT), _port("DEMO_PORT", DEMO_PORT)
    os.environ.update(CANOPY_ENV="development", DJANGO_SETTINGS_MODULE="config.settings", BASE_DOMAIN=f"localhost:{port}")
    with _only_one(port):
        _end_orphans()
        _must_be_free("PORT", port)
        _must_be_free("DEMO_PORT", demo_port)
        with _servers(reset=options.reset):
            _prepare()
            return _run(port, demo_port)


def _port(name: str, default: int) -> int:
    raw = os.environ.get(name) or str(default)
    if not raw.isdigit() or not 0 < int(raw) < 65536:
        raise CannotStart(f"{name}={raw} is not a port number.")
    return int(raw)


def _must_be_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise CannotStart(f"Port {port} needs more rights than you have. Choose another: {name}={port + 8000} bin/dev") from error
        except OSError as error:
            raise CannotStart(
                f"Port {port} is taken by another program (another bin/dev?). Stop it, or choose another: {name}={port + 100} bin/dev"
            ) from error


@contextmanager
def _only_one(port: int) -> Iterator[None]:
    """Hold the lock of this checkout's bin/dev. Of one that was killed only its orphans may hold it still; they are ended."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a+") as handle:
        if not _lock(handle):
            handle.seek(0)
            holder, _, its_port = handle.read().partition(" ")
            if holder.isdigit() and psutil.pid_exists(int(holder)):
                raise CannotStart(f"bin/dev is running here already, on http://localhost:{its_port}. Stop it with Ctrl-C first.")
            _end_orphans()
            if not _lock(handle):
                raise CannotStart(f"Another program holds {LOCK}.")
        handle.truncate(0)
        handle.write(f"{os.getpid()} {port}")
        handle.flush()
        yield


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_orphans() -> None:
    """End the processes of an earlier bin/dev that was killed before it could stop them. They carry our mark in their environment."""
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(ROOT):
                process.terminate()
                orphans.append(process)
        except psutil.Error:  # somebody else's, or gone meanwhile
            continue
    _, alive = psutil.wait_procs(orphans, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)


@contextmanager
def _servers(*, reset: bool) -> Iterator[None]:
    """PostgreSQL and Redis: those of the environment, or embedded ones for as long as the block runs."""
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        if reset:
            raise CannotStart("--reset is for the embedded database. Empty the one that DATABASE_URL names yourself.")
        yield
        return
    server = Embedded("dev")
    if reset:
        server.start()  # takes over and then stops whatever a killed run has left behind
        server.stop()
        server.erase()
        shutil.rmtree(ROOT / "var" / "mail", ignore_errors=True)
    try:
        server.start()
        os.environ.setdefault("DATABASE_URL", server.database_url)
        os.environ.setdefault("REDIS_URL", server.redis_url)
        yield
    finally:
        server.stop()


def _prepare() -> None:
    """Migrate, and put the demo data into a database that has no agency yet."""
    import django

    django.setup()

    from django.core.management import call_command, get_commands
    from django.db import connections

    from agency.models import Agency

    _say("Preparing the database …")
    call_command("migrate", verbosity=0, interactive=False)
    if not Agency.objects.exists() and "seed_demo" in get_commands():
        _say("Writing the demo data …")
        call_command("seed_demo")
    connections.close_all()


def _run(port: int, demo_port: int) -> int:
    """Web, workers, beat and the demo website until Ctrl-C, or until one of them ends; the exit code."""
    from django.core.management import get_commands

    python, celery = [sys.executable, "manage.py"], [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery"]
    alone = ["--without-gossip", "--without-mingle"]
    commands = {
        "web": [*python, "runserver", "--nostatic", "--skip-checks", f"127.0.0.1:{port}"],
        "worker": [*celery, "worker", "--loglevel=WARNING", "--concurrency=2", "--queues=celery", *alone],
        "webhooks": [*celery, "worker", "--loglevel=WARNING", "--pool=threads", "--concurrency=8", "--queues=webhooks", *alone],
        "beat": [*celery, "beat", "--loglevel=WARNING"],
    }
    if "demo_website" in get_commands():
        commands["demo"] = [*python, "demo_website", str(demo_port)]
    environment = {
        **os.environ,
        MARK: str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::UserWarning",
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
    }
    manager = Manager(Printer(sys.stdout, prefix=True))
    for name, command in commands.items():
        manager.add_process(name, " ".join(command), env=environment, cwd=str(ROOT))
    threading.Thread(target=_announce, args=(port, demo_port if "demo" in commands else 0), daemon=True).start()
    _say("Starting …")
    manager.loop()
    return 0 if manager.returncode in (130, 143, -signal.SIGINT, -signal.SIGTERM) else manager.returncode or 0


def _announce(port: int, demo_port: int) -> None:
    """Print where to go, once everything answers."""
    base = f"http://localhost:{port}"
    until = time.monotonic() + READY_WITHIN_SECONDS
    missing = "no answer"
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=5):
                sites = f"  a client's website   http://localhost:{demo_port}\n" if demo_port else ""
                _say(
                    LOGINS.format(
                        base=base, acme=f"http://acme-plumbing.localhost:{port}", staff=f"http://staff.localhost:{port}", sites=sites
                    )
                )
                return
        except urllib.error.HTTPError as answer:
            missing = answer.read().decode()
        except OSError as error:
            missing = str(error)
        time.sleep(0.3)
    _say(f"Canopy does not get ready ({missing}). The lines above say why.")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script in the background has it ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        sys.exit(main(sys.argv[1:]))
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
